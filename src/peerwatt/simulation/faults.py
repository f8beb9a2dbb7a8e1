"""A ledger under attack: one seed drives parties that lie, a bad network and a failing disk.

Knows the host, the actors, the disk and the checkers. Nothing here reads a clock or any other
source of chance: the same seed gives the same blocks.
"""

from __future__ import annotations

import tempfile
from collections import Counter, deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from peerwatt.contracts import ledger
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.replay import replay_blocks
from peerwatt.hosts.replica import BlockRefused
from peerwatt.hosts.store import StoreError
from peerwatt.records.codec import digest
from peerwatt.simulation.actors import Actors
from peerwatt.simulation.checkers import Checkers
from peerwatt.simulation.disk import STATEMENTS, Disk, FailingStore, PowerCut
from peerwatt.simulation.failures import CheckFailed, require
from peerwatt.simulation.forgeries import offer
from peerwatt.simulation.lies import HUGE, OVERSIZED, Liar
from peerwatt.simulation.parties import Parties
from peerwatt.simulation.reference import ENDED

MOST_MESSAGES, MOST_PROPOSALS = 18, 8
LOST, DOUBLED, DELAYED, SHUFFLED = 0.05, 0.08, 0.12, 0.3
AT_ONCE = 0.2
"""How often everybody sends before anything is delivered, unaware of one another."""
SPOILT, TWISTED, DISHONEST, QUIET = 0.06, 0.15, 0.1, 0.08
POWER_CUT, DISK_ERROR, RESTART, TICK = 0.06, 0.03, 0.03, 0.9
FAR_S = 31 * 86_400


@dataclass(slots=True)
class Outcome:
    """What a seed came to; `failure` is empty where every checker was content. `reasons` counts
    refusals by name, `happened` what rounds and disputes came to."""

    seed: int
    blocks: int = 0
    accepted: int = 0
    refused: int = 0
    settled_rounds: int = 0
    power_cuts: int = 0
    disk_errors: int = 0
    restarts: int = 0
    head_id: bytes = b""
    reasons: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    failure: str = ""


def run_seed(seed: int, blocks: int, heard: Callable[[int, int], None] | None = None) -> Outcome:
    """Live through a seed's blocks on a disk of its own.

    Args:
        blocks: how many blocks the parties act for; those in which rounds end come on top.
        heard: hears of the blocks that are done, and of how many there are.
    """
    outcome = Outcome(seed)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with closing(Attack(outcome, Path(folder) / "chain.db")) as attack:
                attack.run(blocks, heard)
        except CheckFailed as failed:
            outcome.failure = str(failed)
        except Exception as error:
            outcome.failure = f"no stop: {type(error).__name__}: {error}"
    return outcome


class Network:
    """Between the parties and the host: it loses, doubles, delays and reorders."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._under_way: list[tuple[int, bytes]] = []

    def send(self, transaction: bytes, height: int) -> None:
        """Take a message in while the chain has this height."""
        if self._chance.random() < LOST:
            return
        for _ in range(1 + (self._chance.random() < DOUBLED)):
            late = self._chance.randint(1, 4) if self._chance.random() < DELAYED else 0
            self._under_way.append((height + late, transaction))

    def deliver(self, height: int) -> list[bytes]:
        """What arrives while the chain has this height."""
        arrived = [data for due, data in self._under_way if due <= height]
        self._under_way = [each for each in self._under_way if each[0] > height]
        if self._chance.random() < SHUFFLED:
            self._chance.shuffle(arrived)
        return arrived


class Attack:
    """One chain from its genesis until its rounds have ended."""

    def __init__(self, outcome: Outcome, path: Path) -> None:
        self._outcome = outcome
        self._chance = Random(outcome.seed)
        self._parties = Parties(outcome.seed, self._chance)
        self._actors = Actors(self._parties, self._chance)
        self._liar = Liar(self._parties, self._chance)
        self._network = Network(self._chance)
        self._disk = Disk(path, self._chance)
        self._genesis = self._parties.genesis()
        self._admitted: list[bytes] = []
        self._seen: deque[bytes] = deque(maxlen=200)
        self._ticks: deque[bytes] = deque(maxlen=20)
        self._open()
        witness, chance = self._parties.key("regulator"), Random(f"{outcome.seed} checkers")
        self._checkers = Checkers(self._host, self._genesis, witness, chance)

    def run(self, blocks: int, heard: Callable[[int, int], None] | None = None) -> None:
        """Begin, act for so many blocks, and let every round end."""
        for message in self._parties.founding():
            self._submit(message)
        self._seal(())
        while self._host.height < blocks:
            self._step()
            self._count()
            if heard is not None:
                heard(self._host.height, blocks)
        self._end()
        self._count()

    def _count(self) -> None:
        self._outcome.blocks = self._host.height
        self._outcome.head_id = self._host.head_id
        self._outcome.accepted = self._checkers.accepted
        self._outcome.settled_rounds = self._checkers.settled_rounds
        self._outcome.reasons, self._outcome.happened = (
            self._checkers.reasons,
            self._checkers.happened,
        )

    def _open(self) -> None:
        """Start the host's process from what is on the disk."""
        self._store = FailingStore(self._disk)
        key = self._parties.key("operator-north")
        try:
            self._host = EmbeddedHost(ledger, self._store, key, self._genesis)
        except StoreError as error:
            raise CheckFailed("nothing lost", f"the chain cannot be opened: {error}") from error
        self._parties.host = self._host
        self._admitted.clear()

    def _step(self) -> None:
        """One block, or a failure in place of it."""
        quiet = self._chance.random() < QUIET
        extra = self._false_ticks() if quiet else ()
        if not quiet:
            self._busy()
            extra = self._smuggled() if self._chance.random() < DISHONEST else ()
        fate = self._chance.random()
        if fate < POWER_CUT:
            self._power_cut(extra)
        elif fate < POWER_CUT + DISK_ERROR:
            self._disk_error(extra)
        else:
            self._seal(extra)
        if self._chance.random() < RESTART:
            self._restart()

    def _busy(self) -> None:
        """The clock ticks and everybody sends."""
        tick = self._actors.tick() if self._chance.random() < TICK else None
        if tick is not None:
            self._submit(self._bent(tick))
        at_once = self._chance.random() < AT_ONCE
        for _ in range(self._chance.randrange(MOST_MESSAGES)):
            self._send()
            if not at_once:
                self._deliver()
        self._deliver()
        for _ in range(self._chance.randrange(MOST_PROPOSALS)):
            proposal = self._actors.propose()
            if proposal is not None:
                self._submit(proposal)

    def _false_ticks(self) -> tuple[bytes, ...]:
        """Nothing waits, so that what a dishonest proposer puts into the block begins it."""
        tick = self._actors.tick()
        if tick is None:
            return ()
        self._ticks.append(tick)
        if self._chance.random() < 0.25:
            return (self._actors.foreign_tick(),)
        how = self._chance.choice((self._liar.spoil, self._liar.spoil, self._liar.twist))
        return (how(tick) if self._chance.random() < 0.7 else self._chance.choice(self._ticks),)

    def _send(self) -> None:
        message = self._act()
        if message is not None:
            self._network.send(message, self._host.height)

    def _act(self) -> bytes | None:
        message = self._actors.act()
        return None if message is None else self._bent(message)

    def _bent(self, message: bytes) -> bytes:
        """The message; or a signed lie in its place, or what is left of it after an attack."""
        lot = self._chance.random()
        if lot < TWISTED:
            return self._liar.twist(message)
        return self._liar.spoil(message) if lot < TWISTED + SPOILT else message

    def _deliver(self) -> None:
        for message in self._network.deliver(self._host.height):
            self._submit(message)

    def _submit(self, transaction: bytes) -> None:
        self._seen.append(transaction)
        receipt = self._host.submit(transaction)
        self._checkers.submitted(transaction, receipt)
        if receipt.ok:
            if digest(transaction) not in self._admitted:  # doubled by the network
                self._admitted.append(digest(transaction))
                self._parties.let_in(transaction)
        else:
            self._outcome.refused += 1

    def _smuggled(self) -> tuple[bytes, ...]:
        """What a dishonest proposer puts into a block unchecked: old, doubled, spoilt, refused."""
        count = min(len(self._seen), self._chance.randint(1, 4))
        chosen = self._chance.sample(tuple(self._seen), count)
        fresh = HUGE if self._chance.random() < OVERSIZED else self._act()
        proposal = self._actors.propose()
        if proposal is not None:
            chosen.append(proposal)
        if fresh is not None:
            chosen += [fresh, fresh] if self._chance.random() < 0.5 else [fresh]
        return tuple(chosen)

    def _seal(self, extra: tuple[bytes, ...]) -> None:
        """A block that nothing disturbs."""
        self._host.seal(self._parties.clock_s, extra)
        self._sealed()

    def _sealed(self) -> None:
        self._checkers.after_block(self._host, self._admitted)
        self._admitted.clear()
        self._parties.forget()

    def _power_cut(self, extra: tuple[bytes, ...]) -> None:
        """The power goes inside the commit of a block; it is then there whole or not at all."""
        self._outcome.power_cuts += 1
        height, admitted = self._host.height, list(self._admitted)
        in_writing = self._chance.random() < 0.4
        statement = STATEMENTS if in_writing else self._chance.randrange(STATEMENTS)
        self._store.fail_at(statement, dark=True)
        try:
            self._host.seal(self._parties.clock_s, extra)
        except PowerCut:
            pass
        else:
            raise CheckFailed("nothing lost", "a block was kept without being written")
        intended = self._store.intended
        self._store.mend()
        self._store.close()
        self._disk.restore()
        self._open()
        self._checkers.differential.forget()
        if self._host.height == height:
            self._checkers.after_restart(self._host)
            self._parties.forget()
            return
        if intended is None or self._host.app_hash != intended.app_hash:
            raise CheckFailed("nothing lost", "neither the old nor the new block after a power cut")
        self._admitted = admitted
        self._sealed()

    def _disk_error(self, extra: tuple[bytes, ...]) -> None:
        """The disk refuses a statement; the host goes on as if the block had never been tried."""
        self._outcome.disk_errors += 1
        self._store.fail_at(self._chance.randrange(STATEMENTS), dark=False)
        try:
            self._host.seal(self._parties.clock_s, extra)
        except StoreError:
            self._checkers.after_restart(self._host)
        else:
            raise CheckFailed("nothing lost", "a block was kept without being written")
        self._store.mend()

    def _restart(self) -> None:
        """The process ends in good order and starts again; what waited is gone."""
        self._outcome.restarts += 1
        self._store.close()
        self._open()
        self._parties.forget()
        self._checkers.differential.forget()
        self._checkers.after_restart(self._host)

    def _end(self) -> None:
        """Time runs on until every round has ended; then the chain is run again from genesis."""
        self._restart()
        tick = self._parties.tick(FAR_S)
        if tick is not None:
            self._submit(tick)
        self._seal(())
        # A round takes at most five steps, and a block at least one.
        left = 5 * len(self._host.items("agenda"))
        while any(each.status not in ENDED for _, each in self._host.items("rounds")):
            self._seal(())
            left -= 1
            moved = left >= 0 and self._host.result(self._host.height).events
            require(bool(moved), "rounds end", "a round that is due does not move")
        self._replay()

    def _replay(self) -> None:
        """Another runs the chain again; it takes no block that is not the next one."""
        *blocks, last = map(self._host.block, range(1, self._host.height + 1))
        key, other = self._parties.key("operator-north"), self._parties.key("operator-south")
        try:
            replayed = replay_blocks(self._genesis, blocks, ledger)
            offer(replayed, last, key, other)
        except BlockRefused as refused:
            raise CheckFailed("replay", str(refused)) from refused
        self._checkers.at_the_end(self._host, replayed)

    def close(self) -> None:
        """Give the disk back."""
        self._store.close()
