"""Where every coin goes: minted, held, traded, settled, disputed; figures by hand."""

from __future__ import annotations

from typing import Any

import pytest
from small_hub import (
    OK,
    SmallHub,
    end_s,
    key,
    public,
    round_id,
    times,
)

from peerwatt.contracts.state import ACCOUNTS, CHAIN, CHAIN_KEY, DEPOSITS, DISPUTES, POT
from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.market import Flag, PriceRule, RoundStatus, SettlementTotals
from peerwatt.records.members import Account
from peerwatt.units import UCOIN_PER_COIN

PARTIES = ("ann", "bob", "cat", "supplier", "operator", "grid")


def balances(hub: SmallHub) -> dict[str, int]:
    """All coins of the parties and the pot, free and held."""
    found = {name: hub.account(name) for name in PARTIES}
    found["pot"] = hub.get(ACCOUNTS, POT)
    return {name: each.free_ucoin + each.held_ucoin for name, each in found.items()}


def moved(hub: SmallHub, before: dict[str, int]) -> dict[str, int]:
    """What each party has gained, those without change left out."""
    after = balances(hub)
    gains = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert sum(gains.values()) == 0
    return gains


# --- coins


def test_minted_coins_appear_once_and_withdrawn_ones_are_gone() -> None:
    hub = SmallHub()
    reference = digest(b"bank slip 1")
    hub.do(tx.Mint, "issuer", cosigner="regulator", to=public("grid"), amount_ucoin=70,
           deposit_reference=reference)  # fmt: skip
    assert hub.get(DEPOSITS, reference).amount_ucoin == 70
    hub.do(tx.Withdraw, "grid", amount_ucoin=30)
    chain = hub.get(CHAIN, CHAIN_KEY)
    assert (chain.issued_ucoin, chain.withdrawn_ucoin, hub.free("grid")) == (70, 30, 40)


def test_the_cap_is_per_epoch() -> None:
    hub = SmallHub(mint_cap_ucoin=10, mint_epoch_s=900)
    for epoch in range(3):
        hub.block(at=hub.now_s + 900 * (epoch > 0))
        hub.do(tx.Mint, "issuer", cosigner="regulator", to=public("grid"), amount_ucoin=10,
               deposit_reference=digest(bytes([epoch])))  # fmt: skip
        assert hub.get(CHAIN, CHAIN_KEY).minted_in_epoch_ucoin == 10
    assert hub.free("grid") == 30


def test_a_wallet_pays_another_and_never_more_than_is_free() -> None:
    hub = SmallHub().site().drivers("ann", "bob").open()
    hub.buy("ann")
    free = hub.free("ann")
    hub.do(tx.Transfer, "ann", to=public("bob"), amount_ucoin=free)
    assert (hub.free("ann"), hub.account("ann").held_ucoin) == (0, 850_000)
    assert hub.free("bob") == 100 * UCOIN_PER_COIN + free


def test_a_wallet_is_opened_once_with_its_authoritys_token() -> None:
    hub = SmallHub()
    hub.done(hub.wallet("ann"))
    assert hub.account("ann") == Account(nonce=1, wallet=True)


# --- holds


def test_holds_cover_the_worst_and_shrink_to_what_an_award_can_cost() -> None:
    """Ann: 500 Wh at 500,000 and 1,500 Wh at 400,000. Bob: 2,000 Wh at 500,000 + 50,000."""
    hub = SmallHub().site(price_rule=PriceRule.MARGINAL).drivers("ann", "bob").open()
    buy, _ = hub.buy("ann"), hub.sell("bob")
    assert hub.account("ann").held_ucoin == 250_000 + 600_000
    assert hub.account("bob").held_ucoin == 1_100_000
    hub.gate()
    clearing = hub.round().clearing
    assert clearing is not None
    awards = hub.rows("awards")
    at = clearing.buyer_price_ucoin_per_kwh
    assert awards["p1"].order_id == buy
    assert hub.account("ann").held_ucoin == -(-awards["p1"].energy_wh * at // 1_000)
    at_risk = max(300_000, at) - (at - 20_000) + 50_000
    assert hub.account("bob").held_ucoin == -(-awards["p2"].energy_wh * at_risk // 1_000)
    assert hub.account("supplier").held_ucoin == awards["p2"].energy_wh * 80


def test_what_is_taken_back_is_free_again() -> None:
    hub = SmallHub().site().drivers("ann", "bob").open()
    before = [hub.account(name).free_ucoin for name in ("ann", "bob")]
    for name, order in (("ann", hub.buy("ann")), ("bob", hub.sell("bob"))):
        hub.do(tx.CancelOrder, name, order_id=order)
    assert [hub.account(name).free_ucoin for name in ("ann", "bob")] == before


# --- settlements


def a_trade(**tariff: Any) -> SmallHub:
    """Ann and cat buy 1 kWh each; bob sells 2 kWh, at the midpoint of 150,000 and 250,000."""
    hub = SmallHub().site(**tariff).drivers("ann", "bob", "cat").open()
    for name in ("ann", "cat"):
        hub.buy(name, min_wh=1_000, max_wh=1_000)
    hub.sell("bob", slope_ucoin_per_kwh2=50_000)
    hub.gate()
    awards = hub.rows("awards").items()
    assert {port: (each.energy_wh, each.price_ucoin_per_kwh) for port, each in awards} == {
        "p1": (1_000, 220_000), "p2": (2_000, 200_000), "p3": (1_000, 220_000),
    }  # fmt: skip
    return hub


AS_AWARDED = {"": 0, "p1": 1_000, "p2": -2_000, "p3": 1_000}


@pytest.mark.parametrize(
    ("net_wh", "gains"),
    [
        (  # 220,000 a kWh; of it 20,000 are fees: 10,000 network + 5,000 levy, 5,000 platform
            {},
            {"ann": -220_000, "cat": -220_000, "bob": 400_000, "grid": 30_000, "operator": 10_000},
        ),
        (  # the supplier replaces 500 Wh at 300,000; bob pays 100,000 + 50,000 a missing kWh
            {"": 500, "p2": -1_500},
            {"ann": -220_000, "cat": -220_000, "bob": 300_000 - 75_000, "supplier": 150_000,
             "grid": 22_500, "operator": 7_500, "pot": 35_000},
        ),
        (  # 400 Wh go out at 80,000; ann pays the other 140,000 a kWh
            {"": -400, "p1": 600},
            {"ann": -132_000 - 56_000, "cat": -220_000, "bob": 400_000, "supplier": -32_000,
             "grid": 24_000, "operator": 8_000, "pot": 8_000},
        ),
        (  # 100 Wh are lost on the site: its operator owes the supplier 30,000
            {"": 100},
            {"ann": -220_000, "cat": -220_000, "bob": 400_000, "supplier": 30_000,
             "grid": 30_000, "operator": 10_000 - 30_000},
        ),
    ],
)  # fmt: skip
def test_a_settlement_to_the_last_ucoin(net_wh: dict[str, int], gains: dict[str, int]) -> None:
    hub = a_trade()
    before = balances(hub)
    assert hub.report(AS_AWARDED | net_wh) == [OK]
    assert hub.round().status == RoundStatus.SETTLED
    assert moved(hub, before) == gains
    assert sum(hub.account(name).held_ucoin for name in PARTIES) == 0


def totals(hub: SmallHub) -> SettlementTotals:
    found = hub.round().totals
    assert found is not None
    return found


def test_the_suppliers_part_is_the_main_meter_at_the_tariff() -> None:
    hub = a_trade()
    hub.report(AS_AWARDED | {"": 700, "p2": -1_500})
    done = totals(hub)
    assert (done.import_wh, done.site_loss_wh) == (500, 200)
    assert done.supplier_ucoin == 700 * 300
    assert done.operator_ucoin == -200 * 300
    assert done.flags == Flag.MAIN_METER_DISAGREES


def test_without_a_main_meter_the_supplier_gets_what_the_pool_took() -> None:
    hub = a_trade()
    hub.report({port: net_wh for port, net_wh in AS_AWARDED.items() if port})
    assert hub.round().status == RoundStatus.DELIVERED
    hub.block(at=times(0)["settle_by_s"])
    assert (totals(hub).flags, totals(hub).supplier_ucoin) == (Flag.MAIN_METER_MISSING, 0)


def test_an_operator_without_coins_is_in_arrears_and_nothing_below_zero() -> None:
    hub = a_trade()
    hub.do(tx.Withdraw, "operator", amount_ucoin=hub.free("operator"))
    hub.report(AS_AWARDED | {"": 900})
    assert totals(hub).flags == Flag.OPERATOR_IN_ARREARS | Flag.MAIN_METER_DISAGREES
    assert hub.free("operator") == 0
    assert totals(hub).operator_ucoin == -10_000  # the platform fee that it had just earned


def test_nobody_reports() -> None:
    """Buyers count as awarded, sellers as having given nothing; the supplier sold it all."""
    hub = a_trade()
    before = balances(hub)
    hub.block(at=times(0)["settle_by_s"])
    assert moved(hub, before) == {
        "ann": -220_000, "cat": -220_000, "bob": -300_000, "supplier": 600_000, "pot": 140_000,
    }  # fmt: skip
    flags = {row.flags for row in hub.rows("settlements").values()}
    assert flags == {Flag.READING_MISSING}


def test_sellers_are_dropped_when_the_supplier_cannot_stand_behind_them() -> None:
    """2,000 Wh at feed-in are 160,000 ucoin; one is missing, and all buy from the grid."""
    hub = SmallHub().site().drivers("ann", "bob").open()
    hub.buy("ann", min_wh=2_000, max_wh=2_000)
    hub.sell("bob")
    hub.do(tx.Withdraw, "supplier", amount_ucoin=hub.free("supplier") - 159_999)
    hub.gate()
    clearing = hub.round().clearing
    assert clearing is not None
    assert clearing.sellers_dropped
    assert (clearing.import_wh, clearing.sold_wh, clearing.supplier_held_ucoin) == (2_000, 0, 0)
    assert clearing.buyer_price_ucoin_per_kwh == 300_000
    assert hub.account("bob").held_ucoin == 0
    assert list(hub.rows("awards")) == ["p1"]


def test_the_same_coins_back_one_round_only() -> None:
    """The supplier's coins stand behind the first slot's sellers, not behind the second's too."""
    hub = SmallHub().site().drivers("ann", "bob").open(0, 1, gate_s=times(0)["gate_s"])
    for slot in (0, 1):
        hub.buy("ann", slot, min_wh=2_000, max_wh=2_000)
        hub.sell("bob", slot)
    hub.do(tx.Withdraw, "supplier", amount_ucoin=hub.free("supplier") - 200_000)
    hub.gate()
    clearings = [hub.round(slot).clearing for slot in (0, 1)]
    assert [each is not None and each.sellers_dropped for each in clearings] == [False, True]


# --- disputes


def settled_trade() -> tuple[SmallHub, bytes]:
    hub = a_trade()
    hub.report(AS_AWARDED)
    return hub, hub.rows("settlements")["p1"].order_id


def test_a_dispute_freezes_the_operators_coins_until_a_regulator_decides() -> None:
    hub, order = settled_trade()
    ann, operator = hub.free("ann"), hub.free("operator")
    hub.do(tx.OpenDispute, "ann", order_id=order, amount_ucoin=200_000)
    assert (hub.free("operator"), hub.account("operator").held_ucoin) == (
        operator - 200_000,
        200_000,
    )
    rows = hub.host.items("settlements", round_id())
    hub.do(tx.ResolveDispute, "regulator", order_id=order, credit_ucoin=50_000)
    assert (hub.free("ann"), hub.free("operator")) == (ann + 50_000, operator - 50_000)
    assert hub.account("operator").held_ucoin == 0
    record = hub.get(DISPUTES, order)
    assert (record.resolved, record.credit_ucoin, record.frozen_ucoin) == (True, 50_000, 200_000)
    assert hub.host.items("settlements", round_id()) == rows


def test_a_dispute_outlives_its_round() -> None:
    hub, order = settled_trade()
    hub.do(tx.OpenDispute, "ann", order_id=order, amount_ucoin=220_000)
    hub.block(at=end_s(0) + 2 * 86_400)
    assert hub.round().status == RoundStatus.ENDED
    hub.do(tx.ResolveDispute, "regulator", order_id=order, credit_ucoin=220_000)
    assert hub.free("ann") == 100 * UCOIN_PER_COIN


def test_no_more_is_frozen_than_the_operator_has() -> None:
    hub, order = settled_trade()
    hub.do(tx.Withdraw, "operator", amount_ucoin=hub.free("operator") - 7)
    hub.do(tx.OpenDispute, "ann", order_id=order, amount_ucoin=1_000)
    assert hub.get(DISPUTES, order).frozen_ucoin == 7


def test_the_token_of_a_wallet_is_for_its_key_and_chain() -> None:
    hub = SmallHub()
    elsewhere = key("authority").sign(tx.WALLET_DOMAIN, "sim-other", public("ann"))
    refusal = hub.refused(tx.OpenWallet, "ann", authority=public("authority"), token=elsewhere)
    assert refusal.field == "token"
