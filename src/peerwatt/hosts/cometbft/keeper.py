"""One process that keeps a node's processes: it starts them in order and never leaves one behind.

Knows processes, a lock and a pipe; not what runs. It ends all of them, last first, when it is
told to (SIGTERM), when one of them ends, and when whoever started it dies before it let go. The
lock is held by every one of them: while it is taken, the recorded ids are theirs and no others'.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

LOCK = "lock"
RUNNING = "running.json"
GO_ON = b"."
"""What the starter writes when the kept processes shall outlive it."""
POLL_S = 0.05
LOCK_S = 0.05
READY_S = 60.0
END_S = 10.0
_SET_PARENT_DEATH_SIGNAL = 1


class Part(NamedTuple):
    """A process to keep: its name (its log is NAME.log), its command, and a file that it makes
    when others can use it, empty if none waits for it."""

    name: str
    words: Sequence[str]
    makes: str = ""


def take_lock(folder: Path) -> int | None:
    """The folder's lock as an open file; none if it is taken."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


class Keeper:
    """Keeps the parts of one folder until it has to end them."""

    def __init__(self, folder: Path, parts: Sequence[Part], leash: int) -> None:
        self._folder, self._parts = folder, parts
        self._leash: int | None = leash
        self._kept: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._told = False

    def run(self) -> str:
        """Start the parts and wait; why it ended, empty if it was told to."""
        lock = self._lock()
        if lock is None:
            return "is kept already"
        signal.signal(signal.SIGTERM, self._tell)
        signal.signal(signal.SIGINT, self._tell)
        # The starter may be gone when something is written.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        try:
            return self._keep(lock)
        finally:
            self._end()
            (self._folder / RUNNING).unlink(missing_ok=True)

    def _lock(self) -> int | None:
        """The folder's lock; who only looks whether it is taken holds it for an instant."""
        deadline_s = time.monotonic() + LOCK_S
        while (lock := take_lock(self._folder)) is None and time.monotonic() < deadline_s:
            time.sleep(LOCK_S / 10)
        return lock

    def _tell(self, number: int, frame: object) -> None:
        self._told = True

    def _keep(self, lock: int) -> str:
        die_with_me = _die_with_parent()
        self._record()
        for part in self._parts:
            made = self._folder / part.makes
            if part.makes:
                made.unlink(missing_ok=True)
            with (self._folder / f"{part.name}.log").open("ab") as log:
                kept = subprocess.Popen(
                    part.words,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock,),
                    preexec_fn=die_with_me,
                )
            self._kept.append((part.name, kept))
            self._record()
            deadline_s = time.monotonic() + READY_S
            while part.makes and not made.exists():
                if (why := self._over()) is not None:
                    return why
                if time.monotonic() > deadline_s:
                    return f"{part.name} made no {part.makes}"
        while (why := self._over()) is None:
            pass
        return why

    def _over(self) -> str | None:
        """Why all shall end (empty: it was told), or none after a short wait."""
        self._listen()
        if self._told:
            return ""
        for name, kept in self._kept:
            if kept.poll() is not None:
                return f"{name} ended by itself ({_ending(kept.returncode)})"
        return None

    def _listen(self) -> None:
        """Wait a little; hear whether the starter let go or died."""
        if self._leash is None:
            time.sleep(POLL_S)
            return
        ready, _, _ = select.select([self._leash], [], [], POLL_S)
        if ready:
            self._told = self._told or os.read(self._leash, 1) != GO_ON
            self._leash = None

    def _record(self) -> None:
        """Write down who runs."""
        pids = {"keeper": os.getpid(), **{name: kept.pid for name, kept in self._kept}}
        aside = self._folder / f".{RUNNING}"
        aside.write_text(json.dumps(pids), encoding="utf-8")
        aside.replace(self._folder / RUNNING)

    def _end(self) -> None:
        for _, kept in reversed(self._kept):
            if kept.poll() is None:
                kept.terminate()
                try:
                    kept.wait(END_S)
                except subprocess.TimeoutExpired:
                    kept.kill()
                    kept.wait()


def _die_with_parent() -> Callable[[], None] | None:
    """What a new process has to do so that the kernel kills it with its parent, where it can."""
    if not sys.platform.startswith("linux"):
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def die_with_parent() -> None:
        libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it was asked for
            os._exit(1)

    return die_with_parent


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def words_of(folder: Path, parts: Sequence[Part]) -> list[str]:
    """The command that keeps these parts in this folder."""
    return [
        sys.executable,
        "-P",
        "-m",
        "peerwatt.hosts.cometbft.keeper",
        str(folder),
        json.dumps(parts),
    ]


def main() -> int:
    """Keep what the command line says; what goes wrong is told on standard output."""
    parts = [Part(*fields) for fields in json.loads(sys.argv[2])]
    why = Keeper(Path(sys.argv[1]), parts, sys.stdin.fileno()).run()
    if why:
        print(why, flush=True)
    return bool(why)


if __name__ == "__main__":
    sys.exit(main())
