"""A chain run from its blocks: every block is checked, executed, kept, and can be proved from.

Knows the records, the store and, by constructor, a ledger. It proposes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from peerwatt.hosts.folder import write_chain
from peerwatt.hosts.headers import parts_of, prove_transaction, shown
from peerwatt.hosts.host import Ledger, NotYetProved, Table
from peerwatt.hosts.state import Committed, Items, Overlay, Row, Slot
from peerwatt.hosts.store import KeptBlock, Store, StoreError, Tip
from peerwatt.records.bundles import ROUNDS, TREES, ProvedItem, ProvedValue, ReceiptBundle
from peerwatt.records.chain import (
    WitnessSignature,
    is_signed,
    results_root,
    sign_head,
    size_problem,
    transactions_root,
)
from peerwatt.records.codec import CodecError, R, decode, digest, encode
from peerwatt.records.histories import ProvedTransaction
from peerwatt.records.market import Round
from peerwatt.records.members import Genesis
from peerwatt.records.merkle import EMPTY_ROOT, Proof, leaf_hash
from peerwatt.records.receipts import (
    Block,
    BlockContext,
    BlockResult,
    Event,
    Header,
    Receipt,
    SignedHeader,
)
from peerwatt.records.signing import SigningKey
from peerwatt.records.trees import HashTree, MerkleMap, sealed_map


class BlockRefused(ValueError):  # noqa: N818
    """A block that does not follow from the chain before it: which, in what, and why."""

    def __init__(self, height: int, field: str, why: str) -> None:
        super().__init__(f"block {height}: {field}: {why}")
        self.height = height
        self.field = field
        self.why = why


class Run(NamedTuple):
    """A block that has been executed and is not kept yet."""

    block: Block
    overlay: Overlay
    rows: list[Row]
    result: BlockResult


class Replica:
    """A chain in a store, moved on by blocks that others made; a `View` of it. One thread's.

    Raises:
        StoreError: the store holds another chain, or what it holds does not fit together.
        ValueError: the ledger refuses the genesis.
    """

    def __init__(self, ledger: Ledger, store: Store, genesis: bytes) -> None:
        self._ledger = ledger
        self._store = store
        self._genesis = genesis
        self._last_sealed: tuple[Slot, MerkleMap] | None = None
        self.chain_id = decode(genesis, Genesis).chain_id
        tip = store.tip() or self._begin()
        if tip.genesis != genesis:
            raise StoreError(f"{store.name}: holds another chain, its genesis differs")
        self.height = tip.height
        try:
            self._load(tip)
        except StoreError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{store.name}: damaged ({error})") from None

    def _begin(self) -> Tip:
        """Keep the state that the genesis makes."""
        state = Committed(self._ledger.TABLES, [], [])
        overlay = Overlay(state)
        self._ledger.init_chain(overlay, self._genesis)
        rows = state.prepare(overlay)
        tip = Tip(0, self._genesis, state.app_hash, encode({}))
        self._store.commit(tip, rows, overlay.sealed, None)
        return tip

    def _load(self, tip: Tip) -> None:
        """Build the state in memory and check it against what the chain says of it."""
        store = self._store
        self._state = Committed(self._ledger.TABLES, store.state_rows(), store.sealed_slots())
        self._require(self._state.app_hash == tip.app_hash, "its state has another app hash")
        ids = store.block_ids()
        self._history = HashTree(map(leaf_hash, ids))
        self._require(len(ids) == tip.height, "blocks are missing")
        self.head: SignedHeader | None = None
        self.proposer: bytes | None = None
        self._results_root = EMPTY_ROOT
        if tip.height == 0:
            return
        self.head = self.block(tip.height).signed_header
        header = self.head.header
        self.proposer = header.context.proposer
        self._results_root = results_root(self.result(tip.height))
        before = self._state.restore_undo(decode(tip.undo, dict[str, dict[bytes, bytes | None]]))
        self._require(header.block_id == ids[-1], "its last block has another id")
        self._require(header.app_hash == before, "its last block is of another state")
        earlier = self._history.root(tip.height - 1)
        self._require(header.history_root == earlier, "its blocks are not in one chain")

    def _require(self, holds: bool, why: str) -> None:
        if not holds:
            raise StoreError(f"{self._store.name}: damaged ({why})")

    @property
    def state(self) -> Committed:
        """The state after the head, to read."""
        return self._state

    @property
    def app_hash(self) -> bytes:
        """The state's hash after the head; the next header will carry it."""
        return self._state.app_hash

    @property
    def head_id(self) -> bytes:
        """The id of the last block; the genesis's hash before the first."""
        return digest(self._genesis) if self.head is None else self.head.header.block_id

    @property
    def block_time_s(self) -> int:
        """The block time of the last block; 0 before the first."""
        return 0 if self.head is None else self.head.header.block_time_s

    def get(self, table_name: str, key: bytes, scope: bytes = b"") -> Any:
        """The record under a key, or none."""
        return self._state.get(self._table(table_name), key, scope)

    def items(self, table_name: str, scope: bytes = b"") -> list[tuple[bytes, Any]]:
        """All records of a table (of one scope of it), ascending by key."""
        return self._state.items(self._table(table_name), scope)

    def _table(self, name: str) -> Table[Any]:
        table = self._state.tables.get(name)
        if table is None:
            raise ValueError(f"table_name: there is no table '{name}'")
        return table

    def result(self, height: int) -> BlockResult:
        """What a block did; ValueError if there is no such block."""
        return self._decoded(height, self._store.result(height), BlockResult)

    def receipts(self, height: int) -> tuple[Receipt, ...]:
        """The receipts of record of a block."""
        return self.result(height).receipts

    def events(self, from_height: int = 1) -> Iterator[tuple[int, Event]]:
        """What happened from a block on, each with its block's height."""
        for height in range(max(from_height, 1), self.height + 1):
            for event in self.result(height).events:
                yield height, event

    def block(self, height: int) -> Block:
        """A block; ValueError if there is no such height."""
        return self._decoded(height, self._store.block(height), Block)

    def _decoded(self, height: int, data: bytes | None, record_type: type[R]) -> R:
        if data is None:
            raise ValueError(f"height: there is no block {height}, the last is {self.height}")
        try:
            return decode(data, record_type)
        except CodecError as error:
            raise StoreError(f"{self._store.name}: damaged at block {height} ({error})") from None

    def accept(self, block: Block) -> BlockResult:
        """Check a block that another made, execute and keep it.

        Raises:
            BlockRefused: it does not follow from this chain; nothing changed.
        """
        signed = block.signed_header
        header, height = signed.header, self.height + 1
        if header.context.height != height:
            raise BlockRefused(height, "height", f"is {header.context.height}, must be {height}")
        if problem := size_problem(block.transactions):
            raise BlockRefused(height, "transactions", problem)
        expected = self._next_header(
            header.block_time_s,
            block.transactions,
            header.context.proposer,
            self._misbehavior_in(header),
        )
        for (field, given), (_, due) in zip(parts_of(header), parts_of(expected), strict=True):
            if given != due:
                raise BlockRefused(height, field, f"is {shown(given)}, must be {shown(due)}")
        self._check_author(signed)
        return self._execute(block)

    def _misbehavior_in(self, header: Header) -> tuple[bytes, ...]:
        """Whom a block may report: on a chain that one process runs, nobody."""
        return ()

    def _check_author(self, signed: SignedHeader) -> None:
        """Who made a block: on a chain that one process runs, always the same key, which signs."""
        height, proposer = self.height + 1, signed.header.context.proposer
        if self.proposer not in (None, proposer):
            raise BlockRefused(height, "proposer", "is not who made the blocks before")
        if not is_signed(signed):
            raise BlockRefused(height, "signature", "is not the proposer's of this header")

    def _next_header(
        self,
        block_time_s: int,
        transactions: tuple[bytes, ...],
        proposer: bytes,
        misbehavior: tuple[bytes, ...] = (),
    ) -> Header:
        """The only header that a block of this time, proposer and content can have."""
        height = self.height + 1
        if block_time_s < self.block_time_s:
            why = f"{block_time_s} is before the last block's {self.block_time_s}"
            raise BlockRefused(height, "block_time_s", why)
        state = Overlay(self._state)
        context = BlockContext(
            height=height,
            market_time_s=self._ledger.market_time_s(state, block_time_s, transactions),
            previous_block_id=self.head_id,
            proposer=proposer,
            misbehavior=misbehavior,
        )
        return Header(
            chain_id=self.chain_id,
            context=context,
            block_time_s=block_time_s,
            transactions_root=transactions_root(transactions),
            app_hash=self.app_hash,
            results_root=self._results_root,
            history_root=self._history.root(),
        )

    def _execute(self, block: Block) -> BlockResult:
        """Run a block that has been checked, and keep it with all that it changed."""
        run = self._run(block)
        self._keep(run)
        return run.result

    def _run(self, block: Block) -> Run:
        """Execute a block; the app hash is then that after it, all else is as before."""
        overlay = Overlay(self._state)
        context = block.signed_header.header.context
        result = self._ledger.apply_block(overlay, context, block.transactions)
        if len(result.receipts) != len(block.transactions):
            raise RuntimeError("the ledger gave not one receipt a transaction: stop this host")
        return Run(block, overlay, self._state.prepare(overlay), result)

    def _keep(self, run: Run) -> None:
        """Keep a block that was run, whole, or take back that it was run."""
        block, overlay, rows, result = run
        header, state = block.signed_header.header, self._state
        try:
            tip = Tip(header.context.height, self._genesis, state.app_hash, encode(state.undo))
            kept = KeptBlock(header.block_id, encode(block), encode(result))
            self._store.commit(tip, rows, overlay.sealed, kept)
        except BaseException:
            state.cancel()
            raise
        state.finish(overlay)
        self._history.append(leaf_hash(kept.block_id))
        self._results_root = results_root(result)
        self.head, self.height = block.signed_header, tip.height
        self.proposer = header.context.proposer

    def prove(self, table_name: str, key: bytes) -> ProvedValue:
        """The value under a key of a hashed table before the head, or its absence, with proof."""
        if not self._table(table_name).hashed:
            raise ValueError(f"table_name: '{table_name}' is an index, which no header commits to")
        if self.head is None:
            raise NotYetProved("no header commits to the first state before block 1")
        value, proof = self._state.prove(table_name, key)
        return ProvedValue(store=table_name, key=key, value=value, proof=proof, header=self.head)

    def prove_item(self, name: str, scope: bytes, key: bytes) -> ProvedItem:
        """An entry of a sealed tree, or its absence, with proof."""
        entries = self._sealed_map(name, scope)
        item, evidence = entries.prove(key)
        return ProvedItem(
            tree=name, scope=scope, key=key, item=item, evidence=evidence, root=entries.root()
        )

    def sealed(self, name: str, scope: bytes) -> Items:
        """All entries (id, bytes) of a sealed tree, ascending; empty where none was sealed."""
        return self._store.sealed_items(name, scope) or ()

    def _sealed_map(self, name: str, scope: bytes) -> MerkleMap:
        """The entries of a sealed tree; the last one is kept, as receipts come round by round."""
        if self._last_sealed is None or self._last_sealed[0] != (name, scope):
            items = self._store.sealed_items(name, scope)
            if items is None:
                raise ValueError(f"name: no tree '{name}' of {scope.hex()} has been sealed")
            self._last_sealed = (name, scope), sealed_map(items)
        return self._last_sealed[1]

    def receipt(self, name: str, round_id: bytes, key: bytes) -> ReceiptBundle:
        """An entry of a round's sealed tree, or its absence, with all that proves it to a stranger.

        Raises:
            ValueError: there is no such tree.
            NotYetProved: the head's header does not commit to that tree's root yet.
        """
        if name not in TREES:
            raise ValueError(f"name: '{name}' is none of a round's trees ({', '.join(TREES)})")
        entry = self.prove_item(name, round_id, key)
        proved = self.prove(ROUNDS, round_id)
        record = None if proved.value is None else decode(proved.value, Round)
        if record is None or getattr(record, f"{name}_root") != entry.root:
            raise NotYetProved(f"the header after block {self.height} will commit to this tree")
        bundle = ReceiptBundle(
            entry=entry, round=proved, history=None, head=proved.header, witnesses=()
        )
        return self.anchor(bundle, self.height)

    def prove_block(self, height: int, head_height: int | None = None) -> Proof | None:
        """That a block is in the history of the head, or of the block at a later height."""
        above = self.height if head_height is None else head_height
        if not 0 < height <= above:
            raise ValueError(f"height: there is no block {height} up to {above}")
        return None if height == above else self._history.prove(height - 1, above - 1)

    def prove_transaction(self, height: int, index: int) -> ProvedTransaction:
        """A transaction with the ledger's answer, proved below the head."""
        return prove_transaction(self, height, index)

    def anchor(self, bundle: ReceiptBundle, height: int) -> ReceiptBundle:
        """The same receipt under the head at a later height, with its witnesses' signatures.

        Raises:
            ValueError: there is no such block, or it comes before the receipt's header.
        """
        head = self.block(height).signed_header
        header = bundle.round.header.header
        below = header.context.height
        if height < below:
            raise ValueError(f"height: the receipt's header is {below}, which comes after {height}")
        return ReceiptBundle(
            entry=bundle.entry,
            round=bundle.round,
            history=self.prove_block(below, height),
            head=head,
            witnesses=tuple(self.witnesses(height)),
        )

    def witness(self, key: SigningKey) -> WitnessSignature:
        """Co-sign the head, as a member that has run the chain itself; kept beside it."""
        signature = sign_head(key, self.chain_id, self.height, self.head_id)
        self.add_witness(signature)
        return signature

    def add_witness(self, signature: WitnessSignature) -> None:
        """Keep a witness's signature that was made elsewhere.

        Raises:
            ValueError: it is not of this chain's block at that height, or is not valid.
        """
        known = self.block(signature.height).signed_header.header.block_id
        if signature.block_id != known:
            raise ValueError(f"block_id: is not that of block {signature.height}")
        if not signature.is_valid(self.chain_id):
            raise ValueError(f"signature: is not the witness's of block {signature.height}")
        self._store.add_witness(signature.height, signature.witness, encode(signature))

    def witnesses(self, height: int | None = None) -> list[WitnessSignature]:
        """Every witness's signature (of one height), by height and key."""
        return [decode(data, WitnessSignature) for data in self._store.witnesses(height)]

    def export(self, folder: Path) -> None:
        """Write the chain as files from which anyone can run it again; same chain, same bytes."""
        blocks = (self._store.block(height) or b"" for height in range(1, self.height + 1))
        witnesses = (encode(each) for each in self.witnesses())
        write_chain(folder, self._genesis, blocks, witnesses)
