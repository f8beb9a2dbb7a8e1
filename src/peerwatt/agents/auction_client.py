"""Drivers' agents of one process, at an auction over a line.

Knows each driver's car, plan, key and preference, and what the auctioneer says. `Agents` is the
protocol without sockets; `take_part` carries its words. Of the ledger it sees what the auctioneer
hands on, and believes of that what headers with the operator's signature prove.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from peerwatt.agents.bidder import Bidder, TalkError
from peerwatt.agents.ports import BuyIntent, Intent, SellIntent
from peerwatt.agents.preferences import preference_of
from peerwatt.agents.roles import Role, choose_role
from peerwatt.records.auction import SignedBid, SignedInvitation
from peerwatt.records.bundles import ReceiptBundle, is_sound, verify_bundle
from peerwatt.records.codec import Record, decode
from peerwatt.records.market import Award
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
from peerwatt.records.transactions import (
    ConfirmPresence,
    PlaceBuyOrder,
    PlaceSellOrder,
    parse,
    sign_message,
)
from peerwatt.units import (
    UCOIN_PER_COIN,
    ChainId,
    Key,
    Name,
    PriceUcoinPerKwh,
    TimeS,
    cost_ceil_ucoin,
)

READ_BYTES = 1 << 16
FIRST_NONCE = 1
"""Of a wallet that has been opened and has said nothing since."""


class HubFacts(Record):
    """What everybody knows of a round before it: the chain, the round and its prices."""

    chain_id: ChainId
    operator: Key
    round_id: bytes
    slot_start_s: TimeS
    lost_load_ucoin_per_kwh: PriceUcoinPerKwh


class Driver(Record):
    """One driver's own file; none of it but the port and the key's public half is ever sent."""

    name: Name
    port: Name
    seed: Key
    charge_wh: int
    capacity_wh: int
    trip_wh: int
    reserve_wh: int
    most_wh: int
    """What the plug gives or takes in the slot."""
    value_high_ucoin_per_kwh: int
    value_low_ucoin_per_kwh: int
    cost_ucoin_per_kwh: int
    cost_slope_ucoin_per_kwh2: int
    leaves_after: int | None = None
    """The iteration from which on it says nothing any more."""


@dataclass(slots=True)
class Agent:
    """One driver's agent, and what became of its order."""

    driver: Driver
    facts: HubFacts
    key: SigningKey = field(init=False)
    bidder: Bidder | None = None
    nonce: int = FIRST_NONCE
    award: Award | None = None
    problem: str = ""

    def __post_init__(self) -> None:
        self.key = SigningKey(self.driver.seed)

    def order(self, demand_wh: int | None) -> bytes | None:
        """Its signed order, once it has a part to take: a buyer's before the demand is known."""
        intent = self._intent(demand_wh)
        if self.bidder is not None or intent is None:
            return None
        if isinstance(intent, BuyIntent):
            limit = intent.price_high_ucoin_per_kwh
            held_ucoin = cost_ceil_ucoin(intent.max_wh, limit)
            signed = self._sign(
                PlaceBuyOrder,
                port=self.driver.port,
                min_wh=intent.min_wh,
                max_wh=intent.max_wh,
                price_high_ucoin_per_kwh=limit,
                price_low_ucoin_per_kwh=limit,
            )
        else:
            held_ucoin = 0
            signed = self._sign(
                PlaceSellOrder,
                port=self.driver.port,
                max_wh=intent.max_wh,
                ask_ucoin_per_kwh=intent.ask_ucoin_per_kwh,
                slope_ucoin_per_kwh2=0,
            )
        self.bidder = Bidder(
            preference_of(intent, self.facts.lost_load_ucoin_per_kwh),
            held_usd=held_ucoin / UCOIN_PER_COIN,
            order_id=parse(signed)[0].message_id,
            round_id=self.facts.round_id,
            key=self.key,
            auctioneer=self.facts.operator,
            chain_id=self.facts.chain_id,
        )
        return signed

    def confirm(self) -> bytes:
        """Its signed answer to being called absent."""
        assert self.bidder is not None
        return self._sign(ConfirmPresence, order_id=self.bidder.order_id)

    def ended(self, receipt: ReceiptBundle) -> None:
        """Check what proves its award, or that it has none."""
        assert self.bidder is not None
        entry = receipt.entry
        about = (entry.tree, entry.scope, entry.key)
        if about != ("awards", self.facts.round_id, self.bidder.order_id):
            self.problem = "receipt: is of something else"
        elif not is_sound(verify_bundle(receipt, proposer=self.facts.operator)):
            self.problem = "receipt: does not prove what it says"
        elif entry.item is not None:
            self.award = decode(entry.item, Award)

    def _intent(self, demand_wh: int | None) -> Intent | None:
        car = self.driver
        part = choose_role(
            charge_wh=car.charge_wh,
            capacity_wh=car.capacity_wh,
            trip_wh=car.trip_wh,
            reserve_wh=car.reserve_wh,
            demand_wh=demand_wh,
        )
        energy_wh = min(part.energy_wh, car.most_wh)
        if part.role is Role.BUYER:
            return BuyIntent(
                min_wh=0,
                max_wh=energy_wh,
                price_high_ucoin_per_kwh=car.value_high_ucoin_per_kwh,
                price_low_ucoin_per_kwh=car.value_low_ucoin_per_kwh,
            )
        if part.role is Role.SELLER:
            return SellIntent(
                max_wh=energy_wh,
                ask_ucoin_per_kwh=car.cost_ucoin_per_kwh,
                slope_ucoin_per_kwh2=car.cost_slope_ucoin_per_kwh2,
            )
        return None

    def _sign(self, kind: type[Any], **fields: Any) -> bytes:
        message = kind(
            chain_id=self.facts.chain_id,
            signer=self.key.public,
            nonce=self.nonce,
            valid_until_s=self.facts.slot_start_s,
            round_id=self.facts.round_id,
            **fields,
        )
        self.nonce += 1
        return sign_message(message, self.key)


class Agents:
    """All agents of one line; words come in and words go out."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        self.all = list(agents)
        self._by_order: dict[bytes, Agent] = {}
        self.refused: list[str] = []

    def start(self) -> list[Word]:
        """Those who need energy say so first."""
        return [self._orders(None)]

    def hear(self, word: Word) -> list[Word]:
        """What they answer."""
        match word:
            case Demand(energy_wh=demand_wh):
                return [self._orders(demand_wh)]
            case Invite(signed=signed):
                return self._invited(signed)
            case Allocate(signed=signed):
                agent = self._by_order.get(signed.allocation.order_id)
                if agent is None or agent.bidder is None:
                    return self._refuse("order_id: is nobody's here")
                try:
                    return self._answer(agent, agent.bidder.allocated(signed))
                except TalkError as error:
                    return self._refuse(str(error))
            case End(receipt=receipt):
                found = self._by_order.get(receipt.entry.key)
                if found is not None:
                    found.ended(receipt)
                return []
            case Brought(receipts=receipts):
                self.refused += [each.field for each in receipts if not each.ok]
                return []
            case Refuse(why=why):
                self.refused.append(why)
                return []
            case _:
                return self._refuse("word: is not for agents")

    def _orders(self, demand_wh: int | None) -> Bring:
        placed = []
        for agent in self.all:
            signed = agent.order(demand_wh)
            if signed is not None and agent.bidder is not None:
                placed.append(signed)
                self._by_order[agent.bidder.order_id] = agent
        return Bring(transactions=tuple(placed))

    def _invited(self, signed: SignedInvitation) -> list[Word]:
        """First bids of a run; whoever is left out of it, and is there, says so to the ledger."""
        words: list[Word] = []
        for agent in self._by_order.values():
            if agent.bidder is None:
                continue
            was_in = agent.bidder.takes_part
            try:
                bid = agent.bidder.invited(signed)
            except TalkError as error:
                return self._refuse(str(error))
            if bid is not None:
                words += self._answer(agent, bid)
            elif was_in and agent.driver.leaves_after is None:
                words.append(Bring(transactions=(agent.confirm(),)))
        return words

    def _answer(self, agent: Agent, bid: SignedBid) -> list[Word]:
        """A bid, but of who has left."""
        leaves = agent.driver.leaves_after
        return [] if leaves is not None and bid.bid.iteration >= leaves else [Answer(signed=bid)]

    def _refuse(self, why: str) -> list[Word]:
        self.refused.append(why)
        return []


async def take_part(
    agents: Agents, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """From first orders until the auctioneer hangs up.

    Raises:
        CodecError: what came is no word.
    """
    unpacker = Unpacker()
    _send(writer, agents.start())
    while data := await reader.read(READ_BYTES):
        for word in unpacker.feed(data):
            _send(writer, agents.hear(word))
        await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _send(writer: asyncio.StreamWriter, words: Sequence[Word]) -> None:
    for word in words:
        writer.write(pack(word))
