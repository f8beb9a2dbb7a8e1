"""Four validators that live as long as a block of code, whatever ledger they run, and what they
use of the processors.

Knows the network's folder, the keeper and /proc. Each node's keeper hangs on a pipe of this
process: no node outlives it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import network_node
from network_node import SAMPLES

from peerwatt.hosts.cometbft import localnet, running
from peerwatt.hosts.cometbft.keeper import Part, words_of
from peerwatt.hosts.cometbft.localnet import Network, Node
from peerwatt.hosts.cometbft.node_files import KVSTORE, SOCKET
from peerwatt.hosts.cometbft.running import APP, ENGINE

NAMES = ("one", "two", "three", "four")
READY_S = 60.0
END_S = 30.0
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Validators:
    """A network of four on this machine; `with` starts and stops it, as often as one likes.

    Args:
        folder: where it is made.
        genesis: canonical bytes of the ledger's.
        runs: `contracts`, `counting` or `kvstore`.
        program: the engine.
        base_port: the first of eight ports.
    """

    def __init__(
        self, folder: Path, genesis: bytes, runs: str, program: Path, base_port: int
    ) -> None:
        app = KVSTORE if runs == KVSTORE else localnet.PEERWATT
        self.network: Network = localnet.create(
            folder / runs,
            genesis,
            NAMES,
            {},
            seed=1,
            time_s=int(time.time()),
            app=app,
            base_port=base_port,
            snapshot_every=0,
        )
        self._runs, self._program = runs, program
        self._keepers: list[subprocess.Popen[bytes]] = []

    @property
    def urls(self) -> list[str]:
        """Where clients reach the nodes."""
        return [node.rpc for node in self.network.nodes]

    def __enter__(self) -> Self:
        try:
            self._keepers = [self._start(node) for node in self.network.nodes]
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self, node: Node) -> subprocess.Popen[bytes]:
        """A node; the first one's application is looked at while it works."""
        home = self.network.home(node)
        app_words = [sys.executable, network_node.__file__, self._runs]
        if node == self.network.nodes[0]:
            app_words.append(SAMPLES)
        app = Part(APP, app_words, makes=SOCKET)
        engine = Part(ENGINE, [str(self._program), "start", "--home", "."])
        parts = [engine] if self._runs == KVSTORE else [app, engine]
        with (home / "keeper.log").open("ab") as log:
            return subprocess.Popen(
                words_of(home, parts), cwd=home, stdin=subprocess.PIPE, stdout=log, stderr=log
            )

    def _wait(self) -> None:
        """Until all answer and the height grows."""
        deadline_s, first = time.monotonic() + READY_S, -1
        while time.monotonic() < deadline_s:
            found = running.statuses(self.network, self.network.nodes)
            heights = [each.height for each in found if each.height is not None]
            if len(heights) == len(found):
                first = max(heights) if first < 0 else first
                if min(heights) > first:
                    return
            time.sleep(running.POLL_S)
        raise RuntimeError(f"{self.network.folder}: did not start in {READY_S:g} s; see its logs")

    def _stop(self) -> None:
        """A keeper whose pipe closes ends its node."""
        for keeper in self._keepers:
            if keeper.stdin is not None:
                keeper.stdin.close()
        for keeper in self._keepers:
            keeper.wait(END_S)
        self._keepers = []

    def cpu_s(self) -> dict[str, float]:
        """What the applications and the engines of all nodes have used of the processors."""
        used = dict.fromkeys((APP, ENGINE), 0.0)
        for node in self.network.nodes:
            for part, pid in running.pids(self.network.home(node)).items():
                if part in used:
                    used[part] += _cpu_s(pid)
        return used

    @property
    def samples(self) -> Path:
        """What was seen of the first node's application, once it has stopped."""
        return self.network.home(self.network.nodes[0]) / SAMPLES


def _cpu_s(pid: int) -> float:
    """A process's time on the processors, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
