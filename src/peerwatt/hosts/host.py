"""The ports around a host: what contracts see of it, what it asks of a ledger, what callers see.

Knows the records. A caller that holds a `Host` cannot tell which one it is: one process,
or many that agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

from peerwatt.records.bundles import ProvedItem, ProvedValue, ReceiptBundle
from peerwatt.records.histories import ProvedTransaction
from peerwatt.records.merkle import Proof
from peerwatt.records.receipts import Block, BlockContext, BlockResult, Event, Receipt, SignedHeader

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class NotYetProved(ValueError):  # noqa: N818
    """What is to be proved is newer than the newest header; the next block's header proves it."""


class Table(Protocol[R_co]):
    """A table of the state. A hashed one is a store of the state's hash and has no scopes; one
    that is not is an index derived from blocks, keyed by scope and key."""

    @property
    def name(self) -> str:
        """Its name, the store's name when hashed."""

    @property
    def record(self) -> type[R_co]:
        """The type of its records, for decoding."""

    @property
    def hashed(self) -> bool:
        """Whether the state's hash covers it."""


class State(Protocol):
    """What contracts see: records by table, scope and key. Reads see own writes."""

    def get(self, table: Table[R], key: bytes, scope: bytes = b"") -> R | None:
        """The record under a key, or none."""

    def put(self, table: Table[R], key: bytes, record: R, scope: bytes = b"") -> None:
        """Write a record; ValueError for a scope in a hashed table."""

    def delete(self, table: Table[Any], key: bytes, scope: bytes = b"") -> None:
        """Take a record out, if it is there."""

    def items(self, table: Table[R], scope: bytes = b"") -> list[tuple[bytes, R]]:
        """All records of a table (of one scope of it), ascending by key."""

    def seal(self, name: str, scope: bytes, items: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Keep entries (id, bytes), strictly ascending by id, to prove them later; their tree's
        root. ValueError when they do not ascend or that tree is sealed already."""


class Ledger(Protocol):
    """The contracts as a host sees them: pure functions of state, context and transactions."""

    @property
    def TABLES(self) -> Sequence[Table[Any]]:  # noqa: N802
        """Every table of the state."""

    def init_chain(self, state: State, genesis: bytes, /) -> None:
        """Write the first state; ValueError with a one-line reason if the genesis will not do."""

    def market_time_s(
        self, state: State, block_time_s: int, transactions: Sequence[bytes], /
    ) -> int:
        """The market time of a block with this block time and these transactions."""

    def check_tx(self, state: State, context: BlockContext, transaction: bytes, /) -> Receipt:
        """Whether a transaction would be accepted now; its effects are written when it would."""

    def apply_block(
        self, state: State, context: BlockContext, transactions: Sequence[bytes], /
    ) -> BlockResult:
        """Execute a block: one receipt per transaction, in order."""


class View(Protocol):
    """A chain as a reader sees it. State is that after the head; what `prove` shows is that before
    the head, because a header commits to the state before its own block."""

    @property
    def chain_id(self) -> str:
        """The chain's name."""

    @property
    def height(self) -> int:
        """The number of blocks."""

    @property
    def head(self) -> SignedHeader | None:
        """The newest header; none before the first block."""

    def get(self, table_name: str, key: bytes, scope: bytes = b"") -> Any:
        """The record under a key, or none; ValueError for an unknown table, here and below."""

    def items(self, table_name: str, scope: bytes = b"") -> list[tuple[bytes, Any]]:
        """All records of a table (of one scope of it), ascending by key."""

    def prove(self, table_name: str, key: bytes) -> ProvedValue:
        """The value under a key of a hashed table before the head, or its absence, with proof.

        Raises:
            NotYetProved: there is no header yet.
        """

    def prove_item(self, name: str, scope: bytes, key: bytes) -> ProvedItem:
        """An entry of a sealed tree, or its absence, with proof; ValueError if there is no tree."""

    def sealed(self, name: str, scope: bytes) -> Sequence[tuple[bytes, bytes]]:
        """All entries (id, bytes) of a sealed tree, ascending; empty where none was sealed."""

    def receipt(self, name: str, round_id: bytes, key: bytes) -> ReceiptBundle:
        """An entry of a round's sealed tree, or its absence, with all that proves it to a stranger.

        Raises:
            NotYetProved: the head's header does not commit to that tree's root yet.
        """

    def block(self, height: int) -> Block:
        """A block; ValueError if there is no such height."""

    def prove_transaction(self, height: int, index: int) -> ProvedTransaction:
        """A transaction with the ledger's answer, proved below the head.

        Raises:
            ValueError: there is no such block or transaction.
            NotYetProved: its block is the head, and the next header proves its answer.
        """

    def prove_block(self, height: int) -> Proof | None:
        """That a block is in the head's history; none for the head itself; ValueError if there is
        no such height."""

    def receipts(self, height: int) -> tuple[Receipt, ...]:
        """The receipts of record of a block; ValueError if there is no such block."""

    def events(self, from_height: int = 1) -> Iterator[tuple[int, Event]]:
        """What happened from a block on, each with its block's height."""


class Host(View, Protocol):
    """A chain that takes transactions."""

    def submit(self, transaction: bytes) -> Receipt:
        """Offer a transaction for a coming block. The answer is local: whether it was let in. The
        receipt of record comes with the block. The same bytes again change nothing."""
