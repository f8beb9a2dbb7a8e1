"""The cars' rule by hand and by property; what goes out is in whole units and in bounds."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.agents.outlook import HubOutlook
from peerwatt.agents.ports import Agent, BuyIntent, SellIntent
from peerwatt.agents.rooftop import Rooftop
from peerwatt.agents.vehicle import ChargingCar, SellingCar, purchase_orders

SLOT_S = 900
PRICES = np.array([0.2, 0.1, 0.1, 0.4])
FULL_SLOT_WH = 1650


def outlook(
    prices: np.ndarray[tuple[int], np.dtype[np.float64]] = PRICES, **changed: object
) -> HubOutlook:
    slots = len(prices)
    hub = HubOutlook(
        slot_start_s=np.arange(slots) * SLOT_S,
        slot_s=SLOT_S,
        retail_usd_per_kwh=prices,
        feed_in_usd_per_kwh=0.05,
        lost_load_usd_per_kwh=0.5,
        import_limit_kwh=np.full(slots, np.inf),
        pv_kwh=np.zeros(slots),
        plugged_due_kwh=np.zeros(slots),
        expected_due_kwh=np.zeros(slots),
    )
    return dataclasses.replace(hub, **changed)  # type: ignore[arg-type]


def car(need_wh: int, leaves_after: float = 4, **changed: int) -> ChargingCar:
    stated: dict[str, int] = {
        "need_wh": need_wh,
        "charge_limit_w": 6600,
        "from_s": -3600,
        "planned_departure_s": int(leaves_after * SLOT_S),
    }
    return ChargingCar(**(stated | changed))


def only(intents: object) -> BuyIntent:
    assert isinstance(intents, tuple)
    (intent,) = intents
    assert isinstance(intent, BuyIntent)
    return intent


def test_a_car_with_time_waits_for_the_cheap_slots() -> None:
    """3 of 6.6 kWh fit into the slots at .1: theta = .1, u = .4545, below the price of now."""
    intent = only(car(3000).orders(outlook()))
    urgency = 3000 / 6600
    assert (intent.min_wh, intent.max_wh) == (0, FULL_SLOT_WH)
    assert intent.price_low_ucoin_per_kwh == 100_000
    high = round((0.1 + 0.4 * urgency**4) * 1e6)
    assert intent.price_high_ucoin_per_kwh == high
    assert high < 200_000


def test_the_threshold_is_the_dearest_slot_that_the_need_takes() -> None:
    lows = [
        only(car(need_wh).orders(outlook())).price_low_ucoin_per_kwh
        for need_wh in (3300, 3301, 4950, 4951, 6600, 9000)
    ]
    assert lows == [100_000, 200_000, 200_000, 400_000, 400_000, 400_000]


def test_what_later_slots_cannot_deliver_is_a_minimum() -> None:
    assert only(car(4950).orders(outlook())).min_wh == 0
    assert only(car(5500).orders(outlook())).min_wh == 550
    late = only(car(9000).orders(outlook()))
    assert (late.min_wh, late.max_wh) == (FULL_SLOT_WH, FULL_SLOT_WH)
    assert late.price_high_ucoin_per_kwh == 500_000


def test_beyond_its_plan_a_car_takes_each_slot_for_its_last() -> None:
    intent = only(car(800, leaves_after=-2).orders(outlook()))
    assert (intent.min_wh, intent.max_wh) == (800, 800)
    assert intent.price_low_ucoin_per_kwh == 200_000
    assert intent.price_high_ucoin_per_kwh == 500_000


def test_a_full_hub_raises_the_bid_of_a_car_with_time() -> None:
    full = outlook(import_limit_kwh=np.full(4, 1.0), plugged_due_kwh=np.array([0.0, 0.0, 0.0, 3.6]))
    intent = only(car(1000).orders(full))
    assert intent.price_high_ucoin_per_kwh == round((0.1 + 0.4 * 0.9**4) * 1e6)


def test_a_car_orders_for_the_part_of_a_slot_that_it_is_there() -> None:
    coming = car(9000, from_s=300)
    assert only(coming.orders(outlook())).max_wh == FULL_SLOT_WH * 2 // 3
    leaving = car(9000, leaves_after=1 / 3)
    assert only(leaving.orders(outlook())).max_wh == FULL_SLOT_WH // 3
    assert car(9000, from_s=900).orders(outlook()) == ()


def test_no_bid_goes_above_lost_load() -> None:
    dear = only(car(9000).orders(outlook(np.full(4, 0.496))))
    assert dear.price_low_ucoin_per_kwh == 496_000
    assert dear.price_high_ucoin_per_kwh == 500_000
    absurd = only(car(9000).orders(outlook(np.full(4, 0.9))))
    assert absurd.price_low_ucoin_per_kwh == round(0.5e6 / 1.05)
    assert absurd.price_high_ucoin_per_kwh == 500_000


def test_free_energy_still_makes_a_valid_order() -> None:
    intent = only(car(1000).orders(outlook(np.zeros(4))))
    assert 1 <= intent.price_low_ucoin_per_kwh < intent.price_high_ucoin_per_kwh


def test_a_charged_car_orders_nothing() -> None:
    full = car(1000)
    full.delivered(999)
    assert full.need_wh == 1
    full.delivered(2)
    assert full.need_wh == 0
    assert full.orders(outlook()) == ()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    needs=st.lists(st.integers(1, 60_000), min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
)
def test_many_cars_planned_together_bid_as_each_alone(needs: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    hub = outlook(
        rng.uniform(0.05, 0.6, 12),
        import_limit_kwh=np.full(12, 4.0),
        plugged_due_kwh=np.cumsum(rng.uniform(0, 6, 12)),
    )
    cars = [
        car(need, float(rng.uniform(-1, 14)), from_s=int(rng.integers(-3600, 900)))
        for need in needs
    ]
    together = purchase_orders(cars, hub)
    assert together == [one.orders(hub) for one in cars]
    for one, intents in zip(cars, together, strict=True):
        for intent in intents:
            assert 0 <= intent.min_wh <= intent.max_wh <= min(one.need_wh, FULL_SLOT_WH)
            low, high = intent.price_low_ucoin_per_kwh, intent.price_high_ucoin_per_kwh
            assert 1 <= low < high <= 500_000


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_more_need_or_less_time_never_lowers_the_bid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hub = outlook(rng.uniform(0.05, 0.45, 12))
    slots = float(rng.uniform(1.5, 12))
    need = int(rng.uniform(0.05, 0.95) * (slots - 0.5) * FULL_SLOT_WH)
    calm, hungry, hurried = (
        only(one.orders(hub))
        for one in (car(need, slots), car(need + 500, slots), car(need, slots - 0.5))
    )
    for pressed in (hungry, hurried):
        assert pressed.price_low_ucoin_per_kwh >= calm.price_low_ucoin_per_kwh
        assert pressed.price_high_ucoin_per_kwh >= calm.price_high_ucoin_per_kwh


def test_a_seller_offers_what_its_stay_and_its_reserve_allow() -> None:
    seller = SellingCar(
        for_sale_wh=2000,
        discharge_limit_w=6600,
        from_s=0,
        planned_departure_s=4 * SLOT_S,
        ask_ucoin_per_kwh=210_000,
        slope_ucoin_per_kwh2=10_000,
    )
    assert seller.orders(outlook()) == (
        SellIntent(max_wh=1650, ask_ucoin_per_kwh=210_000, slope_ucoin_per_kwh2=10_000),
    )
    seller.delivered(-1650)
    assert [intent.max_wh for intent in seller.orders(outlook())] == [350]
    seller.delivered(-350)
    assert seller.orders(outlook()) == ()


def test_a_seller_offers_the_part_of_a_slot_that_it_is_there() -> None:
    seller = SellingCar(
        for_sale_wh=9000,
        discharge_limit_w=6600,
        from_s=450,
        planned_departure_s=600,
        ask_ucoin_per_kwh=1,
        slope_ucoin_per_kwh2=0,
    )
    assert [intent.max_wh for intent in seller.orders(outlook())] == [275]


def test_the_roof_sells_its_forecast_at_any_price() -> None:
    roof = Rooftop()
    sunny = outlook(pv_kwh=np.array([3.2109, 0.0, 0.0, 0.0]))
    assert roof.orders(sunny) == (
        SellIntent(max_wh=3210, ask_ucoin_per_kwh=0, slope_ucoin_per_kwh2=0),
    )
    assert roof.orders(outlook()) == ()


def test_ours_and_a_users_own_agent_fit_the_port() -> None:
    class Always:
        """A user's own rule: a kWh each round, whatever it costs."""

        def orders(self, outlook: HubOutlook) -> list[BuyIntent]:
            cap = round(outlook.lost_load_usd_per_kwh * 1e6)
            return [
                BuyIntent(
                    min_wh=1000,
                    max_wh=1000,
                    price_high_ucoin_per_kwh=cap,
                    price_low_ucoin_per_kwh=cap,
                )
            ]

        def delivered(self, energy_wh: int) -> None: ...

    agents: list[Agent] = [car(1000), Rooftop(), Always()]
    assert [len(agent.orders(outlook())) for agent in agents] == [1, 0, 1]
