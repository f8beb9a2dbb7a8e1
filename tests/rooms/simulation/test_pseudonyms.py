"""A day on which every order has a wallet of its own: the market is the same, the keys are not."""

from __future__ import annotations

from collections import Counter

from peerwatt.records.codec import decode
from peerwatt.records.receipts import Reason
from peerwatt.records.transactions import (
    Mint,
    OpenWallet,
    Transaction,
    Transfer,
    decode_message,
)
from peerwatt.simulation.cast import ROOF
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.consortium import chain_id_of
from peerwatt.simulation.run import DayRun


def messages(run: DayRun) -> list[object]:
    """Every message that stands in a block, in order."""
    host = run.world.host
    return [
        decode_message(decode(data, Transaction).message)
        for height in range(1, host.height + 1)
        for data in host.block(height).transactions
    ]


def test_no_wallet_of_a_car_places_two_orders(fresh_run: DayRun) -> None:
    host = fresh_run.world.host
    owners = Counter(
        order.owner
        for key, _ in host.items("rounds")
        for order in map(_order, dict(host.sealed("orders", key)).values())
        if order.port != ROOF
    )
    assert len(owners) > 100
    assert set(owners.values()) == {1}


def _order(data: bytes) -> object:
    from peerwatt.records.market import Order

    return decode(data, Order)  # type: ignore[arg-type]


def test_the_market_does_as_well_as_with_one_wallet_a_stay(
    fresh_run: DayRun, small_run: DayRun
) -> None:
    """Ties between equal orders follow from their ids, by a Wh each."""
    fresh, session = (run.summary["baselines"]["market"] for run in (fresh_run, small_run))
    assert abs(fresh["cost_usd"] - session["cost_usd"]) < 0.01
    assert fresh["unmet_kwh"] == session["unmet_kwh"]
    assert set(fresh_run.tables["receipts"]["reason"]) == {int(Reason.OK)}
    assert fresh_run.world.refused == []


def test_order_and_amounts_of_the_deposits_tell_nothing(fresh_run: DayRun) -> None:
    wallets = {
        wallet.key.public: visit.name
        for visit in fresh_run.world.visits
        if visit.car is not None
        for wallet in visit.wallets
    }
    found = messages(fresh_run)
    opened = [each.signer for each in found if isinstance(each, OpenWallet)]
    mints = [each for each in found if isinstance(each, Mint) and each.to in wallets]
    assert [key for key in opened if key in wallets] == sorted(wallets)
    assert [each.to for each in mints] == sorted(wallets)
    assert len({each.amount_ucoin for each in mints}) == 1
    assert not any(isinstance(each, Transfer) for each in found)


def test_a_car_keeps_its_last_wallet_where_it_has_no_more(fresh_run: DayRun) -> None:
    visit = next(each for each in fresh_run.world.visits if each.car is not None and each.at)
    at, wallets = visit.at, visit.wallets
    visit.wallets = wallets[: at + 1]
    try:
        assert not visit.renew()
        assert visit.at == at
    finally:
        visit.wallets = wallets


def test_days_without_the_new_keys_keep_their_names_and_bytes(small_config: DayConfig) -> None:
    """A chain is called after what its day assumes; both keys came later."""
    assert chain_id_of(small_config) == "sim-caltech-2019-06-12-60b98bc0"
    said = small_config.model_dump(mode="json")
    assert not {"pseudonyms", "rewards"} & said.keys()
    other = DayConfig.model_validate(said | {"pseudonyms": "fresh"})
    assert other.model_dump(mode="json")["pseudonyms"] == "fresh"
    assert chain_id_of(other) != chain_id_of(small_config)
