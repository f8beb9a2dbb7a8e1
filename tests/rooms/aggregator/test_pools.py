"""Account pool and transaction server: who is in use, who asks for what, and who is turned away."""

from __future__ import annotations

from typing import Any

import pytest
from small_hub import FIRST_SLOT_S, SITE, SmallHub, key, public, round_id

from peerwatt.aggregator import account_pool
from peerwatt.aggregator.account_pool import AccountPool, PoolRefused
from peerwatt.aggregator.transaction_server import Answers, Demand, TransactionServer
from peerwatt.records.requests import EnergyRequest, WalletInUse, sign_said

NOW_S = FIRST_SLOT_S - 120


@pytest.fixture(scope="module")
def hub() -> SmallHub:
    return SmallHub().site().drivers("ann", "bob", "cat")


@pytest.fixture
def pool(hub: SmallHub) -> AccountPool:
    return AccountPool(SITE, hub.host)


@pytest.fixture
def server(hub: SmallHub, pool: AccountPool) -> TransactionServer:
    for name in ("ann", "bob"):
        use(pool, hub, name)
    return TransactionServer(SITE, hub.host, pool)


def use(pool: AccountPool, hub: SmallHub, name: str, *, by: str = "", **changed: Any) -> int:
    usual = {"chain_id": hub.chain_id, "wallet": public(name), "site": SITE, "at_s": NOW_S}
    said = WalletInUse(**(usual | changed))
    return pool.use(said, sign_said(said, key(by or name)))


def ask(server: TransactionServer, name: str, *, by: str = "", **changed: Any) -> None:
    usual: dict[str, Any] = {
        "chain_id": "sim-small-hub",
        "wallet": public(name),
        "site": SITE,
        "at_s": NOW_S,
        "amount_wh": 5_000,
        "from_s": FIRST_SLOT_S,
        "until_s": FIRST_SLOT_S + 7_200,
    }
    request = EnergyRequest(**(usual | changed))
    server.request(request, sign_said(request, key(by or name)))


def test_a_wallet_keeps_its_index_while_it_is_in_use(hub: SmallHub, pool: AccountPool) -> None:
    assert [use(pool, hub, name) for name in ("ann", "bob", "ann")] == [0, 1, 0]
    assert pool.wallets() == {public("ann"): 0, public("bob"): 1}
    pool.leave(public("ann"))
    pool.leave(public("ann"))
    assert pool.index_of(public("ann")) is None
    assert use(pool, hub, "cat") == 0, "an index that is free again"
    assert (use(pool, hub, "ann"), len(pool)) == (2, 3)


@pytest.mark.parametrize(
    ("name", "changed", "line"),
    [
        ("ann", {"by": "bob"}, "signature: is not the wallet's"),
        ("ann", {"site": "elsewhere"}, "site: this is 'garage'"),
        ("ann", {"chain_id": "another"}, "chain_id: this hub is on 'sim-small-hub'"),
        ("eve", {}, "wallet: is none on the ledger"),
        ("operator", {}, "wallet: is none on the ledger"),
    ],
)
def test_what_is_no_wallet_of_this_chain_stays_out(
    hub: SmallHub, pool: AccountPool, name: str, changed: dict[str, Any], line: str
) -> None:
    with pytest.raises(PoolRefused) as error:
        use(pool, hub, name, **changed)
    assert str(error.value) == line
    assert len(pool) == 0


def test_the_pool_has_a_bound(
    hub: SmallHub, pool: AccountPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_pool, "MOST_WALLETS", 1)
    use(pool, hub, "ann")
    use(pool, hub, "ann")
    with pytest.raises(PoolRefused, match="wallet: 1 are in use, and no more fit"):
        use(pool, hub, "bob")


def test_the_demand_is_what_all_ask_for_together(server: TransactionServer) -> None:
    assert server.demand() == Demand(0, ())
    ask(server, "bob", amount_wh=2_000)
    ask(server, "ann")
    due = ((FIRST_SLOT_S + 7_200, 5_000), (FIRST_SLOT_S + 7_200, 2_000))
    assert server.demand() == Demand(7_000, due)
    ask(server, "ann", at_s=NOW_S + 1, amount_wh=1)
    assert server.demand().total_wh == 2_001, "a later request takes the place of the first"
    server.done(public("ann"))
    server.done(public("cat"))
    assert server.demand().total_wh == 2_000


@pytest.mark.parametrize(
    ("name", "changed", "line"),
    [
        ("cat", {}, "wallet: is not in use here"),
        ("ann", {"by": "bob"}, "signature: is not the wallet's"),
        ("ann", {"site": "elsewhere"}, "site: this is 'garage'"),
        ("ann", {"chain_id": "another"}, "chain_id: this hub is on 'sim-small-hub'"),
        ("ann", {"until_s": FIRST_SLOT_S}, "until_s: is not after from_s"),
    ],
)
def test_a_request_that_cannot_count(
    server: TransactionServer, name: str, changed: dict[str, Any], line: str
) -> None:
    with pytest.raises(PoolRefused) as error:
        ask(server, name, **changed)
    assert str(error.value) == line
    assert server.demand().total_wh == 0


def test_a_request_sent_again_changes_nothing(server: TransactionServer) -> None:
    ask(server, "ann")
    with pytest.raises(PoolRefused, match="at_s: is no later than the last request's"):
        ask(server, "ann")
    with pytest.raises(PoolRefused, match="at_s"):
        ask(server, "ann", at_s=NOW_S - 1, amount_wh=10**9)
    assert server.demand().total_wh == 5_000


def test_answers_are_the_sellers_orders_in_the_open_book() -> None:
    hub = SmallHub().site().drivers("ann", "bob", "cat").open()
    server = TransactionServer(SITE, hub.host, AccountPool(SITE, hub.host))
    assert server.answers(round_id()) == Answers(0, 0)
    hub.buy("ann")
    hub.sell("bob", max_wh=1_200)
    hub.sell("cat", max_wh=300)
    assert server.answers(round_id()) == Answers(1_500, 2)
