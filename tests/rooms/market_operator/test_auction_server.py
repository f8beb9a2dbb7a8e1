"""The server's bounds, on a socket of this process: too many lines, strange words, who does not
read, and who says that it is there after all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from peerwatt.agents.auction_client import Agent, Agents, take_part
from peerwatt.market_operator import auction_server
from peerwatt.market_operator.auction import Rules
from peerwatt.market_operator.auction_server import AuctionServer, Line
from peerwatt.market_operator.auctioneer import Auctioneer
from peerwatt.records.market import NO_HASH
from peerwatt.records.talk import Bring, Demand, Refuse, Unpacker, Word, pack
from peerwatt.simulation.auction_hub import HubDesk, create_hub, read_drivers, read_hub


class Hub:
    """A hub of two buyers and two sellers, and its server at a socket."""

    def __init__(self, tmp_path: Path, *, leave: float = 0.0, answer_ms: int = 2_000) -> None:
        self.folder, self.where = tmp_path / "hub", str(tmp_path / "line")
        create_hub(self.folder, buyers=2, sellers=2, leave=leave, leave_after=0, seed=1)
        self.facts = read_hub(self.folder).facts
        self.desk = HubDesk(read_hub(self.folder))
        self.server = AuctionServer(
            self.desk,
            self.facts.round_id,
            self.desk.operator,
            expect=1,
            wait_s=20,
            rules=Rules(answer_ms=answer_ms),
        )
        self.agents = Agents([Agent(each, self.facts) for each in read_drivers(self.folder, 1, 1)])

    async def join(self) -> None:
        await take_part(self.agents, *await asyncio.open_unix_connection(self.where))

    def run(self, *others: Callable[[], Awaitable[Any]]) -> Auctioneer:
        """The auction, while others do what they do."""

        async def work() -> Auctioneer:
            async with await asyncio.start_unix_server(self.server.connected, self.where):
                started = [asyncio.ensure_future(other()) for other in others]
                ended = await self.server.run()
                await asyncio.gather(*started)
                return ended

        return asyncio.run(asyncio.wait_for(work(), 60))


async def words_of(reader: asyncio.StreamReader) -> list[Word]:
    """All that a line is told."""
    return list(Unpacker().feed(await reader.read(-1)))


def test_an_auction_over_a_line_gives_awards_that_are_proved(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    ended = hub.run(hub.join)
    assert ended.failure == ""
    awards = [agent.award for agent in hub.agents.all]
    assert sum(award is not None for award in awards) >= 2
    assert [agent.problem for agent in hub.agents.all] == [""] * 4
    assert hub.agents.refused == []


def test_a_line_too_many_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auction_server, "MAX_LINES", 1)
    hub = Hub(tmp_path)

    async def second() -> None:
        while not hub.server._lines:
            await asyncio.sleep(0.01)
        reader, _ = await asyncio.open_unix_connection(hub.where)
        assert await words_of(reader) == [Refuse(order_id=NO_HASH, why="line: there are too many")]

    assert hub.run(hub.join, second).failure == ""


def test_a_word_that_is_not_for_an_auctioneer_is_refused(tmp_path: Path) -> None:
    """Each by its own line, and nothing else happens."""
    hub = Hub(tmp_path)
    heard: list[Word] = []

    async def stranger() -> None:
        reader, writer = await asyncio.open_unix_connection(hub.where)
        writer.write(pack(Demand(round_id=hub.facts.round_id, energy_wh=1)) * 3)
        joined = asyncio.ensure_future(hub.join())
        heard.extend(await words_of(reader))
        await joined

    assert hub.run(stranger).failure == ""
    refused = [word.why for word in heard if isinstance(word, Refuse)]
    assert len(refused) == 3
    assert {*refused} <= {"word: is not for now", "word: is not for an auctioneer"}
    assert hub.agents.refused == []


def test_who_does_not_read_is_dropped() -> None:
    """Its unread words would fill the operator's memory."""

    class Transport:
        aborted = False

        def is_closing(self) -> bool:
            return self.aborted

        def get_write_buffer_size(self) -> int:
            return auction_server.MAX_UNREAD_BYTES + 1

        def abort(self) -> None:
            self.aborted = True

    class Writer:
        transport = Transport()
        written = b""

        def write(self, data: bytes) -> None:
            self.written += data

    writer: Any = Writer()
    line = Line(writer)
    line.send(Bring(transactions=()))
    line.send(Bring(transactions=()))
    assert writer.transport.aborted
    assert writer.written == b""


def test_who_was_slow_and_not_gone_is_taken_in_again(tmp_path: Path) -> None:
    """It is reported, sees an invitation without it, answers on the ledger, and gets its award."""
    hub = Hub(tmp_path, answer_ms=400)
    slow = hub.agents.all[0]
    held_back: list[Word] = []
    answer = hub.agents._answer

    def slowly(agent: Agent, bid: Any) -> list[Word]:
        words = answer(agent, bid)
        if agent is slow and not held_back:
            held_back.extend(words)
            return []
        return words

    hub.agents._answer = slowly  # type: ignore[method-assign]
    ended = hub.run(hub.join)
    assert ended.failure == ""
    assert ended.conclusion is not None
    assert ended.conclusion.absent == ()
    assert ended.conclusion.invitation.run == 3
    known = dict(hub.desk.view.items("orders", hub.facts.round_id))
    assert known == {}
    assert slow.bidder is not None
    assert slow.bidder.order_id in ended.conclusion.invitation.buyers
