"""A day's ledger on a network of validators that runs already, made by `peerwatt network create`.

Knows the network's folder, with the seed that all its test keys follow from, and its client.
Nothing is believed of the nodes: the client checks the validators' signatures and executes every
block again. One chain holds one day: the names of a second one's site, tariff and meters would be
taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from peerwatt.contracts import ledger
from peerwatt.contracts.state import chain_of
from peerwatt.hosts.cometbft import commits
from peerwatt.hosts.cometbft.client import CometHost
from peerwatt.hosts.cometbft.localnet import GENESIS, PEERWATT, Network
from peerwatt.hosts.cometbft.rpc import RpcError, Unusable
from peerwatt.simulation.consortium import CLOCK, ROLES, Keyring

SEAL_TIMEOUT_S = 90.0
"""How long what was submitted may take into blocks: enough for a node to come back."""


class NetworkRefused(ValueError):  # noqa: N818
    """A network on which this day cannot be lived: one line that names it and the reason."""


class OnNetwork:
    """The chain of a running network.

    Args:
        folder: the network's.
        start_s: the market time at which the day's chain begins; the network's must be before.

    Raises:
        FilesError: it is no network's folder, or a key in it cannot be used.
        NetworkRefused: it does not run, or cannot take this day.
    """

    can_smuggle = False

    def __init__(self, folder: Path, start_s: int) -> None:
        self._folder, self._network = folder, Network(folder)
        if self._network.app != PEERWATT:
            raise NetworkRefused(f"{folder}: runs '{self._network.app}', not peerwatt's ledger")
        self.keys = Keyring(self._network.seed, self._network.chain_id)
        for name in (CLOCK, *ROLES):
            if self._network.key(name).public != self.keys.key(name).public:
                raise NetworkRefused(f"{folder}: keys/{name}.json: does not follow from its seed")
        self._document = (self._network.folder / GENESIS).read_bytes()
        self.urls = [node.rpc for node in self._network.nodes]
        self.host = CometHost(ledger, self.urls, self._document)
        self._catch_up()
        self._check_free(start_s)

    def _catch_up(self) -> None:
        try:
            self.host.sync()
        except Unusable as error:
            start = f"peerwatt network start {self._folder}"
            raise NetworkRefused(f"no node can be used; run: {start} ({error})") from None
        except TimeoutError as error:
            raise NetworkRefused(f"{self._folder}: {error}") from None

    def _check_free(self, start_s: int) -> None:
        """Refuse a chain that another clock moves, that is past the day, or has had its day."""
        chain = chain_of(self.host.state)
        if chain.tick_key != self.keys.key(CLOCK).public:
            why = "its market time is that of its blocks; create one with --clock tick"
            raise NetworkRefused(f"{self._folder}: {why}")
        for key, _ in self.host.items("sites"):
            why = f"its chain has a site '{key.decode()}' already, and holds one day only"
            raise NetworkRefused(f"{self._folder}: {why}; create a new network")
        if chain.market_time_s > start_s:
            now, due = (f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M} UTC" for t in (
                chain.market_time_s, start_s
            ))  # fmt: skip
            why = f"its chain's time is {now} already, and the day begins at {due}"
            raise NetworkRefused(f"{self._folder}: {why}")

    def seal(self, time_s: int, smuggled: Sequence[bytes] = ()) -> None:
        """Wait until all that was submitted stands in blocks. The blocks' own time is the
        network's, and market time that of the ticks in them, so `time_s` changes nothing."""
        if smuggled:
            raise ValueError("smuggled: only validators could put lies past admission into blocks")
        host, before = self.host, self.host.height
        try:
            host.wait_until(
                lambda: host.height > before and not host.pending, timeout_s=SEAL_TIMEOUT_S
            )
        except TimeoutError as error:
            raise NetworkRefused(f"{self._folder}: {error}") from None
        for receipt in host.dropped:
            why = f"let in and later refused in {receipt.field} (reason {receipt.reason})"
            raise NetworkRefused(f"{self._folder}: {receipt.transaction_id.hex()[:16]}… was {why}")

    def export(self, folder: Path) -> None:
        """The chain's files, and beside them the validators' signatures of every block."""
        self.host.export(folder)
        try:
            commits.write(folder, self._document, self.urls, self.host.height)
        except RpcError as error:
            raise NetworkRefused(f"{self._folder}: {error}") from None
