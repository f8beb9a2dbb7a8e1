"""A chain whose blocks an engine decides: executed first, kept when the engine says so.

Knows replicas. A block's header is derived from what was decided, alike on every node, and
carries the same app hash as the engine's header of that height. No one key signs it: the
engine's validators sign theirs.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from peerwatt.hosts.host import NotYetProved
from peerwatt.hosts.replica import BlockRefused, Replica, Run
from peerwatt.records.chain import UNSIGNED
from peerwatt.records.merkle import StoreProof
from peerwatt.records.receipts import Block, BlockResult, Header, SignedHeader

ADDRESS_BYTES = 20
MEMBERS = "members"
"""The table of the ledger that says who runs validators."""
_KEY_BYTES = 32


def validator_id(address: bytes) -> bytes:
    """How records name a validator: its address, the first 20 bytes of its key's SHA-256, and 12
    zero bytes. (Blocks name it by address only, and its key can be gone from the set by then.)

    Raises:
        ValueError: the address has another length.
    """
    if len(address) != ADDRESS_BYTES:
        raise ValueError(f"address: must have {ADDRESS_BYTES} bytes, has {len(address)}")
    return address.ljust(_KEY_BYTES, b"\0")


class Decided(NamedTuple):
    """What an engine says of a block: time (unix seconds), transactions, and ids of validators."""

    height: int
    block_time_s: int
    transactions: tuple[bytes, ...]
    proposer: bytes
    misbehavior: tuple[bytes, ...] = ()


class Proved(NamedTuple):
    """A value of the state after the block at `height` (none if there is none), and its proof."""

    value: bytes | None
    proof: StoreProof
    height: int


class DecidedChain(Replica):
    """A chain moved on by what an engine decides; a `View` of it. One thread's."""

    _running: Run | None = None

    def finalize(self, decided: Decided) -> BlockResult:
        """Execute a decided block. Nothing is kept before `commit`; what was executed and not kept
        before is forgotten.

        Raises:
            BlockRefused: it is not the next block, or its time runs backwards.
        """
        self.forget()
        due = self.height + 1
        if decided.height != due:
            raise BlockRefused(due, "height", f"is {decided.height}, must be {due}")
        header = self._next_header(
            decided.block_time_s, decided.transactions, decided.proposer, decided.misbehavior
        )
        signed = SignedHeader(header=header, signature=UNSIGNED)
        block = Block(signed_header=signed, transactions=decided.transactions)
        self._running = self._run(block)
        return self._running.result

    def commit(self) -> None:
        """Keep the block that was executed.

        Raises:
            ValueError: there is none.
            StoreError: it could not be kept; the chain is as before.
        """
        run, self._running = self._running, None
        if run is None:
            raise ValueError("commit: no block has been executed since the last one was kept")
        self._keep(run)

    def forget(self) -> None:
        """Take back what was executed and not kept."""
        if self._running is not None:
            self._running = None
            self._state.cancel()

    @property
    def is_running(self) -> bool:
        """Whether a block has been executed and is not kept yet."""
        return self._running is not None

    @property
    def validators(self) -> tuple[bytes, ...]:
        """The keys of the members' validators, ascending, after the newest block, kept or not."""
        members = self._state.tables.get(MEMBERS)
        if members is None:
            return ()
        state = self._state if self._running is None else self._running.overlay
        return tuple(sorted(each.validator for _, each in state.items(members) if each.validator))

    def proved(self, store: str, key: bytes) -> Proved:
        """A value or its absence, proved to the newest app hash that a decided header carries: that
        before the newest block, kept or not.

        Raises:
            NotYetProved: that is the first state, which has no height.
            ValueError: there is no such table, or no header commits to it.
        """
        height = self.height if self.is_running else self.height - 1
        if not self._table(store).hashed:
            raise ValueError(f"store: '{store}' is an index, which no header commits to")
        if height < 1:
            raise NotYetProved("no header commits to a block's state before block 2")
        value, proof = self._state.prove(store, key)
        return Proved(value, proof, height)

    def forget_blocks(self, first: int, below: int) -> None:
        """Keep no more than the ids of blocks of these heights, all long before the last."""
        self._store.forget_blocks(first, min(below, self.height))

    def export(self, folder: Path) -> None:
        """Write the chain as files from which anyone can run it again.

        Raises:
            ValueError: this node has not kept every block.
        """
        if self.height:
            self.block(1)
        super().export(folder)

    def _misbehavior_in(self, header: Header) -> tuple[bytes, ...]:
        return header.context.misbehavior

    def _check_author(self, signed: SignedHeader) -> None:
        if signed.signature != UNSIGNED:
            why = "is not empty, on a chain whose engine's validators sign"
            raise BlockRefused(self.height + 1, "signature", why)
