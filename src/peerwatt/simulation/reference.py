"""A second ledger, written from what the first one promises: slow, plain, and its judge.

Knows the messages and the records. It says which messages have to be accepted, and what every row
of the state then is; the contracts and the host have to agree, row by row and hash by hash.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from peerwatt.contracts.state import Chain, Due, OrderAt
from peerwatt.records import transactions as tx
from peerwatt.records.codec import decode, encode
from peerwatt.records.market import Mechanism, Round, RoundStatus
from peerwatt.records.members import Account, Genesis
from peerwatt.records.receipts import Event, Reason
from peerwatt.simulation import reference_effects as effects
from peerwatt.simulation.failures import CheckFailed
from peerwatt.simulation.reference_absences import charge
from peerwatt.simulation.reference_among_cars import clear_among_cars, first_of_two
from peerwatt.simulation.reference_auctions import cleared_auction
from peerwatt.simulation.reference_market import Cleared, clear
from peerwatt.simulation.reference_orders import AMONG_CARS, window_end_s
from peerwatt.simulation.reference_pairs import Pairs, cleared_pairs, prove
from peerwatt.simulation.reference_payouts import settle_round
from peerwatt.simulation.reference_proposals import PRICED, fine, fine_ucoin
from peerwatt.simulation.reference_rewards import pay
from peerwatt.simulation.reference_rows import POT, Rows, entries_root, move
from peerwatt.simulation.reference_rules import (
    Letter,
    opened,
    to_envelope,
    to_message,
    to_validity,
)
from peerwatt.simulation.reference_sealed import forfeit

ENDED = (RoundStatus.ENDED, RoundStatus.VOID)


class Reference:
    """The state after a block; `rows` are its records, `height` the block's."""

    def __init__(self, genesis: bytes) -> None:
        document = decode(genesis, Genesis)
        self.rows, self.height = Rows(), 0
        shared = {name: getattr(document, name) for name in SHARED}
        chain = Chain(
            **shared,
            market_time_s=document.start_s,
            next_rules_version=document.rules_version,
            next_rules_height=0,
            mint_epoch=0,
            minted_in_epoch_ucoin=0,
            issued_ucoin=0,
            withdrawn_ucoin=0,
        )
        self.rows.put("chain", b"chain", chain)
        for member in document.members:
            self.rows.put("members", member.key, member)
        clock = [document.tick_key] if document.tick_key else []
        for key in (POT, *clock, *self.rows.shelf("members")):
            self.rows.put("accounts", key, Account())

    def copy(self) -> Reference:
        """The same state, to go on from apart from this one."""
        other = object.__new__(Reference)
        other.rows, other.height = self.rows.copy(), self.height
        return other

    @property
    def now_s(self) -> int:
        """The market time."""
        now_s: int = self.rows.get("chain", b"chain").market_time_s
        return now_s

    def begin(self, transactions: Sequence[bytes], block_time_s: int = 0) -> None:
        """A new block: its time moves the clock, or on a chain of ticks a good one does that it
        starts with."""
        self.height += 1
        chain: Chain = self.rows.get("chain", b"chain")
        now_s = chain.market_time_s
        letter = opened(transactions[0]) if transactions else Reason.OK
        if not chain.tick_key:
            now_s = max(now_s, block_time_s)
        elif isinstance(letter, Letter) and isinstance(letter.message, tx.Tick):
            by_clock = letter.message.signer == chain.tick_key
            wrong = [*to_envelope(self.rows, letter), *to_validity(letter, letter.message.time_s)]
            if by_clock and not wrong:
                now_s = max(now_s, letter.message.time_s)
        if self.height >= chain.next_rules_height:
            chain = replace(chain, rules_version=chain.next_rules_version)
        self.rows.put("chain", b"chain", replace(chain, market_time_s=now_s))

    def take(self, data: bytes, given: Reason, *, waiting: bool = False) -> list[Reason]:
        """Take one transaction; all that there is against it, nothing if it is accepted.

        Args:
            given: the ledger's own answer; of several objections it tells which one is fined.
            waiting: it waits for a block: what is refused uses up no nonce, but what a block would
                fine is let in.
        """
        letter = opened(data)
        if not isinstance(letter, Letter):
            return [letter]
        rows, message = self.rows, letter.message
        account: Account | None = rows.get("accounts", message.signer)
        against = list(to_envelope(rows, letter))
        if against:
            return against
        first = account or Account()
        rows.put("accounts", message.signer, replace(first, nonce=first.nonce + 1))
        against = [
            *to_validity(letter, self.now_s),
            *to_message(rows, letter, self.now_s, self.height),
        ]
        if not against:
            effects.carry_out(rows, letter, self.now_s)
        elif account is None:
            rows.drop("accounts", message.signer)
        elif waiting:
            costly = [each for each in against if fine_ucoin(rows, message, each)]
            if len(costly) == len(against) or (costly and given == Reason.OK):
                fine(rows, message, costly[0])
                return []
            rows.put("accounts", message.signer, account)
            return [each for each in against if each not in costly]
        elif given in against:
            fine(rows, message, given)
        return against

    def end(self, proposer: bytes, accepted: bool) -> tuple[Event, ...]:
        """The rest of a block: rewards are paid, then rounds move on, the one that is due first
        first."""
        events = list(pay(self.rows, proposer, accepted))
        work = self.rows.get("chain", b"chain").max_work
        while work > 0:
            due = min(self.rows.shelf("agenda"), default=b"")
            if not due or int.from_bytes(due[:8], "big") > self.now_s:
                break
            round_id = due[8:]
            self.rows.drop("agenda", due)
            market_round = self.rows.get("rounds", round_id)
            work -= 1 + market_round.order_count
            events += charge(self.rows, round_id, market_round)
            market_round, withheld = forfeit(self.rows, round_id, market_round)
            events += withheld
            moved = self._moved(round_id, market_round)
            self.rows.put("rounds", round_id, moved)
            events.append(Event(kind=moved.status.name.lower(), key=round_id))
            if moved.status not in ENDED:
                due_s = self._due_s(moved)
                self.rows.put("agenda", due_s.to_bytes(8, "big") + round_id, Due(round_id=round_id))
        return tuple(events)

    def _moved(self, round_id: bytes, market_round: Round) -> Round:
        rows = self.rows
        if market_round.status == RoundStatus.OPEN:
            return self._closed(round_id, market_round)
        if market_round.status in (RoundStatus.CLOSED, RoundStatus.PROPOSED):
            return self._cleared(round_id, market_round)
        if market_round.status == RoundStatus.CLEARED:
            return replace(market_round, status=RoundStatus.DELIVERED)
        if market_round.status == RoundStatus.DELIVERED:
            return settle_round(rows, round_id, market_round)
        rows.clear("settlements", round_id)
        rows.clear("trades", round_id)
        return replace(market_round, status=RoundStatus.ENDED)

    def _due_s(self, market_round: Round) -> int:
        if market_round.status in (RoundStatus.CLOSED, RoundStatus.PROPOSED):
            return market_round.clear_by_s
        if market_round.status == RoundStatus.CLEARED:
            return market_round.slot_end_s
        if market_round.status == RoundStatus.SETTLED:
            return window_end_s(self.rows, market_round)
        return market_round.settle_by_s if market_round.awaited_readings else self.now_s

    def _closed(self, round_id: bytes, market_round: Round) -> Round:
        orders = self.rows.shelf("orders", round_id)
        root = entries_root([(key, encode(order)) for key, order in orders.items()])
        market_round = replace(market_round, orders_root=root, status=RoundStatus.CLOSED)
        if not orders:
            void = int(Reason.NO_ORDERS)
            return replace(market_round, status=RoundStatus.VOID, void_reason=void)
        if market_round.mechanism.proposed:
            return market_round
        if market_round.mechanism == Mechanism.V2V:
            first = first_of_two(market_round, [orders[key] for key in sorted(orders)])
            if first is not None:
                return replace(market_round, first=first)
        return self._cleared(round_id, market_round)

    def _cleared(self, round_id: bytes, market_round: Round) -> Round:
        rows, orders = self.rows, sorted(self.rows.shelf("orders", round_id).items())
        site = rows.get("sites", market_round.site.encode())
        free = rows.get("accounts", site.supplier).free_ucoin
        cleared = self._proved(round_id, market_round, free)
        if market_round.mechanism in AMONG_CARS:
            rows.clear("revisions", round_id)
        if cleared is None:
            cleared = clear(market_round, [order for _, order in orders], free)
        elif market_round.proposed is not None and market_round.mechanism in PRICED:
            listed = rows.get("prices", market_round.proposed.proposer, round_id).prices
            data = [(key, p.to_bytes(8, "big")) for (key, _), p in zip(orders, listed, strict=True)]
            market_round = replace(market_round, prices_root=entries_root(data))
        rows.clear("prices", round_id)
        rows.clear("auctions", round_id)
        move(rows, site.supplier, -cleared.clearing.supplier_held_ucoin, held=True)
        for _, order in orders:
            move(rows, order.owner, order.held_ucoin, held=True)
        rows.clear("orders", round_id)
        rows.clear("port_orders", round_id)
        for award in cleared.awards:
            move(rows, award.owner, -award.held_ucoin, held=True)
            rows.put("awards", award.order_id, award, round_id)
            at = OrderAt(order_id=award.order_id)
            rows.put("port_orders", award.port.encode(), at, round_id)
        return replace(
            market_round,
            status=RoundStatus.CLEARED,
            awards_root=entries_root([(each.order_id, encode(each)) for each in cleared.awards]),
            awaited_readings=1 + len(cleared.awards),
            clearing=cleared.clearing,
        )

    def _proved(self, round_id: bytes, market_round: Round, free_ucoin: int) -> Cleared | None:
        """What an auction among cars comes to, or else the best proposal, if there is one that the
        supplier can stand behind."""
        best, rows = market_round.proposed, self.rows
        orders = [order for _, order in sorted(rows.shelf("orders", round_id).items())]
        if market_round.mechanism in AMONG_CARS:
            revised = rows.shelf("revisions", round_id).items()
            limits = {key: each.limit_ucoin_per_kwh for key, each in revised}
            return clear_among_cars(market_round, orders, limits, free_ucoin)
        if best is None:
            return None
        if market_round.mechanism == Mechanism.ITERATIVE_AUCTION:
            end = rows.get("auctions", best.proposer, round_id)
            return cleared_auction(market_round, orders, end, best.proposer, free_ucoin)
        pairs = prove(market_round, orders, rows.get("prices", best.proposer, round_id).prices)
        if not isinstance(pairs, Pairs):
            raise CheckFailed("proposals", "the best one proves nothing")
        return cleared_pairs(market_round, orders, pairs, best.proposer, free_ucoin)


SHARED = tuple(name for name in Chain.__struct_fields__ if name in Genesis.__struct_fields__)
