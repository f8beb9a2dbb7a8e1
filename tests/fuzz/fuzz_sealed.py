"""What parties say of sealed orders: they seal one of a few orders, and show it, or another."""

from __future__ import annotations

from fuzz_bench import NAMES, Bench
from fuzz_choices import Choices, one_in, pick
from fuzz_spoil import NONE, Move
from small_hub import public, round_id

from peerwatt.contracts.state import PORTS, ROUNDS, SEALED
from peerwatt.records.market import RoundStatus
from peerwatt.records.sealed import DEPOSITS_UCOIN, BuyTerms, SellTerms, commitment_of

TERMS = (
    BuyTerms(
        min_wh=0, max_wh=700, price_high_ucoin_per_kwh=250_000, price_low_ucoin_per_kwh=250_000
    ),
    SellTerms(max_wh=700, ask_ucoin_per_kwh=150_000, slope_ucoin_per_kwh2=0),
    BuyTerms(min_wh=0, max_wh=0, price_high_ucoin_per_kwh=250_000, price_low_ucoin_per_kwh=250_000),
    SellTerms(max_wh=2_750, ask_ucoin_per_kwh=100_000, slope_ucoin_per_kwh2=1),
)


def seal_order(bench: Bench, choices: Choices) -> Move:
    rounds = [
        at for at, each in bench.state.items(ROUNDS)
        if each.reveal_by_s and each.status == RoundStatus.OPEN
    ]  # fmt: skip
    plugged = [(at, each) for at, each in bench.state.items(PORTS) if each.wallet in NAMES]
    round_at = pick(choices, rounds or [round_id(0)])
    deposit_ucoin = pick(choices, (*DEPOSITS_UCOIN[:3], 1))
    fields = {"round_id": round_at, "deposit_ucoin": deposit_ucoin}
    if not plugged:
        return Move("ann", fields | {"port": "p1", "commitment": NONE})
    at, port = pick(choices, plugged)
    name = at.decode().split("/")[1]
    bound = (bench.chain_id, port.wallet, round_at, name, pick(choices, TERMS), NONE)
    return Move(NAMES[port.wallet], fields | {"port": name, "commitment": commitment_of(*bound)})


def reveal_order(bench: Bench, choices: Choices) -> Move:
    known = [
        (at, order_id, sealed)
        for at, _ in bench.state.items(ROUNDS)
        for order_id, sealed in bench.state.items(SEALED, at)
    ]
    terms = pick(choices, TERMS)
    if not known:
        fields = {"round_id": round_id(0), "order_id": public("ann"), "terms": terms}
        return Move("ann", fields | {"salt": NONE})
    round_at, order_id, sealed = pick(choices, known)
    if not one_in(choices, 4):
        bound = (bench.chain_id, sealed.owner, round_at, sealed.port)
        terms = next(
            (x for x in TERMS if commitment_of(*bound, x, NONE) == sealed.commitment), terms
        )
    fields = {"round_id": round_at, "order_id": order_id, "terms": terms, "salt": NONE}
    return Move(NAMES[sealed.owner], fields)
