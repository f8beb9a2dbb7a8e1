"""The demo day as a market, in floats: JPL, 21 August 2019, time of use behind 72 kW.

The cars' rule and the one-price round alone, without a ledger: what the ledger's day is held
against. The ranges are those of an independent trial of the same rule over seeds 1 to 20, in
which a car could order for the slot that it arrives in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from peerwatt.agents.outlook import Floats, HubOutlook, needs_due_kwh
from peerwatt.agents.ports import Agent, BuyIntent, SellIntent
from peerwatt.agents.rooftop import Rooftop
from peerwatt.agents.vehicle import ChargingCar, SellingCar, purchase_orders
from peerwatt.mechanisms.allocation import OnePriceClearing
from peerwatt.mechanisms.one_price import BuyerCurves, GridTerms, SellerCurves, clear_one_price
from peerwatt.mechanisms.scheduling import optimal_schedule, plug_and_charge
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.day import HubDay, hub_day
from peerwatt.simulation.sessions import Session, bundled, load_sessions

GATE_LEAD_S = 60
SEEDS = range(1, 21)


@pytest.fixture(scope="module")
def jpl() -> tuple[Session, ...]:
    return load_sessions(bundled("jpl"), "jpl")


def demo_day(jpl: tuple[Session, ...], seed: int, departure: str) -> HubDay:
    config = {"sellers": {"seed": seed}, "planning": {"departure": departure}}
    return hub_day(DayConfig.model_validate(config), jpl)


@dataclass
class Outcome:
    cost_usd: float = 0.0
    unmet_kwh: float = 0.0
    from_cars_kwh: float = 0.0
    clearings: dict[int, OnePriceClearing] = field(default_factory=dict)
    """By slot, the rounds in which anyone ordered."""


def run_market(day: HubDay, *, announced: bool = True, sellers: bool = True) -> Outcome:
    """All rounds of a day. With `announced` a car may order for the slot that it comes into."""
    buying = [
        ChargingCar(
            need_wh=int(day.buyers.need_wh[i]),
            charge_limit_w=round(day.port_kwh * 3.6e6 / day.slot_s),
            from_s=session.arrival_s,
            planned_departure_s=int(day.buyers.planned_departure_s[i]),
        )
        for i, session in enumerate(day.buyers.sessions)
    ]
    selling = [
        SellingCar(
            for_sale_wh=int(day.sellers.for_sale_wh[j]),
            discharge_limit_w=round(day.discharge_kwh * 3.6e6 / day.slot_s),
            from_s=session.arrival_s,
            planned_departure_s=int(day.sellers.planned_departure_s[j]),
            ask_ucoin_per_kwh=round(day.sellers.cost_usd_per_kwh[j] * 1e6),
            slope_ucoin_per_kwh2=10_000,
        )
        for j, session in enumerate(day.sellers.sessions if sellers else ())
    ]
    outcome = Outcome()
    for slot in range(len(day.slot_start_s)):
        run_round(day, slot, buying, selling, announced, outcome)
    outcome.unmet_kwh = sum(car.need_wh for car in buying) / 1000
    outcome.cost_usd += day.lost_load_usd_per_kwh * outcome.unmet_kwh
    return outcome


def run_round(
    day: HubDay,
    slot: int,
    buying: list[ChargingCar],
    selling: list[SellingCar],
    announced: bool,
    outcome: Outcome,
) -> None:
    """Orders, clearing, and delivery to those who are truly there."""
    here = at_gate(day, slot, announced)
    buyers = [i for i, s in enumerate(day.buyers.sessions) if here(s) and buying[i].need_wh]
    sellers = [j for j, _ in enumerate(selling) if here(day.sellers.sessions[j])]
    outlook = public_outlook(day, slot, [buying[i] for i in buyers], announced)
    buys = {
        i: intent
        for i, intents in zip(
            buyers, purchase_orders([buying[i] for i in buyers], outlook), strict=True
        )
        for intent in intents
    }
    asked: list[tuple[Agent, float, SellIntent]] = [
        (selling[j], day.discharge_kwh * day.sellers.presence[j, slot], intent)
        for j in sellers
        for intent in selling[j].orders(outlook)
    ]
    roof = Rooftop()
    asked += [(roof, np.inf, intent) for intent in roof.orders(outlook)]
    if not buys and not asked:
        return
    cleared = clear(day, slot, list(buys.values()), [intent for *_, intent in asked])
    outcome.clearings[slot] = cleared

    given = np.minimum(cleared.sold_kwh, [limit for _, limit, _ in asked])
    taken = np.minimum(cleared.bought_kwh, day.port_kwh * day.buyers.presence[list(buys), slot])
    # Where a seller left early the grid steps in up to its limit; beyond it buyers go short.
    most = given.sum() + day.grid_limit_kwh
    taken *= min(1.0, most / max(taken.sum(), 1e-9))
    for i, energy in zip(buys, taken, strict=True):
        buying[i].delivered(round(energy * 1000))
    for (agent, _, _), energy in zip(asked, given, strict=True):
        agent.delivered(-round(energy * 1000))
    net = float(taken.sum() - given.sum())
    outcome.cost_usd += day.retail_usd_per_kwh[slot] * max(net, 0.0)
    outcome.cost_usd += day.feed_in_usd_per_kwh * min(net, 0.0)
    cost = np.array([intent.ask_ucoin_per_kwh / 1e6 for *_, intent in asked])
    outcome.cost_usd += float(cost @ given)
    outcome.from_cars_kwh += float(given.sum())


def at_gate(day: HubDay, slot: int, announced: bool) -> Callable[[Session], bool]:
    """Who may order: plugged in at the gate, or announced to come within the slot."""
    start_s = int(day.slot_start_s[slot])
    gate_s = start_s - GATE_LEAD_S
    latest_s = start_s + day.slot_s - 1 if announced else gate_s
    return lambda session: session.arrival_s <= latest_s and session.departure_s > gate_s


def public_outlook(day: HubDay, slot: int, cars: list[ChargingCar], announced: bool) -> HubOutlook:
    to_come = slot + 1 if announced else slot
    expected = np.append(day.expected_need_kwh, np.zeros((1, len(day.slot_start_s))), axis=0)
    return HubOutlook(
        slot_start_s=day.slot_start_s[slot:],
        slot_s=day.slot_s,
        retail_usd_per_kwh=day.retail_usd_per_kwh[slot:],
        feed_in_usd_per_kwh=day.feed_in_usd_per_kwh,
        lost_load_usd_per_kwh=day.lost_load_usd_per_kwh,
        import_limit_kwh=np.full(len(day.slot_start_s) - slot, day.grid_limit_kwh),
        pv_kwh=day.pv_kwh[slot:],
        plugged_due_kwh=needs_due_kwh(
            np.array([car.planned_departure_s for car in cars], dtype=np.int64),
            np.array([car.need_wh for car in cars], dtype=np.int64),
            slot_start_s=day.slot_start_s[slot:],
            slot_s=day.slot_s,
        ),
        expected_due_kwh=expected[to_come, slot:],
    )


def clear(
    day: HubDay, slot: int, buys: list[BuyIntent], sells: list[SellIntent]
) -> OnePriceClearing:
    return clear_one_price(
        BuyerCurves(
            minimum_kwh=np.array([b.min_wh for b in buys]) / 1e3,
            maximum_kwh=np.array([b.max_wh for b in buys]) / 1e3,
            price_high=np.array([b.price_high_ucoin_per_kwh for b in buys]) / 1e6,
            price_low=np.array([b.price_low_ucoin_per_kwh for b in buys]) / 1e6,
        ),
        SellerCurves(
            maximum_kwh=np.array([s.max_wh for s in sells]) / 1e3,
            ask=np.array([s.ask_ucoin_per_kwh for s in sells]) / 1e6,
            slope=np.array([s.slope_ucoin_per_kwh2 for s in sells]) / 1e6,
        ),
        GridTerms(
            retail=float(day.retail_usd_per_kwh[slot]),
            feed_in=day.feed_in_usd_per_kwh,
            import_limit_kwh=day.grid_limit_kwh,
            export_limit_kwh=day.export_limit_kwh,
        ),
        lost_load=day.lost_load_usd_per_kwh,
    )


def figures(jpl: tuple[Session, ...], departure: str) -> Floats:
    """(seeds, 4) cost, unmet, share of the possible saving captured, share of need from cars."""
    rows = []
    for seed in SEEDS:
        day = demo_day(jpl, seed, departure)
        uncontrolled = plug_and_charge(day.problem()).cost_usd
        best = optimal_schedule(day.problem()).schedule.cost_usd
        found = run_market(day)
        assert best <= found.cost_usd
        captured = (uncontrolled - found.cost_usd) / (uncontrolled - best)
        share = found.from_cars_kwh / (day.buyers.need_wh.sum() / 1000)
        rows.append((found.cost_usd, found.unmet_kwh, captured, share))
    return np.array(rows)


def test_twenty_seeds_planning_on_stated_stays(jpl: tuple[Session, ...]) -> None:
    found = figures(jpl, "stated")
    # The trial's: 187-239 USD, 36-77 kWh unmet, .72-.88 of the saving, .10-.21 of need from cars.
    # Less goes unmet here, since what cannot wait is a minimum that is bought up to lost load.
    assert (found.min(axis=0) >= [186.0, 30.0, 0.71, 0.09]).all()
    assert (found.max(axis=0) <= [239.5, 77.5, 0.88, 0.23]).all()
    assert found.mean(axis=0) == pytest.approx([214.9, 44.7, 0.81, 0.16], rel=0.01)
    assert found[0] == pytest.approx([199.6, 32.7, 0.787, 0.190], rel=0.01)


def test_twenty_seeds_planning_on_true_departures(jpl: tuple[Session, ...]) -> None:
    found = figures(jpl, "actual")
    # The trial's: 177-233 USD, 0-22 kWh unmet, .81-1.0 of the saving, .10-.20 of need from cars.
    assert (found.min(axis=0) >= [176.5, 0.0, 0.74, 0.09]).all()
    assert (found.max(axis=0) <= [233.5, 22.5, 1.0, 0.21]).all()
    assert found.mean(axis=0) == pytest.approx([210.5, 1.3, 0.895, 0.146], rel=0.01, abs=0.1)
    assert found[0] == pytest.approx([196.1, 0.0, 0.839, 0.168], rel=0.01, abs=0.05)


@pytest.mark.parametrize(
    ("departure", "least", "greatest"),
    [("stated", (244.5, 119.0), (269.5, 170.5)), ("actual", (240.0, 72.5), (265.5, 121.5))],
)
def test_without_selling_cars_the_market_saves_little(
    jpl: tuple[Session, ...],
    departure: str,
    least: tuple[float, float],
    greatest: tuple[float, float],
) -> None:
    # The trial's: 245-269 USD with 119-163 kWh unmet; 240-265 with 73-121 on true departures.
    for seed in SEEDS[:8]:
        found = run_market(demo_day(jpl, seed, departure), sellers=False)
        assert least[0] <= found.cost_usd <= greatest[0]
        assert least[1] <= found.unmet_kwh <= greatest[1]
        assert found.from_cars_kwh == 0


def test_ordering_only_when_plugged_in_costs_more(jpl: tuple[Session, ...]) -> None:
    """A gate a minute before the slot shuts out whoever comes within it: 2 % of the day's cost."""
    costs = np.array(
        [
            [run_market(day, announced=announced).cost_usd for announced in (True, False)]
            for day in (demo_day(jpl, seed, "stated") for seed in range(1, 6))
        ]
    )
    assert 3.0 < float(np.diff(costs, axis=1).mean()) < 5.5


def test_the_price_tells_the_regime(jpl: tuple[Session, ...]) -> None:
    day = demo_day(jpl, 1, "stated")
    for slot, cleared in run_market(day).clearings.items():
        retail, price = day.retail_usd_per_kwh[slot], cleared.buyer_price
        assert day.feed_in_usd_per_kwh <= price <= day.lost_load_usd_per_kwh
        if 0 < cleared.import_kwh < day.grid_limit_kwh:
            assert price == retail
        elif cleared.import_kwh == day.grid_limit_kwh:
            assert price >= retail
        elif cleared.export_kwh > 0:
            assert price == day.feed_in_usd_per_kwh
        else:
            assert price <= retail
