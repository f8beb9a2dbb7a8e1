"""Four validators whose links go through proxies: started, killed, watched, and always ended.

Knows the network's folder, its processes and links; nothing of the market.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from peerwatt.contracts import ledger
from peerwatt.hosts.cometbft import running
from peerwatt.hosts.cometbft.client import CometHost
from peerwatt.hosts.cometbft.localnet import GENESIS, Network, Node, create
from peerwatt.hosts.cometbft.node_files import CONFIG
from peerwatt.hosts.cometbft.rpc import Rpc, field
from peerwatt.simulation.chaos_links import LOOPBACK, Links
from peerwatt.simulation.chaos_market import VALIDATORS, ChaosParties
from peerwatt.simulation.failures import require

SNAPSHOT_EVERY = 60
"""Two are kept: long enough for a node that joins to fetch one that it was offered."""
WAIT_S = 120.0
POLL_S = 0.2


class ChaosNet:
    """A new network in a folder, which must not exist; its processes end with the `with` block."""

    def __init__(self, folder: Path, parties: ChaosParties, program: Path, base_port: int) -> None:
        self.program, self.links = program, Links(parties.seed)
        try:
            self.network = create(
                folder,
                parties.founded(),
                VALIDATORS,
                {},
                seed=parties.seed,
                time_s=int(time.time()),
                base_port=base_port,
                snapshot_every=SNAPSHOT_EVERY,
            )
            self.reroute(self.network.nodes)
        except BaseException:
            self.links.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        # Ctrl-C a second time must not leave processes behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for node in self.network.nodes:
                self.kill(node)
            self.links.close()
        finally:
            signal.signal(signal.SIGINT, before)
        require(not any(map(self.runs, self.network.nodes)), "processes", "one is left behind")

    def reroute(self, nodes: Sequence[Node]) -> None:
        """Have nodes that do not run dial all others through links of their own."""
        for node in nodes:
            path = self.network.home(node) / CONFIG
            text = path.read_text(encoding="utf-8")
            for peer in self.network.nodes:
                port = self.links.add(node.name, peer.name, peer.p2p_port)
                text = text.replace(f"@{peer.host}:{peer.p2p_port}", f"@{LOOPBACK}:{port}")
            path.write_text(text, encoding="utf-8")

    def start(self, *nodes: Node) -> None:
        """Start nodes; done when they answer."""
        running.start(self.network, self.program, nodes, timeout_s=WAIT_S)

    def kill(self, node: Node) -> None:
        """All processes of a node end at once, as in a power cut."""
        for pid in running.pids(self.network.home(node)).values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait(lambda: not self.runs(node), f"{node.name} still runs")

    def runs(self, node: Node) -> bool:
        """Whether any process of a node runs."""
        return running.is_running(self.network.home(node))

    def wait(self, so: Callable[[], object], otherwise: str, seconds: float = WAIT_S) -> None:
        """Wait until something is so.

        Raises:
            CheckFailed: it was not in time.
        """
        deadline_s = time.monotonic() + seconds
        while not so():
            require(time.monotonic() < deadline_s, "in time", otherwise)
            time.sleep(POLL_S)

    def heights(self, nodes: Sequence[Node]) -> list[int]:
        """How far nodes have come; 0 for one that is silent."""
        return [each.height or 0 for each in running.statuses(self.network, nodes)]

    def grows(self, nodes: Sequence[Node], blocks: int = 2) -> None:
        """Wait until nodes have come so many blocks further than any is now."""
        target = max(self.heights(nodes)) + blocks
        self.wait(lambda: min(self.heights(nodes)) >= target, f"no node got to block {target}")

    def level(self) -> None:
        """Wait until all validators have come further than any is now, and agree on the state."""
        nodes = self.validators
        self.grows(nodes, 1)
        height = min(self.heights(nodes))
        hashes = {node.name: self.app_hash(node, height) for node in nodes}
        same = len(dict.fromkeys(hashes.values())) == 1
        require(same, "one state", f"app hashes at {height}: {hashes}")

    def app_hash(self, node: Node, height: int) -> str:
        """What a node says the state was before a block."""
        rpc = Rpc(node.rpc)
        try:
            commit = rpc.call("commit", height=str(height))
            return str(field(commit, "signed_header", "header", "app_hash"))
        finally:
            rpc.close()

    def proposer(self) -> Node:
        """Whose turn it is to propose a block."""
        rpc = Rpc(self.validators[0].rpc)
        try:
            address = field(rpc.call("consensus_state"), "round_state", "proposer", "address")
            for node in self.validators:
                status = Rpc(node.rpc).call("status")
                if field(status, "validator_info", "address") == address:
                    return node
        finally:
            rpc.close()
        raise ValueError(f"no validator has the address {address}")

    @property
    def validators(self) -> tuple[Node, ...]:
        """The four that the chain began with."""
        return self.network.nodes[: len(VALIDATORS)]

    def host(self, nodes: Sequence[Node]) -> CometHost:
        """A client of some nodes, which executes all blocks again."""
        document = (self.network.folder / GENESIS).read_bytes()
        return CometHost(ledger, [node.rpc for node in nodes], document)


def clear(folder: Path) -> None:
    """Take away what an earlier run left of a network, its processes first."""
    if folder.exists():
        network = Network(folder)
        running.stop(network, network.nodes)
        shutil.rmtree(folder)
