"""A day on a network, here one in this process that pretends: it comes to the same as a day at
home, and everything about it that cannot be is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fake_rpc import FakeChain, FakeNode

from peerwatt.agents.signer import Signer
from peerwatt.audit.compare import compare
from peerwatt.audit.folder import verify_folder
from peerwatt.audit.validators import LiveNetwork
from peerwatt.contracts import ledger
from peerwatt.hosts.cometbft import localnet
from peerwatt.hosts.cometbft.commits import COMMITS, ENGINE_GENESIS
from peerwatt.hosts.cometbft.localnet import PEERWATT, Network
from peerwatt.hosts.cometbft.node_files import KVSTORE, FilesError
from peerwatt.records.bundles import Finding, Verdict, is_sound
from peerwatt.records.transactions import Tick
from peerwatt.reporting.manifest import seal
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.attacks import AttackedWorld
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.consortium import CLOCK, ROLES, Keyring, chain_id_of, genesis_of
from peerwatt.simulation.on_network import NetworkRefused, OnNetwork
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.timetable import DISPUTE_WINDOW_S
from peerwatt.simulation.world import World

NAMES = ("north", "south", "east", "west")
SEED = 1


class PolledNode(FakeNode):
    """A node of a network whose next block comes whenever somebody asks how far it is."""

    def __init__(self, chain: FakeChain) -> None:
        super().__init__(chain)
        self.room = 1 << 20

    def _abci_info(self) -> Any:
        self.chain.decide()
        return super()._abci_info()


class Pretended:
    """Such a network with its folder; what is asked first of its nodes is `nodes[0]`."""

    def __init__(self, folder: Path, chain_id: str, app: str = PEERWATT, nodes: int = 2) -> None:
        keys = Keyring(SEED, chain_id)
        genesis = genesis_of(keys, 0, DISPUTE_WINDOW_S)
        self.chain = FakeChain(folder / "snapshots", ledger, genesis)
        self.nodes = [PolledNode(self.chain) for _ in range(nodes)]
        self.folder = folder / "net"
        known = {name: keys.key(name) for name in (*ROLES, CLOCK)}
        network = localnet.create(self.folder, genesis, NAMES, known, seed=SEED, time_s=0, app=app)
        self.chain.keys = [
            localnet.validator_key(SEED, chain_id, node.name) for node in network.nodes
        ]
        self.chain.first_keys = self.chain.keys
        description = json.loads((self.folder / localnet.NETWORK).read_bytes())
        for row, node in zip(description["nodes"], self.nodes, strict=False):
            row["rpc_port"] = urlsplit(node.url).port
        description["nodes"] = description["nodes"][:nodes]
        (self.folder / localnet.NETWORK).write_text(json.dumps(description))

    def stop(self) -> None:
        for node in self.nodes:
            if not node.stopped:
                node.stop()


@contextmanager
def pretended(folder: Path, config: DayConfig, **about: Any) -> Iterator[Pretended]:
    made = Pretended(folder, chain_id_of(config), **about)
    try:
        yield made
    finally:
        made.stop()


def live(run: DayRun, make: type[World], net: Pretended) -> DayRun:
    run.found(make, at=partial(OnNetwork, net.folder))
    if isinstance(run.world, AttackedWorld):
        run.world.tempt()
    run.live()
    return run


class Abandoned(World):
    """The first node dies in the middle of the day, with some of an hour's orders."""

    net: Pretended

    def _place(self, visit: Any, intent: Any, round_id: bytes) -> None:
        super()._place(visit, intent, round_id)
        if self.host.height > 150 and not self.net.nodes[0].stopped:
            self.net.nodes[0].stop()


@pytest.fixture(scope="module")
def at_home(small_config: DayConfig, small_sessions: Any) -> DayRun:
    run = DayRun(small_config, small_sessions)
    run.found(World)
    run.live()
    return run


@pytest.fixture(scope="module")
def away(
    small_config: DayConfig, small_sessions: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[DayRun, Pretended, Path]]:
    """The same day on a network on which a node dies, that network, and the run's folder."""
    folder = tmp_path_factory.mktemp("away")
    with pretended(folder, small_config) as net:
        Abandoned.net = net
        run = live(DayRun(small_config, small_sessions), Abandoned, net)
        with RunFolder(folder / "day") as out:
            run.write(out)
        yield run, net, folder / "day"


def test_a_day_comes_to_the_same_though_a_node_dies(at_home: DayRun, away: Any) -> None:
    run, net, _ = away
    assert net.nodes[0].stopped
    assert run.world.host.height > at_home.world.host.height
    parts = compare(at_home.world.host, run.world.host)
    assert [each.differences for each in parts] == [[], [], []]
    assert all(each.ours == each.theirs > 0 for each in parts)
    assert run.summary["energy_wh"] == at_home.summary["energy_wh"]
    assert run.summary["money_ucoin"] == at_home.summary["money_ucoin"]


def findings(folder: Path, verdict: Verdict, network: Path | None = None) -> list[str]:
    live_network = None if network is None else LiveNetwork(network)
    report = verify_folder(folder, network=live_network)
    return [each.text for each in report.findings if each.verdict is verdict]


def test_its_folder_holds_the_validators_votes(away: Any) -> None:
    run, _, folder = away
    assert findings(folder, Verdict.FAILS) == []
    held = [text for text in findings(folder, Verdict.HOLDS) if "validators signed" in text]
    assert held == [
        f"{run.world.host.height} blocks and their receipts are what validators signed, each with "
        "at least 100 % of the power; at the end there are 4 validators"
    ]
    open_question = [t for t in findings(folder, Verdict.NOT_SHOWN) if "validators you mean" in t]
    assert len(open_question) == 1
    last = json.loads((folder / "ledger" / COMMITS).read_text().splitlines()[-1])
    head = bytes.fromhex(last["commit"]["block_id"]["hash"])
    assert is_sound(verify_folder(folder, trusted_head=head).findings)
    assert not is_sound(verify_folder(folder, trusted_head=bytes(32)).findings)


def test_it_is_held_against_the_network_that_runs(
    away: Any, tmp_path: Path, small_config: DayConfig, small_folder: Path
) -> None:
    _, net, folder = away
    assert findings(folder, Verdict.FAILS, net.folder) == []
    held = findings(folder, Verdict.HOLDS, net.folder)
    assert any(each.startswith("the network's validators signed these") for each in held)
    (begins,) = findings(small_folder, Verdict.FAILS, net.folder)
    assert begins == f"the chain begins as the network in {net.folder} does"
    with pretended(tmp_path, small_config) as other:
        (found,) = findings(folder, Verdict.FAILS, other.folder)
        assert found.endswith(": block 2: the network has come to 1 only")
        other.chain.decide()
        (found,) = findings(folder, Verdict.FAILS, other.folder)
        assert found.endswith(": block 2: its transactions differs")
        other.stop()
        (unreached,) = findings(folder, Verdict.FAILS, other.folder)
        assert "could not be asked" in unreached


def test_a_live_network_is_checked_alone(away: Any) -> None:
    _, net, _ = away
    found = LiveNetwork(net.folder).check_live()
    assert [each.verdict for each in found] == [Verdict.HOLDS, Verdict.HOLDS], found
    assert "follow from the genesis" in found[0].text


def test_a_receipt_is_held_against_the_network(away: Any, at_home: DayRun) -> None:
    run, net, _ = away

    def check(host: Any) -> Finding:
        round_id = next(k for k, _ in host.items("rounds") if host.sealed("settlements", k))
        bundle = host.receipt("settlements", round_id, host.sealed("settlements", round_id)[0][0])
        (found,) = LiveNetwork(net.folder).check_receipt(bundle)
        return found

    assert check(run.world.host).verdict is Verdict.HOLDS
    assert check(at_home.world.host).verdict is Verdict.FAILS


def _last_line(change: Callable[[dict[str, Any]], object]) -> Callable[[list[str]], list[str]]:
    def spoil(lines: list[str]) -> list[str]:
        line = json.loads(lines[-1])
        change(line)
        return [*lines[:-1], json.dumps(line)]

    return spoil


SPOILED: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "cut off": (lambda lines: lines[:-1], "ends at block"),
    "one more": (lambda lines: [*lines, lines[-1]], "is of another height or chain"),
    "no JSON": (lambda lines: ["{", *lines[1:]], "cannot be read"),
    "a list": (lambda lines: ["[]", *lines[1:]], "a line is no object"),
    "no votes": (_last_line(lambda line: line.pop("commit")), "has no commit"),
    "too few votes": (
        _last_line(lambda line: line["commit"].update(signatures=line["commit"]["signatures"][:2])),
        "signed by a power of 20 of 40",
    ),
    "another header": (
        _last_line(lambda line: line["header"].update(app_hash="AB" * 32)),
        "the votes are for another header",
    ),
    "other validators": (
        _last_line(
            lambda line: line.update(
                validators=[
                    {"pub_key": {"type": "tendermint/PubKeyEd25519", "value": "A" * 43 + "="},
                     "power": "1"}
                ]
            )
        ),
        "its validators are not those that were announced",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILED)
def test_spoiled_votes_are_named(what: str, away: Any, tmp_path: Path) -> None:
    run, _, folder = away
    copy = Path(shutil.copytree(folder, tmp_path / "day"))
    change, why = SPOILED[what]
    path = copy / "ledger" / COMMITS
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    seal(copy, run.world.keys.key("aggregator"), run.world.keys.chain_id, ["timings.json"])
    (found,) = findings(copy, Verdict.FAILS)
    assert found.startswith(f"ledger/{COMMITS}")
    assert why in found


def test_votes_of_another_chain_are_named(away: Any, tmp_path: Path) -> None:
    run, _, folder = away
    copy = Path(shutil.copytree(folder, tmp_path / "day"))
    seal_again = partial(seal, copy, run.world.keys.key("aggregator"), run.world.keys.chain_id)
    path = copy / "ledger" / ENGINE_GENESIS
    path.write_text("{}")
    seal_again(["timings.json"])
    (found,) = findings(copy, Verdict.FAILS)
    assert found.startswith(f"ledger/{ENGINE_GENESIS}: genesis: is no engine's")
    with pretended(tmp_path, run.config.model_copy(update={"limit_kw": 8})) as other:
        path.write_bytes((other.folder / localnet.GENESIS).read_bytes())
    seal_again(["timings.json"])
    (found,) = findings(copy, Verdict.FAILS)
    assert found == f"ledger/{ENGINE_GENESIS}: is of another chain than genesis.bin"


def test_lies_get_no_further_than_admission(
    small_config: DayConfig, small_sessions: Any, tmp_path: Path
) -> None:
    with pretended(tmp_path, small_config, nodes=1) as net:
        run = live(DayRun(small_config, small_sessions), AttackedWorld, net)
    refused = [(row["where"], row["reason_name"]) for row in run.tables["refused"].to_dicts()]
    # An order sent once more is the same order: an engine knows it, and it changes nothing.
    assert refused == [("admission", "UNFUNDED"), ("admission", "BAD_READING_SIGNATURE")]
    assert run.tables["receipts"].filter(run.tables["receipts"]["reason"] != 0).height == 0


def test_a_chain_holds_one_day(away: Any) -> None:
    run, net, _ = away
    with pytest.raises(NetworkRefused, match="has a site 'caltech' already, and holds one day"):
        OnNetwork(net.folder, run.day.start_s)


def test_a_day_before_chain_time_is_refused(small_config: DayConfig, tmp_path: Path) -> None:
    with pretended(tmp_path, small_config, nodes=1) as net:
        venue = OnNetwork(net.folder, 86_400)
        clock = Signer(venue.keys.key(CLOCK), venue.host)
        assert clock.send(Tick, valid_until_s=86_401, time_s=86_401).ok
        venue.seal(86_401)
        with pytest.raises(NetworkRefused) as refusal:
            OnNetwork(net.folder, 86_400)
        assert str(refusal.value) == (
            f"{net.folder}: its chain's time is 1970-01-02 00:00 UTC already, and the day begins "
            "at 1970-01-02 00:00 UTC"
        )
        with pytest.raises(ValueError, match="smuggled: only validators"):
            venue.seal(86_401, (b"lie",))


def test_a_network_that_cannot_be_used_is_refused(small_config: DayConfig, tmp_path: Path) -> None:
    with pytest.raises(FilesError, match="is no network"):
        OnNetwork(tmp_path, 0)
    kvstore = pretended(tmp_path / "a", small_config, app=KVSTORE)
    with kvstore as net, pytest.raises(NetworkRefused, match="runs 'kvstore', not peerwatt's"):
        OnNetwork(net.folder, 0)
    with pretended(tmp_path / "b", small_config) as net:
        (net.folder / "keys" / "supplier.json").chmod(0o644)
        with pytest.raises(FilesError, match="others may open it"):
            OnNetwork(net.folder, 0)
        (net.folder / "keys" / "supplier.json").unlink()
        shutil.copy(net.folder / "keys" / "issuer.json", net.folder / "keys" / "supplier.json")
        with pytest.raises(NetworkRefused, match=r"keys/supplier\.json: does not follow"):
            OnNetwork(net.folder, 0)
    with pretended(tmp_path / "c", small_config) as net:
        net.stop()
        with pytest.raises(NetworkRefused, match="run: peerwatt network start") as refusal:
            OnNetwork(net.folder, 0)
        assert len(str(refusal.value).splitlines()) == 1
        assert Network(net.folder).app == PEERWATT
