"""The store: killed at any statement, torn, damaged, locked, or not ours."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import toy_ledger as toy

from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.state import Committed, Row
from peerwatt.hosts.store import FORMAT, Store, StoreError
from peerwatt.records.codec import encode
from peerwatt.records.members import Account
from peerwatt.records.signing import SigningKey

KEY = SigningKey(bytes(32))
BLOCKS = 2


def open_host(store: Store) -> EmbeddedHost:
    return EmbeddedHost(toy, store, KEY, toy.genesis())


def seal_next(host: EmbeddedHost) -> None:
    """The block that comes at this height in every run: moves, one overdrawn, a sealed round."""
    height = host.height
    host.submit(toy.move(1, height, 2 + height, 5))
    host.submit(toy.move(2, 2 * height, 1, 7))
    host.submit(toy.move(2, 2 * height + 1, 0, 0))
    host.seal(height + 1, extra=[toy.move(1, height + 1, 3, 100_000)])


def whole_state(host: EmbeddedHost) -> list[object]:
    """All that a reader can see of the state."""
    scopes = [toy.key(number) for number in range(20)]
    moves = [host.items("moves", scope) for scope in scopes]
    blocks = [host.block(height) for height in range(1, host.height + 1)]
    sealed = [host.prove_item("orders", toy.round_id(n), b"") for n in range(host.height)]
    return [host.app_hash, host.items("accounts"), host.items("rounds"), moves, blocks, sealed]


@pytest.fixture(scope="module")
def undisturbed() -> list[list[object]]:
    """The whole state at each height of a run that nothing disturbs."""
    host = EmbeddedHost(toy, Store(None), KEY, toy.genesis())
    states = [whole_state(host)]
    for _ in range(BLOCKS):
        seal_next(host)
        states.append(whole_state(host))
    return states


def run_in_child(work: Callable[[], None]) -> int:
    """Run in a forked process, which ends without any cleaning up; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_until_statement(path: Path, fatal: int) -> None:
    """Make a chain; the process ends right before a statement. Never returns normally."""
    store = Store(path)
    seen = 0

    def count(statement: str) -> None:
        nonlocal seen
        seen += 1
        if seen == fatal:
            os._exit(9)

    store._db.set_trace_callback(count)
    host = open_host(store)
    while host.height < BLOCKS:
        seal_next(host)
    os._exit(0)


def test_killed_at_any_statement_it_holds_a_whole_block_and_goes_on(
    tmp_path: Path, undisturbed: list[list[object]]
) -> None:
    heights = []
    for fatal in range(1, 1000):
        path = tmp_path / f"{fatal}.db"
        status = run_in_child(lambda path=path, fatal=fatal: run_until_statement(path, fatal))  # type: ignore[misc]
        with Store(path) as store:
            host = open_host(store)
            heights.append(host.height)
            assert whole_state(host) == undisturbed[host.height]
            if fatal % 5 == 0:
                while host.height < BLOCKS:
                    seal_next(host)
                assert whole_state(host) == undisturbed[BLOCKS]
        path.unlink()
        if status == 0:
            break
        assert status == 9
    assert heights == sorted(heights)
    assert set(heights) == set(range(BLOCKS + 1))
    assert len(heights) > 30


def test_killed_from_outside_at_a_random_time(
    tmp_path: Path, undisturbed: list[list[object]]
) -> None:
    rng = random.Random(3)

    def work(path: Path) -> None:
        host = open_host(Store(path))
        for _ in range(100_000):
            host.submit(toy.move(1, host.height, 2, 0))
            host.seal(1)

    for number in range(8):
        path = tmp_path / f"{number}.db"
        child = os.fork()
        if child == 0:
            work(path)
        time.sleep(0.02 + 0.08 * rng.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with Store(path) as store:
            host = open_host(store)
            known = EmbeddedHost(toy, Store(None), KEY, toy.genesis())
            for height in range(1, host.height + 1):
                known.accept(host.block(height))
            assert known.app_hash == host.app_hash
            assert known.head == host.head


def test_a_commit_stopped_at_any_instruction_changes_nothing(
    tmp_path: Path, undisturbed: list[list[object]]
) -> None:
    """SQLite is interrupted deeper and deeper in a commit; each time the host is as it was."""
    with Store(tmp_path / "chain.db") as store:
        host = open_host(store)
        seal_next(host)
        steps = 0

        def interrupt() -> bool:
            nonlocal steps
            steps -= 1
            return steps == 0

        interrupted = 0
        while host.height == 1 and interrupted < 1000:
            steps = interrupted * 3 + 1
            store._db.set_progress_handler(interrupt, 1)
            with suppress(StoreError):
                seal_next(host)
            store._db.set_progress_handler(None, 1)
            if host.height == 1:
                interrupted += 1
                assert whole_state(host) == undisturbed[1]
                assert host.prove("accounts", toy.key(1)).holds()
        assert interrupted > 40
        assert whole_state(host) == undisturbed[2]


def test_a_torn_log_gives_an_earlier_block(tmp_path: Path, undisturbed: list[list[object]]) -> None:
    """The write-ahead log is cut at, or wrong from, any place, as power failure leaves it."""
    path = tmp_path / "chain.db"
    assert run_in_child(lambda: run_until_statement(path, 10_000)) == 0
    database, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    rng = random.Random(5)
    heights = set()
    for number, at in enumerate([*rng.sample(range(len(log)), 60), len(log)]):
        torn = tmp_path / f"{number}.db"
        torn.write_bytes(database)
        rest = rng.randbytes(len(log) - at) if number % 2 else b""
        Path(f"{torn}-wal").write_bytes(log[:at] + rest)
        with Store(torn) as store:
            host = open_host(store)
            assert whole_state(host) == undisturbed[host.height]
            heights.add(host.height)
    assert heights == set(range(BLOCKS + 1))


def test_a_damaged_file_is_one_clear_error_or_whole(
    tmp_path: Path, undisturbed: list[list[object]]
) -> None:
    path = tmp_path / "chain.db"
    with Store(path) as store:
        host = open_host(store)
        while host.height < BLOCKS:
            seal_next(host)
    whole = path.read_bytes()
    rng = random.Random(7)
    errors = []
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.sample(range(len(whole)), 20):
            damaged[at] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            with Store(path) as store:
                host = open_host(store)
                assert [host.app_hash, host.items("accounts")] == undisturbed[BLOCKS][:2]
        except StoreError as error:
            errors.append(str(error))
    assert len(errors) > 100
    assert all(error.startswith(f"{path}: ") and "\n" not in error for error in errors)


def test_a_state_that_no_block_made_is_found(tmp_path: Path) -> None:
    """Somebody writes money into the file, and the app hash that goes with it."""
    path = tmp_path / "chain.db"
    with Store(path) as store:
        host = open_host(store)
        seal_next(host)
        rows = [row for row in store.state_rows() if row.key != toy.key(8)]
    rich = encode(Account(free_ucoin=10**9))
    forged = [*rows, Row("accounts", b"", toy.key(8), rich)]
    app_hash = Committed(toy.TABLES, forged, []).app_hash
    with sqlite3.connect(path) as db:
        db.execute("UPDATE state SET value = ? WHERE key = ?", (rich, toy.key(8)))
    db.close()
    with Store(path) as store, pytest.raises(StoreError, match="its state has another app hash"):
        open_host(store)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE chain SET app_hash = ?", (app_hash,))
    db.close()
    with Store(path) as store, pytest.raises(StoreError, match="its last block is of another st"):
        open_host(store)


def test_a_second_process_gets_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "chain.db"
    with Store(path) as store:
        open_host(store)
        with pytest.raises(StoreError, match="in use by another process"):
            Store(path)
        code = f"from peerwatt.hosts.store import Store; Store({str(path)!r})"
        second = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert second.stderr.endswith(f"StoreError: {path}: in use by another process\n")
    Store(path).close()


def test_files_that_are_not_ours_are_refused_unchanged(tmp_path: Path) -> None:
    text, other, newer = (tmp_path / name for name in ("notes.txt", "other.db", "newer.db"))
    text.write_bytes(b"these are my notes, keep them " * 40)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (a)")
    db.close()
    Store(newer).close()
    with sqlite3.connect(newer) as db:
        db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    db.close()
    for path, why in (
        (text, "damaged, or not a peerwatt ledger"),
        (other, "not a peerwatt ledger"),
        (newer, "written in format 2, newer than 1"),
        (tmp_path / "no" / "folder.db", "unable to open database file"),
    ):
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(StoreError, match=why):
            Store(path)
        assert (path.read_bytes() if path.exists() else None) == before
