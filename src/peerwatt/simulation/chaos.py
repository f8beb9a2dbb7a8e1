"""Faults on four real validators that trade: a seed picks which and when, and all must hold after.

Knows the faults, the network, the market, and what a client can check. Times and choices follow
from the seed; what the processes make of them does not, so a replay does the same, and can differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Self, TypeVar

from peerwatt.hosts.cometbft.client import CometHost
from peerwatt.records.receipts import Receipt
from peerwatt.simulation.chaos_faults import FAULTS, Chaos
from peerwatt.simulation.chaos_market import TIMEOUT_S, ChaosParties, Market
from peerwatt.simulation.chaos_net import ChaosNet, clear
from peerwatt.simulation.failures import CheckFailed, require

T = TypeVar("T")
FAULTS_A_SEED = 4
PROGRESS_S = 240.0
ENOUGH = 12
"""How many of the faults a soak of many seeds must have done."""


@dataclass(slots=True)
class Outcome:
    """What a seed came to; `failure` is empty where all held. `done` are the faults after which
    all was checked."""

    seed: int
    faults: list[str]
    done: list[str] = field(default_factory=list)
    blocks: int = 0
    transactions: int = 0
    settled_rounds: int = 0
    seconds: float = 0.0
    failure: str = ""


def faults_of(seed: int) -> list[str]:
    """The faults of a seed: the next four of an order of all, which is shuffled anew when it is
    used up; so seeds in a row soon have had every one."""
    names: list[str] = []
    turn = 0
    while len(names) < (seed + 1) * FAULTS_A_SEED:
        order = list(FAULTS)
        Random(f"chaos {turn}").shuffle(order)
        names += order
        turn += 1
    return names[seed * FAULTS_A_SEED : (seed + 1) * FAULTS_A_SEED]


def run_seed(
    seed: int,
    folder: Path,
    program: Path,
    *,
    base_port: int,
    faults: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Live through a seed's faults on a new network.

    Args:
        folder: for the network; one that an earlier run left there is taken away first, and this
            one stays only where something failed.
        program: the engine.
        base_port: the first of the nodes' ports.
        faults: these in the place of the seed's own.
        say: hears of each step.
    """
    outcome = Outcome(seed, list(faults) or faults_of(seed))
    started_s = time.monotonic()
    clear(folder)
    try:
        _live(outcome, folder, program, base_port, say)
    except CheckFailed as failed:
        outcome.failure = str(failed)
    except Exception as error:
        outcome.failure = f"no stop: {type(error).__name__}: {error}"
    outcome.seconds = time.monotonic() - started_s
    if not outcome.failure:
        clear(folder)
    return outcome


def _live(
    outcome: Outcome, folder: Path, program: Path, base_port: int, say: Callable[[str], None]
) -> None:
    chance, parties = Random(outcome.seed), ChaosParties(outcome.seed)
    with ExitStack() as ends:
        net = ends.enter_context(ChaosNet(folder, parties, program, base_port))
        net.start(*net.validators)
        audits = [ends.enter_context(closing(net.host([node]))) for node in net.validators]
        with Trading(lambda: Market(parties, net.host(net.validators), chance)) as trading:
            chaos = Chaos(net, trading.ask, Random(f"faults {outcome.seed}"))
            for name in outcome.faults:
                time.sleep(chaos.chance.uniform(0, 3))
                say(f"{name}: at block {max(net.heights(net.validators))}")
                FAULTS[name](chaos)
                trading.goes_on()
                net.level()
                outcome.blocks, told, outcome.settled_rounds = trading.ask(_checked)
                outcome.transactions = len(told)
                _audit(audits, outcome.blocks, told)
                outcome.done.append(name)


def _checked(market: Market) -> tuple[int, dict[bytes, tuple[int, Receipt]], int]:
    market.check()
    return market.host.height, dict(market.told), market.settled


def _audit(
    hosts: Sequence[CometHost], height: int, told: Mapping[bytes, tuple[int, Receipt]]
) -> None:
    """Each node serves every block anew, to a client that executes it, with the receipts that the
    market was told: nothing that was committed is lost or was paid for a second time."""
    for host in hosts:
        host.wait_until(partial(_has, host, height), timeout_s=TIMEOUT_S)
        for transaction_id, (at, receipt) in told.items():
            known = receipt in host.receipts(at)
            require(known, "nothing lost", f"{transaction_id.hex()} of block {at}")


def _has(host: CometHost, height: int) -> bool:
    return host.height >= height


class Trading:
    """Trades round after round in a thread of its own, to which the market belongs; others may
    ask it to do something between two rounds."""

    def __init__(self, make: Callable[[], Market]) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._over = False
        try:
            self._market = self._pool.submit(make).result()
            self._pool.submit(self._market.found).result()
        except BaseException:
            self._pool.shutdown()
            raise
        self._round = self._pool.submit(self._trade)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self._over = True
        self._pool.submit(self._market.host.close)
        self._pool.shutdown(wait=about[0] is None)

    def _trade(self) -> None:
        if not self._over:
            self._market.trade()
            self._round = self._pool.submit(self._trade)

    def ask(self, what: Callable[[Market], T]) -> T:
        """What something comes to, done between two rounds."""
        return self._pool.submit(what, self._market).result()

    def goes_on(self) -> None:
        """Two rounds are traded to their end, the second of which began after now."""
        for _ in range(2):
            self._round.result(PROGRESS_S)
