"""A validator's application as a process: `python -m peerwatt.hosts.cometbft.node --home DIR`.

Knows a node's folder. The engine runs beside it with the same folder and connects to it.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from peerwatt.hosts.cometbft.app import Application
from peerwatt.hosts.cometbft.genesis import read_genesis_document
from peerwatt.hosts.cometbft.node_files import SOCKET
from peerwatt.hosts.cometbft.server import Failed, Server, listen
from peerwatt.hosts.cometbft.snapshots import Shelf
from peerwatt.hosts.host import Ledger
from peerwatt.hosts.store import Store

STORE = Path("data", "peerwatt.db")
SNAPSHOTS = "peerwatt-snapshots"
SNAPSHOT_EVERY = 1_000

logger = logging.getLogger(__name__)


def default_address(home: Path) -> str:
    """Where a node's application listens, and its engine's `proxy_app` must point."""
    return f"unix://{home / SOCKET}"


def serve(
    ledger: Ledger,
    store_path: Path,
    address: str,
    genesis: bytes,
    *,
    snapshot_every: int = SNAPSHOT_EVERY,
    keep_blocks: int = 0,
) -> None:
    """Serve a ledger to an engine until SIGTERM or SIGINT.

    Args:
        ledger: the contracts.
        store_path: the file that holds the chain; its snapshots are kept beside it.
        address: `unix:///path` or `tcp://host:port`.
        genesis: canonical bytes of the ledger's `Genesis`.
        snapshot_every: in how many blocks a snapshot is taken; 0 for never.
        keep_blocks: how many blocks are kept; 0 for all.

    Raises:
        AddressError, StoreError, ValueError: it cannot begin; says why in one line.
        Failed: it cannot go on.
    """
    with Store(store_path) as store:
        shelf = Shelf(store_path.parent / SNAPSHOTS, snapshot_every)
        application = Application(ledger, store, genesis, shelf, keep_blocks=keep_blocks)
        server = Server(listen(address), application.answer)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: server.stop())
        logger.info("serving height %d at %s", application.chain.height, address)
        server.run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node's application; 0 when it was stopped, 1 with one line when it could not go on."""
    from peerwatt.contracts import ledger

    parser = argparse.ArgumentParser(prog="peerwatt-node", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the node's folder")
    parser.add_argument("--address", help="unix:///path or tcp://host:port to listen on")
    parser.add_argument("--snapshot-every", type=int, default=SNAPSHOT_EVERY, help="0: never")
    parser.add_argument("--keep-blocks", type=int, default=0, help="0 keeps all")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home: Path = options.home
    address = options.address or default_address(home)
    try:
        genesis = read_genesis_document(home)
        serve(
            ledger,
            home / STORE,
            address,
            genesis,
            snapshot_every=options.snapshot_every,
            keep_blocks=options.keep_blocks,
        )
    except (ValueError, OSError, Failed) as error:
        print(f"peerwatt: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
