"""What must hold of a ledger whatever anybody does to it, checked from outside block by block.

Knows blocks, receipts and sealed trees. It keeps a ledger of its own, simple enough to believe:
coins by account from accepted messages and settled rounds, and every id it has seen before. A
reference beside it, which runs every rule again, has the last word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any, NamedTuple

from peerwatt.contracts.invariants import broken_invariants
from peerwatt.hosts.replica import Replica
from peerwatt.records import transactions as tx
from peerwatt.records.codec import decode, digest
from peerwatt.records.market import Award, BuyOrder, Mechanism, Order, Round, SettledAward
from peerwatt.records.members import Site
from peerwatt.records.readings import SignedReading
from peerwatt.records.receipts import Event, Reason, Receipt
from peerwatt.records.signing import SigningKey
from peerwatt.simulation.differential import Differential
from peerwatt.simulation.failures import CheckFailed, require
from peerwatt.simulation.proofs import ProofChecks
from peerwatt.simulation.reference import ENDED
from peerwatt.simulation.reference_proposals import FINED
from peerwatt.simulation.reference_rows import POT, REWARDS, up
from peerwatt.simulation.tally import of_message, of_round

PROVED = 0.15
"""In how many blocks proofs are asked for."""


class Mark(NamedTuple):
    """A block as it was first seen: it must never be another."""

    block_id: bytes
    app_hash: bytes
    receipts: tuple[Receipt, ...]
    market_time_s: int


class Checkers:
    """Watches one chain; the state before its first block is that of the genesis."""

    def __init__(self, host: Replica, genesis: bytes, witness: SigningKey, chance: Random) -> None:
        time_s = host.get("chain", b"chain").market_time_s
        self.marks = [Mark(host.head_id, host.app_hash, (), time_s)]
        self.coins: dict[bytes, int] = {}
        self.settled_rounds = 0
        self.accepted = 0
        self.reasons: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        self.differential = Differential(genesis)
        self._proofs = ProofChecks(witness, chance)
        self._chance = chance
        self._transactions: dict[bytes, int] = {}
        self._orders: dict[bytes, bytes] = {}
        self._revised: dict[bytes, int] = {}
        self._deposits: dict[bytes, tuple[bytes, int]] = {}
        """Of sealed orders, whose they are and how much."""
        self._settled: dict[bytes, bytes] = {}
        self._readings: dict[tuple[bytes, int], bytes] = {}
        self._slots: dict[tuple[bytes, int], bytes] = {}

    def after_block(self, host: Replica, admitted: Iterable[bytes] = ()) -> None:
        """Check the newest block, and the state after it.

        Args:
            admitted: the transactions of this block that admission had let in.
        """
        self._whole(host)
        receipts = host.receipts(host.height)
        self._kept(host, receipts)
        if self._still(host):
            self._admitted(receipts, admitted)
        for data, receipt in zip(host.block(host.height).transactions, receipts, strict=True):
            self.reasons[Reason(receipt.reason).name] += 1
            if receipt.ok:
                self._take(host, data)
            elif receipt.reason >= FINED:
                self._fine(host, data)
        for event in host.result(host.height).events:
            self.happened[event.kind] += 1
            if event.kind == "settled":
                self._settle(host, event.key)
            if event.kind.endswith("rewarded"):
                self._reward(host, event)
            if event.kind == "absent":
                self._charge(host, event.key)
            if event.kind == "withheld":
                self._withhold(event.key)
        self._money(host)
        broken = broken_invariants(host.state)
        require(not broken, "invariants", "; ".join(broken))
        self.differential.after_block(host)
        self._proofs.check_header(host, [each.block_id for each in self.marks[1:-1]])
        if self._chance.random() < PROVED:
            self._proofs.check(host, self.differential)

    def submitted(self, data: bytes, receipt: Receipt) -> None:
        """Admission has answered."""
        self.reasons[Reason(receipt.reason).name] += not receipt.ok
        self.differential.submitted(data, receipt)

    def _whole(self, host: Replica) -> None:
        require(host.height == len(self.marks), "nothing lost", f"height is {host.height}")
        try:
            block = host.block(host.height)
        except ValueError as error:
            raise CheckFailed("nothing lost", str(error)) from error
        context = block.signed_header.header.context
        same = context.previous_block_id == self.marks[-1].block_id
        require(same, "nothing lost", "a block before is another")
        receipts, time_s = host.receipts(host.height), context.market_time_s
        require(time_s >= self.marks[-1].market_time_s, "time", "runs backwards")
        self.marks.append(Mark(host.head_id, host.app_hash, receipts, time_s))

    def _still(self, host: Replica) -> bool:
        """Whether admission and block had the same time: on block time a message can come late."""
        ticks = bool(host.get("chain", b"chain").tick_key)
        return ticks or self.marks[-1].market_time_s == self.marks[-2].market_time_s

    def _kept(self, host: Replica, receipts: tuple[Receipt, ...]) -> None:
        """Every transaction of a block has its receipt; none is accepted a second time."""
        ids = [digest(data) for data in host.block(host.height).transactions]
        require(ids == [each.transaction_id for each in receipts], "receipts", "one is missing")
        for receipt in receipts:
            if receipt.ok:
                name = receipt.transaction_id.hex()
                before = self._transactions.setdefault(receipt.transaction_id, host.height)
                require(before == host.height, "nothing twice", f"{name} accepted again")
        accepted = [each.transaction_id for each in receipts if each.ok]
        require(len(accepted) == len(dict.fromkeys(accepted)), "nothing twice", "in one block")
        self.accepted += len(accepted)

    def _admitted(self, receipts: tuple[Receipt, ...], admitted: Iterable[bytes]) -> None:
        """What admission lets in is accepted, if nothing comes in before it, or costs a fine."""
        answers = {each.transaction_id: each for each in reversed(receipts)}
        for transaction_id in admitted:
            answer = answers.get(transaction_id)
            require(answer is not None, "nothing lost", "what waited came into no block")
            fair = answer is None or answer.ok or answer.reason >= FINED
            refused = "" if fair or answer is None else f"{answer.reason} {answer.field}"
            require(not refused, "admission", f"let in, then refused: {refused}")

    # --- the model: coins and ids

    def _take(self, host: Replica, data: bytes) -> None:
        """What an accepted message does to the coins, and which orders it makes."""
        transaction = decode(data, tx.Transaction)
        message = tx.decode_message(transaction.message)
        self.happened.update(of_message(host, message))
        match message:
            case tx.Mint():
                self._pay(message.to, message.amount_ucoin)
            case tx.Withdraw():
                self._pay(message.signer, -message.amount_ucoin)
            case tx.Transfer():
                self._pay(message.signer, -message.amount_ucoin)
                self._pay(message.to, message.amount_ucoin)
            case tx.FundRewards():
                self._pay(message.signer, -message.amount_ucoin)
                self._pay(REWARDS, message.amount_ucoin)
            case tx.ResolveDispute():
                dispute = host.get("disputes", message.order_id)
                self._pay(dispute.operator, -message.credit_ucoin)
                self._pay(dispute.owner, message.credit_ucoin)
            case tx.PlaceBuyOrder() | tx.PlaceSellOrder():
                self._orders[transaction.message_id] = message.round_id
            case tx.SealOrder():
                deposit = message.signer, message.deposit_ucoin
                self._deposits[transaction.message_id] = deposit
            case tx.RevealOrder():
                del self._deposits[message.order_id]
                self._orders[message.order_id] = message.round_id
            case tx.ReviseOrder():
                self._revised[message.order_id] = message.limit_ucoin_per_kwh
            case tx.CancelOrder():
                sealed = self._deposits.pop(message.order_id, None)
                require(
                    sealed is not None
                    or self._orders.pop(message.order_id, b"") == message.round_id,
                    "orders",
                    "one is cancelled that does not stand",
                )
            case _:
                pass

    def _fine(self, host: Replica, data: bytes) -> None:
        """A proposal that proves nothing costs its sender the tariff's penalty."""
        message = tx.parse(data)[1]
        proposes = isinstance(message, tx.ProposeClearing | tx.ProposeAuction)
        require(proposes, "fines", "of another message")
        if isinstance(message, tx.ProposeClearing | tx.ProposeAuction):
            prices = host.get("rounds", message.round_id).prices
            self._pay(message.signer, -prices.failed_clearing_penalty_ucoin)
            self._pay(POT, prices.failed_clearing_penalty_ucoin)

    def _reward(self, host: Replica, event: Event) -> None:
        """What is paid comes out of what was given; a member's key stands alone."""
        terms = host.get("reward_terms", b"terms")
        alone = event.kind == "proposer_rewarded"
        amount_ucoin = terms.proposer_ucoin if alone else terms.contribution_ucoin
        self._pay(REWARDS, -amount_ucoin)
        self._pay(event.key if alone else event.key[-32:], amount_ucoin)
        require(self.coins[REWARDS] >= 0, "coins", "rewards are paid that nobody gave")

    def _charge(self, host: Replica, order_id: bytes) -> None:
        """Whose agent was silent in an auction pays for its order, into the pot."""
        round_id = self._orders[order_id]
        order = dict(_tree(host, "orders", round_id, Order))[order_id]
        prices = host.get("rounds", round_id).prices
        due = up(order.max_wh, prices.shortfall_penalty_ucoin_per_kwh)
        self._pay(order.owner, -min(due, order.held_ucoin))
        self._pay(POT, min(due, order.held_ucoin))

    def _withhold(self, order_id: bytes) -> None:
        """Who sealed an order and never showed it loses a tenth of its deposit to the pot."""
        owner, deposit_ucoin = self._deposits.pop(order_id)
        self._pay(owner, -(deposit_ucoin // 10))
        self._pay(POT, deposit_ucoin // 10)

    def _pay(self, key: bytes, amount_ucoin: int) -> None:
        self.coins[key] = self.coins.get(key, 0) + amount_ucoin

    def _money(self, host: Replica) -> None:
        """Every account has what the model says: nothing is lost, and nobody is paid twice."""
        for key, account in host.items("accounts"):
            has, due = account.free_ucoin + account.held_ucoin, self.coins.get(key, 0)
            require(has == due, "coins", f"account {key.hex()} has {has}, is due {due} ucoin")
        chain = host.get("chain", b"chain")
        supply = chain.issued_ucoin - chain.withdrawn_ucoin
        total = sum(self.coins.values())
        require(supply == total, "coins", f"supply is {supply} ucoin, {total} are accounted for")

    def _settle(self, host: Replica, round_id: bytes) -> None:
        """A round is settled: once, every award of it, with readings that count once."""
        self.settled_rounds += 1
        market_round: Round = host.get("rounds", round_id)
        site: Site = host.get("sites", market_round.site.encode())
        orders = dict(_tree(host, "orders", round_id, Order))
        awards = dict(_tree(host, "awards", round_id, Award))
        settled = _tree(host, "settlements", round_id, SettledAward)
        require([key for key, _ in settled] == list(awards), "orders", "awards are not settled")
        placed = [key for key, scope in self._orders.items() if scope == round_id]
        require(sorted(placed) == list(orders), "orders", "the book is not what was accepted")
        for order_id, row in settled:
            name = order_id.hex()
            before = self._settled.setdefault(order_id, round_id)
            require(before == round_id, "nothing twice", f"order {name} is settled again")
            require(order_id in orders, "orders", f"order {name} was never in the book")
            fits = row.metered_wh <= row.awarded_wh <= orders[order_id].max_wh
            require(fits, "orders", f"order {name} is filled beyond its size")
            charged = row.paid_ucoin + row.penalty_ucoin
            for most in (awards[order_id].held_ucoin, orders[order_id].held_ucoin):
                require(charged <= most, "holds", f"order {name} is charged beyond its hold")
            limit = self._revised.pop(order_id, orders[order_id].limit_ucoin_per_kwh)
            twice = market_round.mechanism == Mechanism.V2V
            _require_limit(orders[order_id], awards[order_id], limit if twice else None)
            self._pay(row.owner, row.received_ucoin - charged)
        for order_id in placed:
            del self._orders[order_id]
        self._pay_parties(market_round, site)
        self._count_readings(host, round_id)
        self.happened.update(of_round(market_round, [row for _, row in settled]))

    def _pay_parties(self, market_round: Round, site: Site) -> None:
        totals = market_round.totals
        if totals is None:
            raise CheckFailed("orders", "a settled round has no totals")
        self._pay(site.supplier, totals.supplier_ucoin)
        self._pay(site.grid_operator, totals.network_fee_ucoin + totals.levy_ucoin)
        self._pay(site.operator, totals.platform_fee_ucoin + totals.operator_ucoin)
        self._pay(POT, totals.pot_ucoin)

    def _count_readings(self, host: Replica, round_id: bytes) -> None:
        for _, signed in _tree(host, "readings", round_id, SignedReading):
            reading = signed.reading
            name = f"{reading.meter.hex()} {reading.sequence}"
            require(signed.is_signed(host.chain_id), "readings", f"{name} is not its meter's")
            first = self._readings.setdefault((reading.meter, reading.sequence), round_id)
            of_slot = self._slots.setdefault((reading.meter, reading.start_s), round_id)
            require(first == of_slot == round_id, "nothing twice", f"reading {name} counts again")

    # --- restarts and the end

    def after_restart(self, host: Replica) -> None:
        """A host that was opened again stands at the last block that was seen, unchanged."""
        require(host.height == len(self.marks) - 1, "nothing lost", f"height is {host.height}")
        mark = self.marks[-1]
        require(host.app_hash == mark.app_hash, "nothing lost", "another app hash after restart")
        require(host.head_id == mark.block_id, "nothing lost", "another block after restart")
        self._money(host)
        self.differential.whole(host)
        self._proofs.after_restart(host)
        if host.height and self._chance.random() < 0.5:
            self._proofs.check(host, self.differential)

    def at_the_end(self, host: Replica, replayed: Replica) -> None:
        """Every round has ended, holds are released, and the chain runs again to the same end."""
        for round_id, each in host.items("rounds"):
            require(each.status in ENDED, "rounds end", f"{round_id.hex()} is {each.status.name}")
        disputed = any(not each.resolved for _, each in host.items("disputes"))
        held = sum(account.held_ucoin for _, account in host.items("accounts"))
        require(disputed or held == 0, "rounds end", f"{held} ucoin are still held")
        for height, mark in enumerate(self.marks[1:], 1):
            same = host.receipts(height) == mark.receipts == replayed.receipts(height)
            require(same, "replay", f"other receipts at block {height}")
        same = host.app_hash == replayed.app_hash and host.head_id == replayed.head_id
        require(same, "replay", "another app hash")
        self.differential.whole(host)


def _require_limit(order: Order, award: Award, limit: int | None) -> None:
    """Nobody pays more, or gets less, than it asked for or last signed as its limit; a minimum goes
    at any price."""
    price, name = award.price_ucoin_per_kwh, order.order_id.hex()
    if isinstance(order, BuyOrder):
        at_most = order.price_high_ucoin_per_kwh if limit is None else limit
        fits = award.energy_wh <= order.min_wh or price <= at_most
        require(fits, "limits", f"order {name} pays {price}, at most {at_most} was asked")
    else:
        fits = price >= (order.ask_ucoin_per_kwh if limit is None else limit)
        require(fits, "limits", f"order {name} gets {price}, less than was asked")


def _tree(host: Replica, name: str, round_id: bytes, record: Any) -> list[tuple[bytes, Any]]:
    return [(key, decode(data, record)) for key, data in host.sealed(name, round_id)]
