"""The socket server: four connections of an engine, each answered in order, by one thread.

Knows frames and messages, and one function that answers them. What a connection sends that is
no request ends that connection, with one line in the log, and touches nothing else. An error
in the answering is sent to the engine as an exception, and the server stops.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import stat
from collections import deque
from collections.abc import Callable

from peerwatt.hosts.cometbft.messages import (
    REQUEST,
    RESPONSE,
    RequestFlush,
    ResponseException,
    ResponseFlush,
)
from peerwatt.hosts.cometbft.wire import Frames, Message, WireError, frame

Answer = Callable[[Message], Message]

MAX_CONNECTIONS = 16
READ_BYTES = 1 << 18
TURN_BYTES = 1 << 16
"""How much one connection sends back before the next has its turn."""
MAX_UNREAD_BYTES = 1 << 26
"""How much may wait for an engine that does not read before nothing more is answered."""
MAX_SOCKET_PATH_BYTES = 107

logger = logging.getLogger(__name__)


class AddressError(ValueError):
    """An address that cannot be listened on; says why in one line."""


def listen(address: str) -> socket.socket:
    """A listening socket at `unix:///path` or `tcp://host:port`.

    A socket file that nobody listens at any more is replaced; its folder decides who may come in.

    Raises:
        AddressError: it is no such address, or it is taken.
    """
    scheme, _, place = address.partition("://")
    try:
        if scheme == "unix":
            return _listen_unix(place)
        host, _, port = place.rpartition(":")
        if scheme == "tcp" and host and port.isascii() and port.isdigit():
            return socket.create_server((host, int(port)), backlog=MAX_CONNECTIONS)
    except (OSError, OverflowError) as error:
        raise AddressError(f"{address}: {getattr(error, 'strerror', None) or error}") from None
    raise AddressError(f"{address}: must be unix:///path or tcp://host:port")


def _listen_unix(path: str) -> socket.socket:
    size = len(os.fsencode(path))
    if not 0 < size <= MAX_SOCKET_PATH_BYTES:
        raise AddressError(
            f"unix://{path}: a socket's path has 1 to {MAX_SOCKET_PATH_BYTES} bytes, not {size}"
        )
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode) and not _is_answered(path):
            os.unlink(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(path)
        os.chmod(path, 0o600)
        server.listen(MAX_CONNECTIONS)
    except OSError:
        server.close()
        raise
    return server


def _is_answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


class Failed(RuntimeError):  # noqa: N818
    """The application could not answer a request; the node must stop."""


class Session:
    """One connection's requests and responses, in order, without the socket."""

    __slots__ = ("_answer", "_frames", "_waiting", "error")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._frames = Frames()
        self._waiting: deque[bytes] = deque()
        self.error: Exception | None = None

    def receive(self, data: bytes) -> None:
        """Take in bytes; WireError if they are no messages."""
        self._waiting.extend(self._frames.feed(data))

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._waiting) and self.error is None

    @property
    def held(self) -> int:
        """How many bytes of a request have come whose rest has not."""
        return self._frames.held

    def turn(self) -> bytes:
        """Answer what waits, at most a turn's worth; the responses' bytes.

        An error in the answering becomes the last response and is kept in `error`.

        Raises:
            WireError: a message is no request.
        """
        out = bytearray()
        while self._waiting and len(out) < TURN_BYTES and self.error is None:
            out += frame(RESPONSE.encode(self._respond(self._waiting.popleft())))
        return bytes(out)

    def _respond(self, data: bytes) -> Message:
        request = REQUEST.decode(data)
        if isinstance(request, RequestFlush):
            return ResponseFlush()
        try:
            return self._answer(request)
        except Exception as error:
            self.error = error
            what = f"{type(request).__name__.removeprefix('Request')}: {error}"
            return ResponseException(error=what)


class _Connection:
    """A session and its socket."""

    def __init__(self, number: int, peer: socket.socket, answer: Answer) -> None:
        self.number = number
        self.peer = peer
        self.session = Session(answer)
        self.unsent = bytearray()

    def read(self) -> bool:
        """Take in what has come; False at the end of the stream."""
        data = self.peer.recv(READ_BYTES)
        self.session.receive(data)
        return bool(data)

    def work(self) -> None:
        """Answer a turn's worth and send what the engine takes."""
        if len(self.unsent) < MAX_UNREAD_BYTES:
            self.unsent += self.session.turn()
        if self.unsent:
            with contextlib.suppress(BlockingIOError):
                del self.unsent[: self.peer.send(self.unsent)]

    @property
    def is_busy(self) -> bool:
        """Whether there is work that needs nothing to arrive first."""
        return self.session.is_waiting and len(self.unsent) < MAX_UNREAD_BYTES

    @property
    def interest(self) -> int:
        """What to wait for: more requests only once those that came are answered."""
        if not self.unsent:
            return selectors.EVENT_READ
        wanted = 0 if self.session.is_waiting else selectors.EVENT_READ
        return wanted | selectors.EVENT_WRITE


class Server:
    """Serves an application on a listening socket until it is stopped, or fails.

    Connections take turns, so that a flood of transactions cannot hold up consensus.
    """

    def __init__(self, listener: socket.socket, answer: Answer) -> None:
        self._listener = listener
        self._answer = answer
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._connections: dict[int, _Connection] = {}
        self._accepted = 0
        for each in (listener, self._woken):
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ)

    def stop(self) -> None:
        """Make `run` return after the request in hand; from any thread or signal handler."""
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def run(self) -> None:
        """Serve.

        Raises:
            Failed: the application could not answer; the engine has been told.
        """
        try:
            while self._serve():
                pass
        finally:
            self._close()

    def _serve(self) -> bool:
        """Once round: what has arrived, then a turn for each; False to stop."""
        busy = any(each.is_busy for each in self._connections.values())
        for key, events in self._selector.select(0 if busy else None):
            if key.fileobj is self._woken:
                return False
            if key.fileobj is self._listener:
                self._accept()
            elif events & selectors.EVENT_READ:
                self._guarded(key.data, self._read)
        for connection in list(self._connections.values()):
            self._guarded(connection, self._work)
        return True

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:  # gone again, or no room for more files
            return
        self._accepted += 1
        if len(self._connections) == MAX_CONNECTIONS:
            logger.warning("connection %d: refused, there are too many", self._accepted)
            peer.close()
            return
        peer.setblocking(False)
        if peer.family != socket.AF_UNIX:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(self._accepted, peer, self._answer)
        self._connections[self._accepted] = connection
        self._selector.register(peer, selectors.EVENT_READ, connection)

    def _guarded(self, connection: _Connection, step: Callable[[_Connection], None]) -> None:
        """A step of a connection; its errors end that connection."""
        try:
            step(connection)
        except WireError as error:
            self._drop(connection, str(error))
        except OSError as error:
            self._drop(connection, error.strerror or "lost")

    def _read(self, connection: _Connection) -> None:
        if connection.session.is_waiting or connection.read():
            return
        held = connection.session.held
        self._drop(connection, f"ended {held} bytes into a message" if held else "")

    def _work(self, connection: _Connection) -> None:
        connection.work()
        error = connection.session.error
        if error is not None:
            self._tell(connection)
            raise Failed(str(error)) from error
        self._selector.modify(connection.peer, connection.interest, connection)

    def _tell(self, connection: _Connection) -> None:
        """Send the exception, to an engine that may not be reading."""
        connection.peer.settimeout(1)
        with contextlib.suppress(OSError):
            connection.peer.sendall(connection.unsent)

    def _drop(self, connection: _Connection, why: str) -> None:
        if why:
            logger.warning("connection %d: closed, %s", connection.number, why)
        del self._connections[connection.number]
        self._selector.unregister(connection.peer)
        connection.peer.close()

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection, "")
        self._selector.close()
        path = self._listener.getsockname() if self._listener.family == socket.AF_UNIX else ""
        for each in (self._listener, self._wake, self._woken):
            each.close()
        if path:
            with contextlib.suppress(OSError):
                os.unlink(path)
