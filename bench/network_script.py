"""What a hub's day sends to a network: signed beforehand, in order, beside a model of the chain.

Knows the hub and the embedded host, on which the settled part of the script runs first, because
meters can sign only for awards that are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hub import SLOT_S, Hub, genesis, key_of, submit_all

from peerwatt.agents.signer import Signer
from peerwatt.contracts import ledger
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.store import Store
from peerwatt.records.transactions import Tick

CHAIN = "sim-bench"
CLOCK = "clock"
SETTLE_S = 86_400


class Script(NamedTuple):
    """Messages in the order in which a network has to have them.

    `founding`: site, tariff, ports, wallets, check-ins, and rounds to settle. `orders`: one a port
    in each of these rounds. `gate`: the tick at which all of them clear. `end`: the tick at which
    their slots are over. `reports`: every reading; each settles its round. `opening`: the rounds of
    `load`, one order a port in each. `settled`: by round, the root of what was settled.
    """

    founding: list[bytes]
    orders: list[bytes]
    gate: list[bytes]
    end: list[bytes]
    reports: list[bytes]
    opening: list[bytes]
    load: list[bytes]
    awards: int
    settled: dict[bytes, bytes]


def first_state(ports: int) -> bytes:
    """The chain's genesis, with a clock: networks for tests run on ticks."""
    return genesis(ports, chain_id=CHAIN, tick_key=key_of(CLOCK).public)


def write_script(ports: int, settled: int, loaded: int) -> Script:
    """A script for a hub of so many ports, with so many rounds to settle and to load."""
    model = EmbeddedHost(ledger, Store(None), key_of("operator"), first_state(ports))
    hub = Hub(model, ports, settle_s=SETTLE_S)
    clock = Signer(key_of(CLOCK), model)
    rounds = [hub.open_round() for _ in range(settled)]
    founding = list(_sent(model, 1))
    orders = [each for round_id, _ in rounds for each in hub.sign_orders(round_id, ports)]
    submit_all(model, orders)
    model.seal(model.block_time_s)
    last_s = max(start_s for _, start_s in rounds)
    gate = _tick(clock, model, last_s - 60)
    end = _tick(clock, model, last_s + SLOT_S)
    reports, awards = [], 0
    for round_id, start_s in rounds:
        won = [award for _, award in model.items("awards", round_id)]
        readings = hub.sign_readings(round_id, start_s, won)
        reports += hub.sign_reports(round_id, readings)
        awards += len(won)
    submit_all(model, reports)
    model.seal(model.block_time_s)
    if sum(len(model.items("settlements", round_id)) for round_id, _ in rounds) != awards:
        raise RuntimeError("the model did not settle every award")
    roots = {each: model.get("rounds", each).settlements_root for each, _ in rounds}
    height = model.height
    later = [hub.open_round()[0] for _ in range(loaded)]
    opening = list(_sent(model, height + 1))
    load = [each for round_id in later for each in hub.sign_orders(round_id, ports)]
    return Script(founding, orders, gate, end, reports, opening, load, awards, roots)


def _tick(clock: Signer, model: EmbeddedHost, time_s: int) -> list[bytes]:
    """Move the model's clock, by a message that is handed on."""
    transaction = clock.sign(Tick, valid_until_s=time_s, time_s=time_s)
    if not clock.submit(transaction).ok:
        raise RuntimeError("the model refused a tick")
    model.seal(model.block_time_s)
    return [transaction]


def _sent(model: EmbeddedHost, first: int) -> Iterator[bytes]:
    """What the model's blocks from a height on hold."""
    for height in range(first, model.height + 1):
        yield from model.block(height).transactions
