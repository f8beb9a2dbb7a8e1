"""Prints the pages of docs/ that are drawn from the code: reasons, state, the life of a round.

Knows the contracts' tables. `python tools/docs.py` writes the pages; a test fails where one
differs from what the code says.
"""

from __future__ import annotations

from pathlib import Path

from peerwatt.contracts.rounds import LIFE
from peerwatt.contracts.state import TABLES
from peerwatt.records.market import RoundStatus
from peerwatt.records.receipts import Reason

DOCS = Path(__file__).parents[1] / "docs"
NOTE = "<!-- printed by tools/docs.py; change the code, not this page -->\n"
STATES = {
    RoundStatus.OPEN: "Orders come and go.",
    RoundStatus.CLOSED: "The book is sealed; passed through within one block.",
    RoundStatus.CLEARED: "Awards stand, prices are fixed, holds have shrunk to what can be lost.",
    RoundStatus.DELIVERED: "The slot is over; readings are awaited.",
    RoundStatus.SETTLED: "Money has moved; a driver may still object.",
    RoundStatus.ENDED: "Its rows live on in the sealed trees alone.",
    RoundStatus.VOID: "Nobody ordered; nothing was held.",
}


def reasons() -> str:
    """Every numbered reason in words."""
    rows = [f"| {each.value} | `{each.name}` | {each.words} |" for each in Reason]
    return "\n".join(
        [
            "# Reasons",
            "",
            NOTE,
            "Why the ledger refuses. A refusal is a receipt with a number and the field that is to",
            "blame; it changes nothing but, in a block, its sender's nonce. Where several reasons",
            "hold, the first check decides: 1xx come before all others. Numbers are never reused.",
            "",
            "| Number | Name | In words |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def state() -> str:
    """Every table of the ledger's state."""
    rows = [
        f"| `{each.name}` | {each.keys} | `{_name(each.record)}` | {'yes' if each.hashed else ''} |"
        for each in TABLES
    ]
    return "\n".join(
        [
            "# State",
            "",
            NOTE,
            "All that the ledger keeps. Hashed tables are proved by the app hash, each as a store",
            "of its name. The others follow from the messages, or are on their way into a round's",
            "sealed trees, whose roots stand in the round. A key behind a semicolon lies in the",
            "scope of what stands before it.",
            "",
            "| Table | Key | Record | Hashed |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _name(record: object) -> str:
    return getattr(record, "__name__", "") or " or ".join(
        part.__name__ for part in getattr(record, "__args__", ())
    )


def life_cycle() -> str:
    """The life of a round as a diagram."""
    moves = [f"    {m.before.name} --> {m.after.name}: {m.trigger}" for m in LIFE]
    rows = [f"| `{status.name}` | {STATES[status]} |" for status in RoundStatus]
    return "\n".join(
        [
            "# The life of a round",
            "",
            NOTE,
            "Time alone moves a round on: what is due stands in the ledger's agenda, and every",
            "block does a bounded share of it.",
            "",
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> OPEN: OpenRound",
            *moves,
            "```",
            "",
            "| State | What it means |",
            "|---|---|",
            *rows,
            "",
        ]
    )


PAGES = {"reasons.md": reasons, "state.md": state, "life-cycle.md": life_cycle}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
