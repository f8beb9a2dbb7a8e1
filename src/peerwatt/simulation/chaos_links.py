"""Links between nodes that this process can hold, slow down and break: a TCP proxy for each.

Knows sockets and ports, nothing of what passes. Needs no rights and works wherever TCP does. A held
link keeps what is under way and delivers it later; a broken one resets its connections.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 1 << 16


@dataclass(slots=True)
class Link:
    """One direction of dialling: who dials, whom, and how the link is."""

    source: str
    target: str
    port: int
    delay_s: float = 0.0
    reset_chance: float = 0.0
    passes: asyncio.Event = field(default_factory=asyncio.Event)


class Links:
    """The links of one network, run by a thread of their own until `close`."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        self._links: list[Link] = []
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def add(self, source: str, target: str, port: int) -> int:
        """A link to a port of this machine; the port at which the source has to dial it."""
        return self._run(self._add(Link(source, target, port)))

    def hold(self, *groups: Iterable[str]) -> None:
        """Let nothing pass between these groups."""
        group_of = {name: at for at, group in enumerate(groups) for name in group}
        self._run(self._hold(group_of))

    def spoil(self, name: str, delay_s: float, reset_chance: float) -> None:
        """Each piece of data to or from a node waits up to so long, or breaks its connection."""
        for link in self._links:
            if name in (link.source, link.target):
                link.delay_s, link.reset_chance = delay_s, reset_chance

    def heal(self) -> None:
        """All links are whole again."""
        for link in self._links:
            link.delay_s = link.reset_chance = 0.0
        self._run(self._hold({}))

    def close(self) -> None:
        """Break all links and end the thread."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, what: Coroutine[None, None, int]) -> int:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _add(self, link: Link) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.CancelledError):
                await self._serve(link, reader, writer)

        server = await asyncio.start_server(serve, LOOPBACK, 0)
        link.passes.set()
        self._links.append(link)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _hold(self, group_of: dict[str, int]) -> int:
        for link in self._links:
            apart = group_of.get(link.source) != group_of.get(link.target)
            (link.passes.clear if apart else link.passes.set)()
        return 0

    async def _close(self) -> int:
        for server in self._servers:
            server.close()
        tasks = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return 0

    async def _serve(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await link.passes.wait()
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, link.port)
        except BaseException:
            writer.transport.abort()
            raise
        ways = [
            asyncio.ensure_future(self._pass(link, reader, far_writer)),
            asyncio.ensure_future(self._pass(link, far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.transport.abort()
            far_writer.transport.abort()

    async def _pass(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await link.passes.wait()
            if link.delay_s:
                await asyncio.sleep(link.delay_s * self._chance.random())
            if link.reset_chance and self._chance.random() < link.reset_chance:
                return
            writer.write(data)
            await writer.drain()
