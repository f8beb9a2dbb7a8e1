"""The contracts on a bench: a small hub in memory, with every rule checked around every block.

Knows the ledger's door, the state and the invariants. A fault is an AssertionError, or whatever
the contracts raise: neither admission nor a block may raise at all.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from msgspec.structs import replace
from small_hub import END_S, MEMBERS, PORTS, SLOT_S, SmallHub, genesis, public
from small_hub import key as small_hub_key

from peerwatt.contracts import ledger
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.contracts.state import ACCOUNTS, POT, ROUNDS, TABLES, Table
from peerwatt.hosts.state import Committed, Overlay, Row
from peerwatt.records import transactions as tx
from peerwatt.records.chain import WitnessSignature, sign_head
from peerwatt.records.codec import CodecError, decode, digest, encode
from peerwatt.records.market import Round
from peerwatt.records.members import Account
from peerwatt.records.receipts import BlockContext, BlockResult, Reason, Receipt

DRIVERS = tuple(PORTS)
PEOPLE = (*DRIVERS, *MEMBERS, "clock", "eve")
BY_NAME = {table.name: table for table in TABLES}
FIRST_FINED = 801
Slot = tuple[str, bytes, bytes]

key = cache(small_hub_key)
NAMES = {public(name): name for name in PEOPLE}


class Start:
    """A small hub with its site, tariff and drivers: few or many steps a block, rich or poor."""

    def __init__(self, work: int, coins: int) -> None:
        limits = {"max_work": work, "max_orders": 3, "dispute_window_s": SLOT_S}
        hub = SmallHub(**limits).site(coins=coins).drivers(*DRIVERS, coins=10)
        self.genesis = genesis(**limits)
        rows = [Row(name, scope, at, encode(record)) for name, scope, at, record in hub.state()]
        self.state = Committed(TABLES, rows, ())
        self.height, self.now_s = hub.host.height, hub.now_s


@cache
def start(work: int = 1_000, coins: int = 100) -> Start:
    return Start(work, coins)


SETTLED: dict[str, int] = {"dispute_window_s": SLOT_S, "max_orders": 3}
SETTLED_GENESIS = genesis(**SETTLED)


@cache
def settled_hub() -> SmallHub:
    """A hub whose round between two cars is settled and ended; its head is witnessed."""
    hub = SmallHub(**SETTLED).site().drivers(*DRIVERS)
    hub.open().buy("ann")
    hub.sell("bob")
    hub.gate()
    hub.report({"": 0, "p1": 2_000, "p2": -2_000})
    hub.block(at=hub.now_s + SLOT_S)
    hub.host.add_witness(head_signature(hub))
    return hub


def head_signature(hub: SmallHub) -> WitnessSignature:
    """The grid operator's signature of a hub's head."""
    header = hub.host.block(hub.host.height).signed_header.header
    return sign_head(key("grid"), hub.chain_id, header.context.height, header.block_id)


class Bench:
    """A chain from one of the starts; `block` is the only way on. `seen` is what has happened."""

    def __init__(self, begun: Start) -> None:
        self.state = Overlay(begun.state)
        self.height, self.now_s = begun.height, begun.now_s
        self.chain_id = begun.genesis.chain_id
        self.sent: list[bytes] = []
        self.seen: dict[str, None] = {}

    # --- messages

    def nonce(self, name: str) -> int:
        account = self.state.get(ACCOUNTS, public(name))
        return 0 if account is None else account.nonce

    def message(self, kind: type[Any], by: str, fields: dict[str, Any]) -> Any:
        usual = {
            "chain_id": self.chain_id,
            "signer": public(by),
            "nonce": self.nonce(by),
            "valid_until_s": END_S * 2,
        }
        return kind(**(usual | fields))

    def signed(self, message: Any, by: str, cosigner: str = "") -> bytes:
        return tx.sign_message(message, key(by), key(cosigner) if cosigner else None)

    # --- blocks

    def block(self, *transactions: bytes) -> BlockResult:
        """Execute a block and check what must hold of every block."""
        context = self._context(transactions)
        work = Overlay(self.state)
        result = ledger.apply_block(work, context, transactions)
        assert len(result.receipts) == len(transactions)
        assert decode(encode(result), BlockResult) == result
        self._check_admission(context, transactions, result)
        if len(transactions) == 1 and not result.receipts[0].ok:
            self._check_refused(context, transactions[0], work, result.receipts[0])
        self._check_records(work)
        work.merge_into(self.state)
        self.height, self.now_s = context.height, context.market_time_s
        self.sent += transactions
        broken = broken_invariants(self.state)
        assert broken == [], broken
        self._see(transactions, result)
        return result

    def _context(self, transactions: tuple[bytes, ...]) -> BlockContext:
        reading = Overlay(self.state)
        time_s = ledger.market_time_s(reading, self.now_s, transactions)
        assert self._effects(reading) == {}, "asking for the time changed something"
        assert time_s >= self.now_s, "time ran backwards"
        return BlockContext(
            height=self.height + 1,
            market_time_s=time_s,
            previous_block_id=digest(self.height.to_bytes(8, "big")),
            proposer=public("operator"),
        )

    def _check_admission(
        self, context: BlockContext, transactions: tuple[bytes, ...], result: BlockResult
    ) -> None:
        """Admission says what the block says, as far as the first refusal, which leaves no trace:
        from there on the block has used up a nonce that admission has not. It lets in what costs
        its sender a fine, which is then paid."""
        checked = Overlay(self.state)
        for transaction, in_block in zip(transactions, result.receipts, strict=True):
            before = self._effects(checked)
            receipt = ledger.check_tx(checked, context, transaction)
            if receipt.ok and in_block.reason >= FIRST_FINED:
                assert self._effects(checked) != before, "a refusal that costs nothing was let in"
                continue
            assert receipt == in_block, f"admission {receipt}, block {in_block}"
            if not receipt.ok:
                assert self._effects(checked) == before, "a refusal at admission left a trace"
                return

    def _check_refused(
        self, context: BlockContext, transaction: bytes, work: Overlay, receipt: Receipt
    ) -> None:
        """A refused message changes its signer's nonce and nothing else, but for a fine where its
        Reason costs one: beside it, the block did what an empty block would have done."""
        empty = Overlay(self.state)
        ledger.apply_block(empty, context, ())
        with_it, without = self._effects(work), self._effects(empty)
        if receipt.reason < Reason.EXPIRED:
            assert with_it == without, "a refused envelope changed something"
            return
        signer = tx.decode_message(decode(transaction, tx.Transaction).message).signer
        before = self._after(without, signer)
        spent = replace(before, nonce=before.nonce + 1) if self._known(signer) else before
        after = self._after(with_it, signer)
        fine = before.free_ucoin - after.free_ucoin
        assert after == replace(spent, free_ucoin=before.free_ucoin - fine), (
            "a refusal left a trace"
        )
        assert fine == 0 if receipt.reason < FIRST_FINED else fine >= 0, f"a fine of {fine}"
        pot = self._after(without, POT)
        fined = replace(pot, free_ucoin=pot.free_ucoin + fine)
        assert self._after(with_it, POT) == fined, "a refusal left a trace"
        own = [(ACCOUNTS.name, b"", signer), (ACCOUNTS.name, b"", POT)]
        others = [at for at in {**with_it, **without} if at not in own]
        assert all(with_it.get(at) == without.get(at) for at in others), "a refusal left a trace"

    def _known(self, signer: bytes) -> bool:
        return self.state.get(ACCOUNTS, signer) is not None

    def _after(self, effects: dict[Slot, Any], signer: bytes) -> Account:
        changed = effects.get((ACCOUNTS.name, b"", signer))
        return changed or self.state.get(ACCOUNTS, signer) or Account()

    def _effects(self, overlay: Overlay) -> dict[Slot, Any]:
        """What an overlay changes; writing what is there already changes nothing."""
        return {
            (name, scope, at): record
            for (name, scope), shelf in overlay.changes.items()
            for at, record in shelf.items()
            if record != self.state.get(BY_NAME[name], at, scope)
        }

    def _check_records(self, work: Overlay) -> None:
        """Every record that was written can be read back, and is the same."""
        for (name, _, _), record in self._effects(work).items():
            if record is not None:
                data = encode(record)
                kept = decode(data, BY_NAME[name].record)
                assert (kept, encode(kept)) == (record, data), f"{name}: reads back as another"

    def _see(self, transactions: tuple[bytes, ...], result: BlockResult) -> None:
        for transaction, receipt in zip(transactions, result.receipts, strict=True):
            field = receipt.field.split("[")[0]
            said = f"{kind_of(transaction)}: {Reason(receipt.reason).name} {field}"
            self.seen[said] = None
        for event in result.events:
            market_round = self.state.get(ROUNDS, event.key)
            self.seen[event.kind if market_round is None else _told(event.kind, market_round)] = (
                None
            )

    # --- reading

    def rows(self, table: Table[Any]) -> list[tuple[bytes, bytes, Any]]:
        """(round, key, record) of a table that is kept by round."""
        rounds = [at for at, _ in self.state.items(ROUNDS)]
        return [(at, row, record) for at in rounds for row, record in self.state.items(table, at)]


def _told(kind: str, market_round: Round) -> str:
    """What happened to a round, with what sets it apart from other rounds."""
    clearing, totals = market_round.clearing, market_round.totals
    told = [kind, market_round.mechanism.name]
    if clearing is not None:
        flows = (clearing.bought_wh, clearing.sold_wh, clearing.import_wh, clearing.export_wh)
        told += ["".join("01"[flow > 0] for flow in flows), str(clearing.sellers_dropped)]
    if totals is not None:
        told += [str(totals.flags), "penalty" if totals.penalty_ucoin else ""]
    return " ".join(told)


def kind_of(transaction: bytes) -> str:
    """The name of the message that a transaction carries, if it carries one."""
    try:
        return type(tx.decode_message(decode(transaction, tx.Transaction).message)).__name__
    except CodecError:
        return "no message"
