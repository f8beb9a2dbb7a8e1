"""Writes the vectors, after a change of the rules that is meant:

    PYTHONPATH=src:tests/rooms/contracts .venv/bin/python tests/vectors/generate.py

The small hub's keys, times and amounts are fixed, so the same rules give the same files.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import cases_accounts
import cases_among_cars
import cases_auctions
import cases_blocks
import cases_envelope
import cases_orders
import cases_proposals
import cases_sealed
import cases_sites
import cases_trades
import cases_trustees
from book import Book
from vector import to_json

HERE = Path(__file__).parent
FILES: dict[str, ModuleType] = {
    "envelope.json": cases_envelope,
    "accounts.json": cases_accounts,
    "sites.json": cases_sites,
    "orders.json": cases_orders,
    "proposals.json": cases_proposals,
    "auctions.json": cases_auctions,
    "among_cars.json": cases_among_cars,
    "sealed.json": cases_sealed,
    "trustees.json": cases_trustees,
    "trades.json": cases_trades,
    "blocks.json": cases_blocks,
}


def generate(name: str) -> str:
    """One file of vectors."""
    book = Book()
    for case in FILES[name].CASES:
        case(book)
    return to_json(book.vectors)


def main() -> None:
    for name in FILES:
        (HERE / name).write_text(generate(name), encoding="utf-8")


if __name__ == "__main__":
    main()
