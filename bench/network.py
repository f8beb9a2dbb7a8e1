"""Signed orders a second through four validators on one machine, and how soon they are final.

Ours: the contracts under CometBFT. Peers in the same run, in turn, offered as many transactions of
the same size in the same way: our application with a ledger that only counts, which is what the
host and the engine cost, and the engine's own kvstore, which checks no signature and runs in the
engine's process. Before that, rounds are cleared, read and settled on our network once. Needs the
engine (`peerwatt engine install`).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from harness import RESULTS, ratios, report, shown, spread, take_turns
from network_load import Outcome, Pace, offer
from network_node import CONTRACTS, COUNTING
from network_run import Validators
from network_script import Script, first_state, write_script

from peerwatt.hosts.cometbft import engine
from peerwatt.hosts.cometbft.client import read_genesis
from peerwatt.hosts.cometbft.node_files import KVSTORE
from peerwatt.hosts.cometbft.reader import Reader
from peerwatt.hosts.cometbft.rpc import Nodes
from peerwatt.records.codec import decode
from peerwatt.records.market import Round

BASE_PORT = 29_000
NETWORKS = (CONTRACTS, COUNTING, KVSTORE)
FULL = Pace(waiting=4_000)
TARGET, TARGET_P99_S = 0.60, 3.0
KINDS = {
    "records/signing.py": "signatures",
    "hosts/store.py": "SQLite",
    "contracts/": "contracts",
    "noop.py": "contracts",
    "hosts/state.py": "state and its hashes",
    "records/merkle.py": "state and its hashes",
    "records/trees.py": "state and its hashes",
    "hosts/replica.py": "state and its hashes",
    "hosts/cometbft/": "ABCI: socket, frames, protobuf, answers",
    "selectors.py": "ABCI: socket, frames, protobuf, answers",
    "records/": "decoding and encoding records",
}
REQUESTS = ("check_tx", "process_proposal", "finalize_block", "commit", "answer")
Stack = list[tuple[str, str]]


class Size(NamedTuple):
    """How much is measured: ports of the hub, a multiple of the connections, so that a wallet's
    orders keep to one; rounds settled; orders a port and turn; turns; orders a port at half the
    rate."""

    ports: int = 1_000
    settled: int = 6
    rounds_a_turn: int = 8
    turns: int = 3
    rounds_at_half: int = 5


class Turn(NamedTuple):
    """What one turn of one network came to."""

    outcome: Outcome
    cpu_us: dict[str, float]


class Race:
    """Three networks that take turns at the same load."""

    def __init__(self, folder: Path, size: Size, base_port: int) -> None:
        program = engine.find().program
        self.size = size
        self.script = write_script(
            size.ports, size.settled, size.rounds_a_turn * size.turns + size.rounds_at_half
        )
        first = first_state(size.ports)
        self.networks = {
            name: Validators(folder, first, name, program, base_port + 10 * at)
            for at, name in enumerate(NETWORKS)
        }
        self.turns: dict[str, list[Turn]] = {name: [] for name in NETWORKS}
        self.seen: dict[str, list[Stack]] = {name: [] for name in NETWORKS}

    def settle(self) -> dict[str, float]:
        """Our network's beginning: founded, rounds ordered, cleared, read and settled; awards a
        second by step."""
        script = self.script
        with self.networks[CONTRACTS] as ours:
            offer(ours.urls, script.founding, FULL, single=True)
            offer(ours.urls, script.orders, FULL)
            cleared = offer(ours.urls, script.gate, FULL)
            offer(ours.urls, script.end, FULL)
            settled = offer(ours.urls, script.reports, FULL, single=True)
            _check_rounds(ours, script, settled.height)
            offer(ours.urls, script.opening, FULL, single=True)
        return {
            "clear": round(script.awards / cleared.seconds),
            "report and settle": round(script.awards / settled.seconds),
        }

    def turn(self, name: str) -> float:
        """One turn of a network at the full load: transactions committed a second."""
        count = self.size.ports * self.size.rounds_a_turn
        at = len(self.turns[name]) * count
        with self.networks[name] as network:
            before, own_s = network.cpu_s(), time.process_time()
            outcome = offer(network.urls, self._load(name, at, count), FULL)
            used_s = {part: s - before[part] for part, s in network.cpu_s().items()}
            used_s["load"] = time.process_time() - own_s
        cpu_us = {part: s / count * 1e6 for part, s in used_s.items()}
        self.turns[name].append(Turn(outcome, cpu_us))
        if name != KVSTORE:
            looks = json.loads(network.samples.read_text())
            self.seen[name] += [
                stack for at_s, stack in looks if outcome.began_s <= at_s <= outcome.ended_s
            ]
        return outcome.per_second

    def finality(self, name: str) -> dict[str, float]:
        """From offer to block in seconds, at half of what the network took, one by one."""
        rate = statistics.median(turn.outcome.per_second for turn in self.turns[name]) / 2
        size = self.size
        at, most = size.ports * size.rounds_a_turn * size.turns, size.ports * size.rounds_at_half
        with self.networks[name] as network:
            load = self._load(name, at, most)
            outcome = offer(network.urls, load, FULL._replace(per_second=rate, batch=1))
        cuts = statistics.quantiles(outcome.finality_s, n=100)
        p50_s, p99_s = (round(cuts[at], 2) for at in (49, 98))
        return {"offered_per_second": round(rate, 1), "p50_s": p50_s, "p99_s": p99_s}

    def block_sizes(self, name: str) -> dict[str, float]:
        """How many transactions blocks had, of those that had any, over all turns."""
        return spread([count for turn in self.turns[name] for count in turn.outcome.blocks])

    def cpu_us(self, name: str) -> dict[str, float]:
        """Microseconds of the processors that a transaction took, by who used them; medians."""
        turns = [turn.cpu_us for turn in self.turns[name]]
        return {part: round(statistics.median(t[part] for t in turns), 1) for part in turns[0]}

    def _load(self, name: str, at: int, count: int) -> Sequence[bytes]:
        """The next orders, or keys with values of their sizes for the engine's own application."""
        orders = self.script.load[at : at + count]
        if name != KVSTORE:
            return orders
        return [f"{at + n:08d}=".encode().ljust(len(each), b"x") for n, each in enumerate(orders)]


def _check_rounds(network: Validators, script: Script, height: int) -> None:
    """A client that believes nobody finds the rounds settled after this block as the model has
    them."""
    document = (network.network.folder / "genesis.json").read_bytes()
    start = read_genesis(document)
    nodes = Nodes(network.urls, start.chain_id)
    reader = Reader(nodes, start.validators)
    for round_id, settlements_root in script.settled.items():
        found = reader.value("rounds", round_id, at_least=height).value or b""
        if decode(found, Round).settlements_root != settlements_root:
            raise RuntimeError(f"round {round_id.hex()}: is not settled as on the embedded host")
    nodes.close()


def where_time_goes(seen: Sequence[Stack]) -> dict[str, Any]:
    """Shares of an application's own time: by kind of work, by request, and the functions that
    had most themselves."""
    kinds, requests, functions = Counter[str](), Counter[str](), Counter[str]()
    for stack in seen:
        kinds[_kind(file for file, _ in stack)] += 1
        names = [name for file, name in stack if file.endswith("cometbft/app.py")]
        found = (each for each in REQUESTS if any(name.endswith(each) for name in names))
        requests[next(found, "none: requests are read, answers written")] += 1
        file, name = stack[0]
        functions[f"{Path(file).name}: {name}"] += 1
    total = max(1, len(seen))

    def shares(counted: Counter[str]) -> dict[str, float]:
        return {name: round(count / total, 3) for name, count in counted.most_common(15)}

    return {
        "samples": len(seen),
        "by kind of work": shares(kinds),
        "by request": shares(requests),
        "functions by their own time": shares(functions),
    }


def _kind(files: Iterable[str]) -> str:
    """What kind of work a stack is: that of the innermost file that says so."""
    for file in files:
        for part, kind in KINDS.items():
            if f"/{part}" in file:
                return kind
    return "other"


def measure(folder: Path, size: Size, base_port: int = BASE_PORT) -> dict[str, Any]:
    """All of it, at one size."""
    race = Race(folder, size, base_port)
    awards_per_second = race.settle()
    subjects = {name: partial(race.turn, name) for name in NETWORKS}
    rates = take_turns(subjects, size.turns)
    finality_s = {name: race.finality(name) for name in NETWORKS}
    ours = rates[CONTRACTS]
    return {
        "ports": size.ports,
        "turns": size.turns,
        "transactions_a_turn": size.ports * size.rounds_a_turn,
        "bytes_a_transaction": spread([len(each) for each in race.script.load]),
        "per_second": {name: spread(each) for name, each in rates.items()},
        "share_of_no_op_ledger": spread(ratios(ours, rates[COUNTING])),
        "share_of_kvstore": spread(ratios(ours, rates[KVSTORE])),
        "finality_at_half_the_rate": finality_s,
        "transactions_a_block": {name: race.block_sizes(name) for name in NETWORKS},
        "cpu_us_a_transaction_on_all_nodes": {name: race.cpu_us(name) for name in NETWORKS},
        "awards": race.script.awards,
        "awards_per_second": awards_per_second,
        "where_the_first_nodes_application_spends_its_time": {
            name: where_time_goes(race.seen[name]) for name in (CONTRACTS, COUNTING)
        },
    }


def _write_profile(profiles: dict[str, dict[str, Any]]) -> None:
    lines = []
    for name, profile in profiles.items():
        lines.append(f"{name}: {profile['samples']} samples of the first node's application")
        for title in (key for key in profile if key != "samples"):
            lines.append(f"\n  {title}")
            lines += [f"  {share:7.1%}  {what}" for what, share in profile[title].items()]
        lines.append("")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "network.profile.txt").write_text("\n".join(lines))


def main() -> None:
    try:
        engine.find()
    except engine.EngineError as error:
        print(f"network: left out, {error}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), Size())
    _write_profile(figures["where_the_first_nodes_application_spends_its_time"])
    share, rates = figures["share_of_no_op_ledger"], figures["per_second"]
    finality_s = figures["finality_at_half_the_rate"][CONTRACTS]
    met = share["median"] >= TARGET and finality_s["p99_s"] <= TARGET_P99_S
    target = f">= {TARGET:.0%} of the no-op ledger, p99 <= {TARGET_P99_S:g} s"
    row = (
        "CometBFT, 4 validators, signed orders, "
        f"final in {finality_s['p50_s']:.1f} s, p99 {finality_s['p99_s']:.1f} s",
        f"{shown(rates[CONTRACTS])} orders/s",
        f"no-op ledger {shown(rates[COUNTING])}/s, kvstore {shown(rates[KVSTORE])}/s",
        f"{shown(share, '.0%')}, {shown(figures['share_of_kvstore'], '.0%')}",
        target,
    )
    report("network", target, {"met": met, **figures}, row)


if __name__ == "__main__":
    main()
