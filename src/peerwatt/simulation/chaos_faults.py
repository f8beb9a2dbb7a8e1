"""The faults: each is done to a network that trades, and undone where it can be.

Knows the network, its files and the market's messages. A fault checks what is particular to it;
what must hold after all of them is checked by whoever runs them.
"""

from __future__ import annotations

import resource
import shutil
import sqlite3
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from peerwatt.hosts.cometbft import node_files, running
from peerwatt.hosts.cometbft.localnet import Node
from peerwatt.hosts.cometbft.node import SNAPSHOTS, STORE
from peerwatt.hosts.cometbft.rpc import Rpc, RpcError
from peerwatt.hosts.cometbft.running import NetworkError
from peerwatt.hosts.cometbft.snapshots import SUFFIX, describe
from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest, encode
from peerwatt.records.market import Mechanism, prices_hash
from peerwatt.records.members import Account
from peerwatt.records.receipts import Reason
from peerwatt.records.signing import SigningKey
from peerwatt.simulation.chaos_market import DRIVERS, OPERATOR, PENALTY_UCOIN, Market
from peerwatt.simulation.chaos_net import SNAPSHOT_EVERY, ChaosNet
from peerwatt.simulation.failures import require
from peerwatt.simulation.parties import CLOCK, FINE_UCOIN

STANDSTILL_S = 6.0
FAR_BLOCKS = 5
SLOW_S, RESET_CHANCE = 0.25, 0.003
FLOOD = 600
TWIN = "twin"


T = TypeVar("T")


class Ask(Protocol):
    """Has something done with the market, in its own thread between two rounds."""

    def __call__(self, what: Callable[[Market], T], /) -> T:
        """What it comes to."""


@dataclass(slots=True)
class Chaos:
    """What faults are done to."""

    net: ChaosNet
    ask: Ask
    chance: Random

    def victim(self) -> Node:
        """A validator by chance."""
        return self.chance.choice(self.net.validators)

    def others(self, *nodes: Node) -> list[Node]:
        """The validators but these."""
        return [node for node in self.net.validators if node not in nodes]


def kill_one(on: Chaos) -> None:
    """One node dies and comes back."""
    _kill(on, on.victim())


def kill_proposer(on: Chaos) -> None:
    """The node whose turn it is dies and comes back."""
    _kill(on, on.net.proposer())


def _kill(on: Chaos, node: Node) -> None:
    on.net.kill(node)
    on.net.grows(on.others(node))
    on.net.start(node)


def kill_all(on: Chaos) -> None:
    """All nodes die and come back."""
    for node in on.net.validators:
        on.net.kill(node)
    on.net.start(*on.net.validators)


def partition_even(on: Chaos) -> None:
    """Two against two: nothing is decided until the network is whole again."""
    one = on.victim()
    pair = [one, on.chance.choice(on.others(one))]
    with _held(on, pair):
        on.net.wait(lambda: _still(on), "blocks are made by two of four")


def _still(on: Chaos) -> bool:
    """Whether no node comes further for a while; a block that was decided before may arrive."""
    before = max(on.net.heights(on.net.validators))
    with suppress(Exception):
        on.net.wait(lambda: max(on.net.heights(on.net.validators)) > before, "", STANDSTILL_S)
        return False
    return True


def partition_one(on: Chaos) -> None:
    """Three against one: the three go on, and the one does not."""
    one = on.victim()
    with _held(on, [one]):
        on.net.grows(on.others(one), 4)
        (alone,), least = on.net.heights([one]), min(on.net.heights(on.others(one)))
        require(alone < least, "partition", f"{one.name} got to {alone}, the others to {least}")


@contextmanager
def _held(on: Chaos, apart: list[Node]) -> Iterator[None]:
    on.net.links.hold([node.name for node in apart], [node.name for node in on.others(*apart)])
    try:
        yield
    finally:
        on.net.links.heal()


def bad_links(on: Chaos) -> None:
    """A node's links are slow and break."""
    on.net.links.spoil(on.victim().name, SLOW_S, RESET_CHANCE)
    try:
        on.net.grows(on.net.validators, 5)
    finally:
        on.net.links.heal()


def full_disk(on: Chaos) -> None:
    """A node can write no more: it ends or stands still, the others go on, and it comes back with
    room to write. The kernel's limit on the size of files stands in for the disk."""
    node = on.victim()
    known = running.pids(on.net.network.home(node))
    for part in (running.APP, running.ENGINE):
        resource.prlimit(known[part], resource.RLIMIT_FSIZE, (1, 1))
    _falls_behind(on, node)
    on.net.kill(node)
    on.net.start(node)


def _falls_behind(on: Chaos, node: Node) -> None:
    """Wait until the others are far ahead of a node. An engine whose consensus fails says so in
    its log and answers on, so its process alone tells nothing."""

    def behind() -> bool:
        least, (alone,) = min(on.net.heights(on.others(node))), on.net.heights([node])
        return least > alone + FAR_BLOCKS

    on.net.wait(behind, f"{node.name} goes on")


def skewed_clocks(on: Chaos) -> None:
    """A clock that runs backwards and a client whose messages are over are refused."""
    early_s = on.chance.randrange(1, 100_000)
    on.ask(lambda market: _skewed(market, early_s))


def _skewed(market: Market, early_s: int) -> None:
    parties, now_s = market.parties, market.parties.now_s
    back: dict[str, Any] = {"time_s": now_s - early_s, "valid_until_s": now_s + early_s}
    _refused(market, parties.sign(CLOCK, tx.Tick, **back), Reason.CLOCK_BACKWARDS)
    to = parties.key("bob").public
    late: dict[str, Any] = {"to": to, "amount_ucoin": 1, "valid_until_s": now_s - early_s}
    _refused(market, parties.sign("ann", tx.Transfer, **late), Reason.EXPIRED)
    early: dict[str, Any] = {"time_s": now_s + early_s, "valid_until_s": now_s + early_s}
    stranger = parties.sign("ann", tx.Tick, **early)
    _refused(market, stranger, Reason.NOT_PERMITTED)


def _refused(market: Market, transaction: bytes, *reasons: Reason) -> None:
    """A transaction is refused, for one of these reasons."""
    found = market.attempt(transaction)
    reason = Reason(found.receipt.reason)
    wanted = " or ".join(each.name for each in reasons)
    require(reason in reasons, "refusals", f"{reason.name} {found.receipt.field}, not {wanted}")


def false_state(on: Chaos) -> None:
    """The state of a node is changed behind its back: it must not go on; the others do."""
    node = on.victim()
    running.stop(on.net.network, [node])
    path = on.net.network.home(node) / STORE
    aside = path.with_suffix(".aside")
    shutil.copyfile(path, aside)
    key = on.ask(lambda market: market.parties.key("ann").public)
    with closing(sqlite3.connect(path)) as db, db:
        change = "UPDATE state SET value = ? WHERE name = 'accounts' AND key = ?"
        done = db.execute(change, (encode(Account(free_ucoin=10**9)), key)).rowcount
    require(done == 1, "false state", "there was nothing to change")
    with suppress(NetworkError):
        on.net.start(node)
    _falls_behind(on, node)
    on.net.kill(node)
    for leftover in path.parent.glob(f"{path.name}-*"):
        leftover.unlink()
    aside.replace(path)
    on.net.start(node)


def false_clearing(on: Chaos) -> None:
    """A member proposes prices that prove nothing: every validator refuses them, it pays the fine,
    and the round ends without them."""
    prices = tuple(on.chance.randrange(10**9) for _ in DRIVERS)
    on.ask(lambda market: _false_clearing(market, prices))


def _false_clearing(market: Market, prices: tuple[int, ...]) -> None:
    round_id = market.open_round(Mechanism.WELFARE_PAIRS)
    market.order(round_id)
    market.tick(market.host.get("rounds", round_id).gate_s)
    proposal: dict[str, Any] = {
        "round_id": round_id,
        "orders_root": market.host.get("rounds", round_id).orders_root,
        "prices_hash": prices_hash(prices),
        "part": 0,
        "parts": 1,
        "prices": prices,
    }
    reasons = [reason for reason in Reason if reason >= Reason.WRONG_BOOK]
    before = _free_ucoin(market)
    _refused(market, market.parties.sign(OPERATOR, tx.ProposeClearing, **proposal), *reasons)
    require(before - _free_ucoin(market) == FINE_UCOIN, "penalty", "the fine was not paid")
    market.tick(market.host.get("rounds", round_id).clear_by_s)
    market.deliver(round_id)
    _report(market, round_id)


def _free_ucoin(market: Market) -> int:
    free: int = market.host.get("accounts", market.parties.key(OPERATOR).public).free_ucoin
    return free


def _report(market: Market, round_id: bytes) -> None:
    market.send(market.report(round_id))
    market.wait()
    market.finish(round_id)


def forged_reading(on: Chaos) -> None:
    """Readings that no meter signed are refused, and the meters' own taken."""
    on.ask(_forged_reading)


def _forged_reading(market: Market) -> None:
    round_id = market.open_round(Mechanism.WELFARE)
    market.order(round_id)
    market.tick(market.host.get("rounds", round_id).clear_by_s)
    market.deliver(round_id)
    _refused(market, market.report(round_id, "stranger"), Reason.BAD_READING_SIGNATURE)
    _report(market, round_id)


def equivocation(on: Chaos) -> None:
    """Two engines run with one validator's key: the evidence costs its member a penalty."""
    node = on.victim()
    known = len(on.ask(_equivocations))
    running.stop(on.net.network, [node])
    twin = _twin(on, node)
    on.net.start(node)
    on.net.start(twin)
    try:
        on.net.wait(lambda: len(on.ask(_equivocations)) > known, f"{node.name} pays nothing")
    finally:
        on.net.kill(twin)
    *_, (_, record) = on.ask(_equivocations)
    require(record.fine_ucoin == PENALTY_UCOIN, "penalty", f"is {record.fine_ucoin}")


def _equivocations(market: Market) -> list[tuple[bytes, Any]]:
    return market.host.items("equivocations")


def _twin(on: Chaos, node: Node) -> Node:
    """A second node with all that a stopped one has but for its name among peers and its ports."""
    network = on.net.network
    twin = network.add(f"{TWIN}-{len(network.nodes)}")
    home, other = network.home(node), network.home(twin)
    shutil.rmtree(other / "data")
    shutil.copytree(home / "data", other / "data")
    shutil.copyfile(home / node_files.VALIDATOR_KEY, other / node_files.VALIDATOR_KEY)
    on.net.reroute(network.nodes)
    return twin


def stale_snapshot(on: Chaos) -> None:
    """A validator offers an old state under a new height to a node that joins: it must begin from a
    true one, or not at all."""
    net, network = on.net, on.net.network
    net.wait(lambda: min(net.heights(net.validators)) > SNAPSHOT_EVERY + 2, "no snapshots")
    header = on.ask(lambda market: market.host.engine_header(market.host.height - 1))
    liar = on.victim()
    running.stop(network, [liar])
    shelf = network.home(liar) / STORE.parent / SNAPSHOTS
    newest = max(shelf.glob(f"*{SUFFIX}"), key=lambda path: int(path.name.partition("-")[0]))
    data = newest.read_bytes()
    height = int(newest.name.partition("-")[0]) + 1
    name = f"{height}-{describe(height, data).hash.hex()}{SUFFIX}"
    (shelf / name).write_bytes(data)
    net.start(liar)
    joining = network.add(
        f"joining-{len(network.nodes)}",
        trust_height=header.height,
        trust_hash=header.hash.hex().upper(),
    )
    net.reroute([joining])
    try:
        net.start(joining)
        net.wait(lambda: net.heights([joining])[0] > height, "the new node does not catch up")
        at = net.heights([joining])[0]
        same = net.app_hash(joining, at) == net.app_hash(on.others(liar)[0], at)
        require(same, "one state", f"the new node's is another at {at}")
    finally:
        net.kill(joining)
        (shelf / name).unlink(missing_ok=True)


def flood(on: Chaos) -> None:
    """Messages that are refused come faster than blocks; what is honest is settled all the same."""
    stranger, chain_id = SigningKey(digest(b"flood")), on.net.network.chain_id
    message = tx.Transfer(
        chain_id=chain_id,
        signer=stranger.public,
        nonce=0,
        valid_until_s=10**10,
        to=stranger.public,
        amount_ucoin=1,
    )
    nodes = [Rpc(node.rpc) for node in on.net.validators]
    try:
        for number in range(FLOOD):
            data = tx.sign_message(replace(message, nonce=number), stranger)
            with suppress(RpcError):
                on.chance.choice(nodes).call("broadcast_tx_async", tx=b64encode(data).decode())
    finally:
        for node in nodes:
            node.close()


FAULTS: dict[str, Callable[[Chaos], None]] = {
    "kill-one": kill_one,
    "kill-proposer": kill_proposer,
    "kill-all": kill_all,
    "partition-2-2": partition_even,
    "partition-3-1": partition_one,
    "bad-links": bad_links,
    "full-disk": full_disk,
    "skewed-clocks": skewed_clocks,
    "false-state": false_state,
    "false-clearing": false_clearing,
    "equivocation": equivocation,
    "forged-reading": forged_reading,
    "stale-snapshot": stale_snapshot,
    "flood": flood,
}
