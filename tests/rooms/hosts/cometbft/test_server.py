"""The server: order, flushes, turns, and connections that send anything but requests."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import toy_ledger as toy
from fake_engine import FakeEngine, Line
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft import server
from peerwatt.hosts.cometbft.app import Application
from peerwatt.hosts.cometbft.messages import REQUEST, RESPONSE
from peerwatt.hosts.cometbft.server import (
    MAX_CONNECTIONS,
    TURN_BYTES,
    AddressError,
    Failed,
    Server,
    Session,
    listen,
)
from peerwatt.hosts.cometbft.snapshots import Shelf
from peerwatt.hosts.cometbft.wire import MAX_FRAME_BYTES, Frames, Message, WireError, frame, varint
from peerwatt.hosts.store import Store


def echo(request: Message) -> Message:
    """An application that can echo, and breaks at a query."""
    if isinstance(request, abci.RequestEcho):
        return abci.ResponseEcho(message=request.message)
    raise ValueError("the disk is full")


def echoes(*words: str) -> bytes:
    return b"".join(frame(REQUEST.encode(abci.RequestEcho(message=word))) for word in words)


FLUSH = frame(REQUEST.encode(abci.RequestFlush()))


class Peer:
    """An engine's end of a connection."""

    def __init__(self, address: str) -> None:
        scheme, _, place = address.partition("://")
        host, _, port = place.rpartition(":")
        self.socket = socket.socket(socket.AF_UNIX if scheme == "unix" else socket.AF_INET)
        self.socket.settimeout(20)
        self.socket.connect(place if scheme == "unix" else (host, int(port)))
        self._frames = Frames()
        self._got: list[Message] = []

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, number: int) -> list[Message]:
        """The next responses."""
        while len(self._got) < number:
            data = self.socket.recv(1 << 16)
            assert data, "closed"
            self._got += map(RESPONSE.decode, self._frames.feed(data))
        read, self._got = self._got[:number], self._got[number:]
        return read

    def is_closed(self) -> bool:
        with suppress(ConnectionError):
            return self.socket.recv(1) == b""
        return True

    def ask(self, *words: str) -> list[str]:
        self.send(echoes(*words))
        return [
            each.message for each in self.read(len(words)) if isinstance(each, abci.ResponseEcho)
        ]


@contextmanager
def serving(address: str, answer: Callable[[Message], Message] = echo) -> Iterator[str]:
    """A server in a thread; its address."""
    listener = listen(address)
    if address.startswith("tcp"):
        address = "tcp://{}:{}".format(*listener.getsockname())
    started = Server(listener, answer)
    failed: list[Exception] = []

    def run() -> None:
        try:
            started.run()
        except Failed as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield address
    finally:
        started.stop()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with serving(f"unix://{tmp_path / 'app.sock'}") as started:
        yield started


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_answers_come_in_order_over_both_kinds_of_sockets(scheme: str, tmp_path: Path) -> None:
    where = f"unix://{tmp_path / 's'}" if scheme == "unix" else "tcp://127.0.0.1:0"
    with serving(where) as started:
        peers = [Peer(started) for _ in range(4)]
        words = [str(number) for number in range(500)]
        for number, peer in enumerate(peers):
            peer.send(echoes(*(f"{number} {word}" for word in words)) + FLUSH)
        for number, peer in reversed(list(enumerate(peers))):
            *answers, last = peer.read(501)
            assert [getattr(each, "message", "") for each in answers] == [
                f"{number} {word}" for word in words
            ]
            assert last == abci.ResponseFlush()


def test_a_flush_is_answered_at_once_and_so_is_what_stands_before_it(address: str) -> None:
    peer = Peer(address)
    peer.send(echoes("a") + FLUSH + echoes("b")[:-1])
    assert peer.read(2) == [abci.ResponseEcho(message="a"), abci.ResponseFlush()]
    peer.send(echoes("b")[-1:])
    assert peer.read(1) == [abci.ResponseEcho(message="b")]


def test_a_flood_on_one_connection_does_not_hold_up_another(address: str) -> None:
    """Each turn answers one connection's share; the flood has far more to come."""
    flood, consensus = Peer(address), Peer(address)
    assert consensus.ask("ready") == ["ready"]
    sending = threading.Thread(target=flood.send, args=(echoes(*["x" * 100] * 30_000),))
    sending.start()
    flood.read(10)
    assert [consensus.ask(str(at)) for at in range(20)] == [[str(at)] for at in range(20)]
    flood.read(30_000 - 10)
    sending.join(20)


def test_a_turn_ends_when_it_has_answered_its_share() -> None:
    session = Session(echo)
    session.receive(echoes(*["z" * (TURN_BYTES // 2)] * 5))
    answers = [session.turn() for _ in range(3)]
    assert [len(list(Frames().feed(each))) for each in answers] == [2, 2, 1]
    assert not session.is_waiting


def test_for_an_engine_that_does_not_read_no_more_is_answered_nor_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_UNREAD_BYTES", 1 << 18)
    answered = []

    def count(request: Message) -> Message:
        answered.append(request)
        return echo(request)

    with serving(f"unix://{tmp_path / 's'}", count) as started:
        deaf = Peer(started)
        deaf.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            deaf.send(echoes(*["x" * 10_000] * 3_000))
        # What is answered: the limit, one turn more, and what the socket's own buffers hold.
        before = len(answered)
        assert 25 < before < 200
        other = Peer(started)
        assert [other.ask(str(at)) for at in range(100)] == [[str(at)] for at in range(100)]
        assert len(answered) == before + 100
        deaf.socket.settimeout(20)
        assert len(deaf.read(before)) == before


def test_an_engine_that_does_not_read_costs_the_others_nothing(tmp_path: Path) -> None:
    with serving(f"unix://{tmp_path / 's'}") as started:
        deaf, other = Peer(started), Peer(started)
        deaf.socket.settimeout(0.2)
        with suppress(TimeoutError):
            deaf.send(echoes(*["x" * 10_000] * 2_000))
        assert other.ask("still there") == ["still there"]


GARBAGE = [
    (
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"Accept: */*\r\n" * 9,
        "request: field 8 is not of its type",
    ),
    (b"\xff" * 20, "a number of more than 64 bits"),
    (varint(MAX_FRAME_BYTES + 1), f"a message of {MAX_FRAME_BYTES + 1} bytes was announced"),
    (frame(b""), "request: is empty"),
    (frame(bytes.fromhex("ba0100")), "request: field 23 is none that is known"),
    (frame(b"\x0a\x05"), "cut off, 5 bytes were announced"),
]


@pytest.mark.parametrize(("garbage", "why"), GARBAGE)
def test_garbage_ends_its_connection_with_one_line_and_nothing_else(
    address: str, caplog: pytest.LogCaptureFixture, garbage: bytes, why: str
) -> None:
    other, bad = Peer(address), Peer(address)
    assert other.ask("before") == ["before"]
    with caplog.at_level(logging.WARNING):
        bad.send(garbage)
        assert bad.is_closed()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("connection 2: closed, ")
    assert why in line
    assert "\n" not in line
    assert other.ask("after") == ["after"]


def test_half_a_message_and_an_end_is_said_an_end_alone_is_not(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for data in (echoes("whole"), echoes("whole", "half")[:-3]):
            peer = Peer(address)
            peer.send(data)
            peer.read(1)
            peer.socket.shutdown(socket.SHUT_WR)
            assert peer.is_closed()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "connection 2: closed, ended 6 bytes into a message"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_break_a_session(pieces: list[bytes]) -> None:
    session = Session(echo)
    with suppress(WireError):
        for piece in pieces:
            session.receive(piece)
            while session.is_waiting:
                session.turn()
    assert session.error is None or str(session.error) == "the disk is full"


def test_garbage_leaves_the_state_untouched(tmp_path: Path) -> None:
    rng = random.Random(4)
    shelf = Shelf(tmp_path / "snapshots", 0)
    engine = FakeEngine(toy.genesis())
    with Store(tmp_path / "chain.db") as store:
        app = Application(toy, store, toy.genesis(), shelf)
        engine.connect(app.answer)
        engine.offer(toy.move(1, 0, 2, 5))
        engine.decide()
        known = app.chain.app_hash, app.chain.items("accounts")
        for _ in range(200):
            line = Line(app.answer)
            with suppress(WireError):
                line.session.receive(rng.randbytes(rng.randrange(1, 200)))
                line.session.turn()
        assert (app.chain.app_hash, app.chain.items("accounts")) == known
        engine.offer(toy.move(1, 1, 2, 5))
        engine.decide()


def test_an_error_is_the_last_answer_and_the_server_stops(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    started = Server(listen(f"unix://{path}"), echo)
    failed: list[BaseException] = []

    def run() -> None:
        with pytest.raises(Failed, match="the disk is full") as error:
            started.run()
        failed.append(error.value)

    thread = threading.Thread(target=run)
    thread.start()
    peer = Peer(f"unix://{path}")
    peer.send(echoes("a") + frame(REQUEST.encode(abci.RequestQuery())) + echoes("b"))
    assert peer.read(2) == [
        abci.ResponseEcho(message="a"),
        abci.ResponseException(error="Query: the disk is full"),
    ]
    assert peer.is_closed()
    thread.join(20)
    assert isinstance(failed[0].__cause__, ValueError)
    assert not path.exists()


def test_there_are_never_too_many_connections(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    peers = [Peer(address) for _ in range(MAX_CONNECTIONS)]
    assert all(peer.ask("hello") == ["hello"] for peer in peers)
    with caplog.at_level(logging.WARNING):
        assert Peer(address).is_closed()
    assert [record.getMessage() for record in caplog.records] == [
        f"connection {MAX_CONNECTIONS + 1}: refused, there are too many"
    ]
    peers[0].socket.close()
    for _ in range(200):
        late = Peer(address)
        with suppress(AssertionError, ConnectionError):
            assert late.ask("hello") == ["hello"]
            break
        time.sleep(0.01)
    else:
        pytest.fail("the place of a closed connection was not given again")


def test_a_large_answer_takes_several_turns(address: str) -> None:
    peer = Peer(address)
    words = ["y" * TURN_BYTES] * 20
    thread = threading.Thread(target=peer.send, args=(echoes(*words),))
    thread.start()
    assert len(peer.read(20)) == 20
    thread.join(20)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("", "must be unix:///path or tcp://host:port"),
        ("26658", "must be unix:///path or tcp://host:port"),
        ("tcp://127.0.0.1", "must be unix:///path or tcp://host:port"),
        ("tcp://127.0.0.1:x", "must be unix:///path or tcp://host:port"),
        ("http://127.0.0.1:80", "must be unix:///path or tcp://host:port"),
        ("tcp://127.0.0.1:65536", "port must be 0-65535"),
        ("unix://", "a socket's path has 1 to 107 bytes, not 0"),
        ("unix:///tmp/" + "x" * 120, "a socket's path has 1 to 107 bytes, not 125"),
        ("unix:///nowhere/at/all", "No such file or directory"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, why: str) -> None:
    with pytest.raises(AddressError) as refused:
        listen(address)
    assert str(refused.value).startswith(address)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_taken_address_is_refused_and_a_dead_one_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with serving(f"unix://{path}"), pytest.raises(AddressError, match="in use"):
        listen(f"unix://{path}")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    with serving(f"unix://{path}") as started:
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert Peer(started).ask("alive") == ["alive"]
    assert not path.exists()
    path.write_text("somebody's file")
    with pytest.raises(AddressError, match="in use"):
        listen(f"unix://{path}")
    assert path.read_text() == "somebody's file"
    listener = listen("tcp://127.0.0.1:0")
    with listener, pytest.raises(AddressError, match="in use"):
        listen("tcp://{}:{}".format(*listener.getsockname()))
