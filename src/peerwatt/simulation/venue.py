"""Where a day's ledger is: in this process, or on a network of validators that runs already.

Knows the hosts, and how the keys of a test chain follow from its seed. A day is the same at both:
between two boundaries all that was submitted comes into blocks, one here, some more there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from peerwatt.contracts import ledger
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.store import Store
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.consortium import Keyring, chain_id_of, genesis_of
from peerwatt.simulation.timetable import DISPUTE_WINDOW_S

if TYPE_CHECKING:
    from peerwatt.hosts.cometbft.client import CometHost


class Venue(Protocol):
    """A chain to live a day on, and all its keys."""

    @property
    def keys(self) -> Keyring:
        """Every key of the chain."""

    @property
    def host(self) -> EmbeddedHost | CometHost:
        """The chain; it stands at an hour before the day at the latest."""

    @property
    def can_smuggle(self) -> bool:
        """Whether this process makes the blocks, and so could put lies into them."""

    def seal(self, time_s: int, smuggled: Sequence[bytes] = ()) -> None:
        """A boundary: from here on all that was submitted stands in blocks, and one more block has
        come at least. What is `smuggled` goes into the block unchecked, where that can be done.

        Raises:
            ValueError: it did not come into blocks.
        """

    def export(self, folder: Path) -> None:
        """Write the chain, and what stands behind it, as files."""


class OneProcess:
    """A chain of the day's own, in this process: the site's operator makes all blocks.

    Args:
        config: the day's assumptions, from which chain id and keys follow.
        start_s: when the chain begins.
        chain_id: another name for the chain; it begins with `sim-`.
        operators: names of members that run a hub of their own, beside the first one.

    Raises:
        ValueError: the name will not do.
    """

    can_smuggle = True

    def __init__(
        self,
        config: DayConfig,
        start_s: int,
        *,
        chain_id: str | None = None,
        operators: Sequence[str] = (),
    ) -> None:
        self.keys = Keyring(config.sellers.seed, chain_id or chain_id_of(config))
        genesis = genesis_of(self.keys, start_s, DISPUTE_WINDOW_S, operators)
        self.host = EmbeddedHost(ledger, Store(None), self.keys.key("aggregator"), genesis)

    def seal(self, time_s: int, smuggled: Sequence[bytes] = ()) -> None:
        """One block."""
        self.host.seal(time_s, extra=smuggled)

    def export(self, folder: Path) -> None:
        """The chain's files."""
        self.host.export(folder)
