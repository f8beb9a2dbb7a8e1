"""An auction over lines: agents' processes connect, bring orders, bid, and hear how it ended.

Knows asyncio's streams, the auctioneer and, by a port, the ledger. Every line's bytes are bounded;
what is no word ends its line and nothing else. A bid is its own pass: allocations of an order go to
the line that last brought a bid of it that its owner had signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from peerwatt.hosts.host import View
from peerwatt.market_operator.auction import Absence, BidError, Conclusion, Rules
from peerwatt.market_operator.auction import Word as Said
from peerwatt.market_operator.auctioneer import Auctioneer
from peerwatt.records.auction import SignedInvitation
from peerwatt.records.codec import CodecError
from peerwatt.records.market import NO_HASH, BuyOrder, Round
from peerwatt.records.receipts import Receipt
from peerwatt.records.signing import SigningKey
from peerwatt.records.talk import (
    Allocate,
    Answer,
    Bring,
    Brought,
    Demand,
    End,
    Invite,
    Refuse,
    Unpacker,
    Word,
    pack,
)
from peerwatt.records.transactions import ProposeAuction, ReportAbsence

MAX_LINES = 256
MAX_WAITING = 10_000
"""Words of all lines that wait to be heard."""
MAX_UNREAD_BYTES = 1 << 22
"""Of a line that does not read what it is told."""
READ_BYTES = 1 << 16
MS_PER_S = 1_000


class Desk(Protocol):
    """The ledger, as whoever runs an auction uses it."""

    @property
    def view(self) -> View:
        """The chain."""

    def submit(self, transaction: bytes) -> Receipt:
        """Offer somebody's transaction."""

    def say(self, kind: type[Any], **fields: Any) -> Receipt:
        """Send a message of the site's operator."""

    def seal(self, time_s: int | None = None) -> None:
        """Market time moves on to this, if it is not there yet, and all that was submitted stands
        in blocks."""


class Line:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def send(self, word: Word) -> None:
        """Say something; a line that does not listen is dropped."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            transport.abort()
            return
        self._writer.write(pack(word))

    async def close(self) -> None:
        """What was said is sent first."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class AuctionServer:
    """Runs one round from its orders to its awards.

    Args:
        desk: the ledger.
        round_id: the round, open.
        key: the site operator's.
        expect: how many lines to wait for.
        wait_s: how long to wait for them, each time.
        rules: the auctioneer's.
        heard: is told of every word, and whether it came in.
    """

    def __init__(
        self,
        desk: Desk,
        round_id: bytes,
        key: SigningKey,
        *,
        expect: int,
        wait_s: float,
        rules: Rules,
        heard: Callable[[Word, bool], None] = lambda word, came_in: None,
    ) -> None:
        self._desk, self._round_id, self._key = desk, round_id, key
        self._expect, self._wait_s, self._rules = expect, wait_s, rules
        self._heard = heard
        self._lines: list[Line] = []
        self._words: asyncio.Queue[tuple[Line, Word]] = asyncio.Queue(MAX_WAITING)
        self._routes: dict[bytes, Line] = {}
        self._began_ms = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hear one line until it ends; for `asyncio.start_server`."""
        line = Line(writer)
        if len(self._lines) >= MAX_LINES:
            line.send(Refuse(order_id=NO_HASH, why="line: there are too many"))
            await line.close()
            return
        self._lines.append(line)
        unpacker = Unpacker()
        try:
            while data := await reader.read(READ_BYTES):
                for word in unpacker.feed(data):
                    await self._words.put((line, word))
        except CodecError as error:
            line.send(Refuse(order_id=NO_HASH, why=str(error)[:200]))
        except (OSError, asyncio.CancelledError):
            pass  # it is gone, or everything ends
        finally:
            self._lines.remove(line)
            await line.close()

    async def run(self) -> Auctioneer:
        """The round, from its buyers' orders to everybody's receipt."""
        await self._collect()
        orders = [order for _, order in self._desk.view.items("orders", self._round_id)]
        demand_wh = sum(order.max_wh for order in orders if isinstance(order, BuyOrder))
        self._broadcast(Demand(round_id=self._round_id, energy_wh=demand_wh))
        await self._collect()
        market_round: Round = self._desk.view.get("rounds", self._round_id)
        self._desk.seal(market_round.gate_s)
        auctioneer = await self._auction(self._desk.view.get("rounds", self._round_id))
        if auctioneer.conclusion is not None:
            self._propose(market_round, auctioneer.conclusion)
        self._desk.seal(market_round.clear_by_s)
        # One more block, whose header proves the awards.
        self._desk.seal(market_round.clear_by_s)
        for order_id, line in self._routes.items():
            self._say(
                line, End(receipt=self._desk.view.receipt("awards", self._round_id, order_id))
            )
        for line in list(self._lines):
            await line.close()
        return auctioneer

    async def _collect(self) -> None:
        """Bring in orders until every line that is expected has said that these were all."""
        done: list[Line] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_s):
                while len(done) < self._expect:
                    line, word = await self._words.get()
                    self._heard(word, True)
                    if isinstance(word, Bring):
                        self._bring(line, word)
                        done += [line] if line not in done else []
                    else:
                        self._say(line, Refuse(order_id=NO_HASH, why="word: is not for now"))
        self._desk.seal()

    def _bring(self, line: Line, word: Bring) -> bool:
        """Whether admission let any of it in."""
        receipts = tuple(self._desk.submit(each) for each in word.transactions)
        self._say(line, Brought(receipts=receipts))
        return any(each.ok for each in receipts)

    async def _auction(self, market_round: Round) -> Auctioneer:
        end_ms = (market_round.clear_by_s - market_round.gate_s) * MS_PER_S
        auctioneer = Auctioneer(
            self._round_id,
            market_round,
            [order for _, order in self._desk.view.items("orders", self._round_id)],
            key=self._key,
            chain_id=self._desk.view.chain_id,
            report_by_ms=end_ms // 2 - MS_PER_S,
            end_by_ms=end_ms,
            rules=self._rules,
        )
        self._began_ms = _now_ms()
        self._send(auctioneer.start(0))
        while not auctioneer.over:
            left_ms = max(auctioneer.deadline_ms - self._passed_ms(), 0)
            try:
                async with asyncio.timeout(left_ms / MS_PER_S):
                    line, word = await self._words.get()
            except TimeoutError:
                self._send(auctioneer.wait(self._passed_ms()))
            else:
                self._heard(word, True)
                self._send(self._hear(auctioneer, line, word))
        return auctioneer

    def _hear(self, auctioneer: Auctioneer, line: Line, word: Word) -> Sequence[Said]:
        match word:
            case Answer(signed=signed):
                try:
                    words = auctioneer.hear(signed, self._passed_ms())
                except BidError as error:
                    self._say(line, Refuse(order_id=signed.bid.order_id, why=str(error)))
                    return ()
                self._routes[signed.bid.order_id] = line
                return words
            case Bring():
                if not self._bring(line, word):
                    return ()
                self._seal_now()
                known = self._desk.view.items("absences", self._round_id)
                back = [key for key, each in known if each.answered and key in auctioneer.absent]
                return auctioneer.readmit(back, self._passed_ms()) if back else ()
            case _:
                self._say(line, Refuse(order_id=NO_HASH, why="word: is not for an auctioneer"))
                return ()

    def _send(self, words: Sequence[Said]) -> None:
        for word in words:
            if isinstance(word, SignedInvitation):
                self._broadcast(Invite(signed=word))
            elif isinstance(word, Absence):
                self._seal_now()
                self._desk.say(ReportAbsence, round_id=self._round_id, order_ids=word.order_ids)
                self._seal_now()
            elif word.allocation.order_id in self._routes:
                self._say(self._routes[word.allocation.order_id], Allocate(signed=word))

    def _propose(self, market_round: Round, found: Conclusion) -> None:
        if found.absent:
            # Whoever is called absent may answer until three quarters of the time are over.
            span_s = market_round.clear_by_s - market_round.gate_s
            self._desk.seal(market_round.gate_s + -(-3 * span_s // 4))
        self._desk.say(ProposeAuction, **found.proposal())

    def _seal_now(self) -> None:
        market_round: Round = self._desk.view.get("rounds", self._round_id)
        self._desk.seal(market_round.gate_s + self._passed_ms() // MS_PER_S)

    def _passed_ms(self) -> int:
        return _now_ms() - self._began_ms

    def _broadcast(self, word: Word) -> None:
        self._heard(word, False)
        for line in self._lines:
            line.send(word)

    def _say(self, line: Line, word: Word) -> None:
        self._heard(word, False)
        line.send(word)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
