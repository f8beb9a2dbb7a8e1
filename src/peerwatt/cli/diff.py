"""`peerwatt diff`: whether two runs of a day came to the same."""

from __future__ import annotations

from pathlib import Path

from peerwatt.audit.compare import compare
from peerwatt.audit.folder import open_chain
from peerwatt.cli.screen import console, plain, progress
from peerwatt.hosts.replica import Replica

MOST = 10
"""How many differences of each part are shown."""


def run_diff(ours: Path, theirs: Path) -> bool:
    """Show what differs; whether nothing does."""
    with progress("blocks"):
        first, second = _open(ours), _open(theirs)
        parts = compare(first, second)
    for part in parts:
        console.print(f"{part.name}: {part.ours:,} and {part.theirs:,}")
        for line in part.differences[:MOST]:
            console.print(f" - {plain(line)}")
        if len(part.differences) > MOST:
            console.print(f"   and {len(part.differences) - MOST:,} more differences")
    same = not any(part.differences for part in parts)
    console.print("No difference." if same else "They differ.")
    if not same and first.chain_id != second.chain_id:
        ids = f"These are two chains, {plain(first.chain_id)} and {plain(second.chain_id)}"
        console.print(
            f"{ids}: keys and order ids follow from that, and ties between equal orders, of a Wh "
            "each, from order ids. Days on chains of one --chain-id and --seed have no such excuse."
        )
    return same


def _open(folder: Path) -> Replica:
    try:
        return open_chain(folder)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
