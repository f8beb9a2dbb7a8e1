"""Several hubs on one ledger: who goes where, what each hub owns, and that all accounts close."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from peerwatt.agents.vehicle import ChargingCar
from peerwatt.agents.wallet import HistoryRefused
from peerwatt.aggregator.transaction_server import traded_pairs
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.records.codec import decode
from peerwatt.records.market import SettledAward
from peerwatt.records.receipts import Reason
from peerwatt.records.sealing import SealError, open_body
from peerwatt.records.transactions import RecordTrade, Transaction, decode_message
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.cast import Visit
from peerwatt.simulation.config import ConfigError, DayConfig
from peerwatt.simulation.hub import Hub
from peerwatt.simulation.places import place_of
from peerwatt.simulation.region import region_chain_id, region_day
from peerwatt.simulation.region_config import RegionConfig
from peerwatt.simulation.region_run import RegionRun
from peerwatt.simulation.region_summary import of_hub
from peerwatt.simulation.sessions import Session, SessionsError

Sessions = tuple[Session, ...]


def region_of(hubs_run: RegionRun, **changed: object) -> RegionConfig:
    return RegionConfig.model_validate(hubs_run.region.model_dump() | changed)


def test_every_car_parks_or_is_counted_as_turned_away(
    hubs_run: RegionRun, small_sessions: Sessions
) -> None:
    parked = [each.session.session_id for hub in hubs_run.day.hubs for each in hub.parked]
    away = [each.session_id for each in hubs_run.day.turned_away]
    assert sorted(parked + away) == sorted(each.session_id for each in small_sessions)
    assert away, "so few ports that some find none"
    cars = hubs_run.summary["cars"]
    assert (cars["came"], cars["parked"], cars["turned_away"]) == (14, len(parked), len(away))
    assert cars["at_the_nearest"] < cars["parked"], "and some go on to another hub"
    need_wh = {s.session_id: s.delivered_wh for s in small_sessions}
    assert cars["turned_away_wh"] == sum(need_wh[name] for name in away)


def test_each_hub_has_an_operator_meters_and_rounds_of_its_own(hubs_run: RegionRun) -> None:
    host, hubs = hubs_run.world.host, hubs_run.region.hubs
    sites = {key.decode(): site for key, site in host.items("sites")}
    assert sorted(sites) == sorted(hub.name for hub in hubs)
    names = {key: member.name for key, member in host.items("members")}
    for hub in hubs:
        site = sites[hub.name]
        assert names[site.operator] == f"{hub.name}-operator"
        assert names[site.supplier] == "supplier"
        assert site.import_limit_w == hub.limit_kw * 1000
        meters = [key for key, meter in host.items("meters") if meter.site == hub.name]
        assert site.main_meter in meters
        assert len(meters) == 1 + len(hubs_run.tables["cars"].filter(hub=hub.name)["port"].unique())
    rounds = [each.site for _, each in host.items("rounds")]
    assert all(rounds.count(hub.name) == 112 for hub in hubs)
    assert len(host.items("tariffs")) == 1


def test_nothing_is_refused_and_every_invariant_holds(hubs_run: RegionRun) -> None:
    assert [each for hub in hubs_run.world.hubs for each in hub.refused] == []
    assert set(hubs_run.tables["receipts"]["reason"]) == {int(Reason.OK)}
    assert broken_invariants(hubs_run.world.host.state) == []


def test_a_limit_binds_each_hub_alone(hubs_run: RegionRun) -> None:
    """No slot's main meter counts more than its own connection carries."""
    for hub in hubs_run.region.hubs:
        own = of_hub(hubs_run.tables, hub.name)["readings"]
        main = own.filter(own["port"] == "")
        drawn = (main["import_end_wh"] - main["import_start_wh"]).to_list()
        assert drawn
        assert max(drawn) <= hub.limit_kw * 1000 / 4


def test_the_sums_are_those_of_the_hubs(hubs_run: RegionRun) -> None:
    summary = hubs_run.summary
    hubs, total = summary["hubs"].values(), summary["total"]
    for part in ("energy_wh", "money_ucoin", "orders", "rounds"):
        for name, value in total[part].items():
            assert value == sum(hub[part][name] for hub in hubs), (part, name)
    assert total["money_ucoin"]["sum"] == 0
    for rule, outcome in total["baselines"].items():
        for name, value in outcome.items():
            by_hub = sum(hub["baselines"][rule][name] for hub in hubs)
            assert value == pytest.approx(by_hub, abs=1e-3)
    assert total["energy_wh"]["from_cars"] > 0


def test_where_cars_came_from_is_what_was_drawn(hubs_run: RegionRun) -> None:
    box, seed = hubs_run.region.box, hubs_run.config.sellers.seed
    for hub in hubs_run.day.hubs:
        said = hubs_run.summary["hubs"][hub.hub.name]["cars_from"]
        for parked, origin in zip(hub.parked, said, strict=True):
            place = place_of(parked.session.session_id, seed, box)
            assert origin["longitude"] == round(place.longitude, 6)
            assert origin["nearer_hubs_full"] == parked.tried


def test_the_same_seed_gives_the_same_bytes(
    hubs_run: RegionRun, hubs_folder: Path, small_sessions: Sessions, tmp_path: Path
) -> None:
    again = RegionRun(hubs_run.config, hubs_run.region, small_sessions, map_name="few")
    again.live()
    with RunFolder(tmp_path / "again") as folder:
        again.write(folder)
    for path in sorted(hubs_folder.rglob("*")):
        if path.is_file() and path.name != "timings.json":
            other = tmp_path / "again" / path.relative_to(hubs_folder)
            assert other.read_bytes() == path.read_bytes(), path.name


def test_a_hub_to_which_no_car_comes_is_idle(
    hubs_run: RegionRun, hubs_config: DayConfig, small_sessions: Sessions
) -> None:
    moon = {"name": "moon", "place": {"longitude": 9, "latitude": -30}, "limit_kw": 5, "ports": 1}
    near = {"name": "near", "place": {"longitude": -97.75, "latitude": 30.265}} | {
        "limit_kw": 5,
        "ports": 20,
    }
    region = region_of(hubs_run, hubs=[moon, near])
    day = region_day(hubs_config, region, small_sessions)
    assert [hub.name for hub in day.idle] == ["moon"]
    assert [each.hub.name for each in day.hubs] == ["near"]
    assert day.turned_away == ()


def test_a_hubs_agents_expect_what_the_hub_would_have_seen(
    hubs_run: RegionRun, hubs_config: DayConfig, caltech_sessions: Sessions
) -> None:
    """Of all like days' need, each hub expects the part that would have come to it."""
    roomy = [hub | {"ports": 200} for hub in hubs_run.region.model_dump()["hubs"]]
    region = region_of(hubs_run, hubs=roomy)
    day = region_day(hubs_config, region, caltech_sessions)
    expected = [each.day.expected_need_kwh[0, -1] for each in day.hubs]
    assert min(expected) > 0
    alone = region_day(hubs_config, region_of(hubs_run, hubs=roomy[:1]), caltech_sessions)
    assert sum(expected) == pytest.approx(alone.hubs[0].day.expected_need_kwh[0, -1], rel=0.05)


def test_a_date_without_cars_is_refused_as_ever(
    hubs_run: RegionRun, hubs_config: DayConfig, small_sessions: Sessions
) -> None:
    late = hubs_config.model_copy(update={"date": hubs_config.date.replace(year=2018)})
    with pytest.raises(SessionsError, match=r"no sessions at caltech on 2018-06-12"):
        region_day(late, hubs_run.region, small_sessions)


def test_rewards_are_for_a_day_at_one_hub(
    hubs_run: RegionRun, caltech_sessions: tuple[Session, ...]
) -> None:
    config = DayConfig.model_validate({"site": "caltech", "rewards": {"fund": 1}})
    with pytest.raises(ConfigError, match="rewards: cannot be set for a day at several hubs"):
        region_day(config, region_of(hubs_run), caltech_sessions)


def test_other_hubs_make_another_chain(hubs_run: RegionRun) -> None:
    hubs = hubs_run.region.model_dump()["hubs"]
    fewer = region_of(hubs_run, hubs=hubs[:2])
    ids = {region_chain_id(hubs_run.config, region) for region in (hubs_run.region, fewer)}
    assert len(ids) == 2
    assert hubs_run.world.host.chain_id in ids


def test_roofs_of_several_hubs_do_not_get_in_each_others_way(
    hubs_run: RegionRun, small_sessions: Sessions
) -> None:
    """Both are called pv; their wallets, meters and ports differ."""
    hubs = [hub | {"pv_kwp": 3.0} for hub in hubs_run.region.model_dump()["hubs"][:2]]
    run = RegionRun(
        hubs_run.config,
        region_of(hubs_run, hubs=hubs),
        [replace(s) for s in small_sessions[:6]],
        map_name="roofs",
    )
    run.live()
    for name in ("west", "mid"):
        assert run.summary["hubs"][name]["energy_wh"]["from_pv"] > 0
    assert run.summary["total"]["money_ucoin"]["sum"] == 0


def test_pairs_are_proposed_at_every_hub_by_its_own_operator(
    hubs_run: RegionRun, small_sessions: Sessions
) -> None:
    config = hubs_run.config.model_copy(update={"mechanism": "welfare-pairs"})
    run = RegionRun(config, hubs_run.region, small_sessions, map_name="few")
    run.live()
    rounds = run.tables["rounds"]
    by = {
        hub: set(rounds.filter(hub=hub, status="settled")["cleared_by"])
        for hub in ("west", "mid", "east")
    }
    assert by == {hub: {f"{hub}-operator"} for hub in by}


def test_what_cars_traded_is_recorded_once_by_buyer_and_seller(hubs_run: RegionRun) -> None:
    """Every purchase of which a part came from another car, and nothing else."""
    host, keys = hubs_run.world.host, hubs_run.world.keys
    recorded = {}
    for height in range(1, host.height + 1):
        for data in host.block(height).transactions:
            message = decode_message(decode(data, Transaction).message)
            if isinstance(message, RecordTrade):
                recorded[message.order_id] = message
    due = {}
    for round_id, _ in host.items("rounds"):
        settled = [decode(v, SettledAward) for _, v in host.sealed("settlements", round_id)]
        for pair in traded_pairs(settled):
            due.setdefault(pair.order_id, []).append(pair)
    assert recorded.keys() == due.keys()
    assert len(recorded) == hubs_run.summary["trades_recorded"] > 0
    for order_id, message in recorded.items():
        body = open_body(message.body, keys.key("regulator"))
        best = max(pair.energy_wh for pair in due[order_id])
        assert (body.order_id, body.from_seller_wh) == (order_id, best)
        with pytest.raises(SealError):
            open_body(message.body, keys.key("supplier"))


def test_every_wallet_checked_its_history_at_the_days_end(hubs_run: RegionRun) -> None:
    world = hubs_run.world
    wallets = [wallet for hub in world.hubs for wallet in hub.wallets.values()]
    assert len(world.checked) == len(wallets) == hubs_run.summary["histories_checked"] == 11
    assert sum(len(wallet.index) for wallet in wallets) == 2 * hubs_run.summary["trades_recorded"]
    for wallet in wallets:
        assert (wallet.height, wallet.block_id) == (world.host.height, world.host.head_id)


def test_a_hub_that_withholds_a_trade_is_noticed(hubs_run: RegionRun) -> None:
    hub = max(hubs_run.world.hubs, key=lambda hub: max(len(w.index) for w in hub.wallets.values()))
    key, wallet = max(hub.wallets.items(), key=lambda each: len(each[1].index))
    history = hub.memory.history(key)
    shorter = msgspec.structs.replace(history, transactions=history.transactions[:-1])
    with pytest.raises(HistoryRefused):
        wallet.check(shorter)


def test_the_transaction_server_announces_what_cars_need(hubs_run: RegionRun) -> None:
    """Whoever has come and not left, as of the last time that anybody could order."""
    for hub in hubs_run.world.hubs:
        there = [visit for visit in hub.visits if visit.present]
        assert set(hub.accounts.wallets()) == {visit.signer.key.public for visit in there}
        last = len(hub.day.slot_start_s) - 1
        asked = [
            (visit.agent.planned_departure_s, visit.agent.need_wh + metered_wh(hub, visit, last))
            for visit in there
            if isinstance(visit.agent, ChargingCar)
        ]
        assert sorted(hub.server.demand().due) == sorted(each for each in asked if each[1])


def metered_wh(hub: Hub, visit: Visit, slot: int) -> int:
    signed = hub.readings[slot].get(visit.port)
    return signed.reading.imported_wh if signed else 0


def test_cars_of_like_days_can_be_laid_on_one(
    hubs_run: RegionRun, hubs_config: DayConfig, caltech_sessions: Sessions
) -> None:
    """Each at its own hour, under another name; the date's own cars stay what they are."""
    roomy = [hub | {"ports": 200} for hub in hubs_run.region.model_dump()["hubs"]]
    one = region_day(hubs_config, region_of(hubs_run, hubs=roomy), caltech_sessions)
    three = region_day(hubs_config, region_of(hubs_run, hubs=roomy, days=3), caltech_sessions)
    assert one.laid == three.laid[:1]
    assert len(three.laid) == 3
    alone, together = (
        {each.session.session_id: each for hub in day.hubs for each in hub.parked}
        for day in (one, three)
    )
    for name, each in alone.items():
        assert together[name].place == each.place
        assert together[name].session.arrival_s == each.session.arrival_s
    more = together.keys() - alone.keys()
    assert {name.rpartition("-")[2] for name in more} == {"1", "2"}
    assert all(together[name].session.local_date == hubs_config.date for name in more), (
        "all on the one date"
    )


def test_cars_with_a_fresh_wallet_for_every_order_trade_and_record_too(
    hubs_run: RegionRun, small_sessions: Sessions
) -> None:
    """A buyer's history is then one trade long at most; each is checked all the same."""
    config = hubs_run.config.model_copy(update={"pseudonyms": "fresh"})
    run = RegionRun(config, hubs_run.region, small_sessions, map_name="few")
    run.live()
    assert run.summary["trades_recorded"] > 0
    wallets = [wallet for hub in run.world.hubs for wallet in hub.wallets.values()]
    assert len(run.world.checked) == len(wallets) > 11
    for hub in run.world.hubs:
        there = {visit.signer.key.public for visit in hub.visits if visit.present}
        assert len(hub.accounts.wallets()) == len(there)
    assert [hub.refused for hub in run.world.hubs] == [[], [], []]
