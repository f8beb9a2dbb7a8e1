"""An engine that decides blocks alone, for tests; it keeps them over an application's crashes.

It does what CometBFT does towards an application, in the same order, and checks what CometBFT
checks: the handshake with replay, the app hash, proposals that fit, one result a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft.genesis import app_state
from peerwatt.hosts.cometbft.messages import REQUEST, RESPONSE
from peerwatt.hosts.cometbft.parts import (
    Misbehavior,
    Timestamp,
    Validator,
    ValidatorUpdate,
    Verdict,
)
from peerwatt.hosts.cometbft.server import Session
from peerwatt.hosts.cometbft.wire import Frames, Message, frame
from peerwatt.records.codec import decode
from peerwatt.records.members import Genesis

PROPOSER = b"proposer address 20b"
LIAR = b"validator who lied.."
MAX_TX_BYTES = 1 << 22
R = TypeVar("R", bound=Message)


class Line:
    """One connection to an application, through the bytes of the wire but without a socket."""

    def __init__(self, answer: Callable[[Message], Message]) -> None:
        self.session = Session(answer)
        self._frames = Frames()

    def ask(self, request: Message, kind: type[R]) -> R:
        """The response, which must be of this kind."""
        self.session.receive(frame(REQUEST.encode(request)))
        (response,) = map(RESPONSE.decode, self._frames.feed(self.session.turn()))
        assert isinstance(response, kind), response
        return response


class FakeEngine:
    """A chain of decided blocks, a mempool, and a connection to an application."""

    def __init__(self, genesis: bytes) -> None:
        self.genesis = genesis
        self.blocks: list[abci.RequestFinalizeBlock] = []
        self.results: list[abci.ResponseFinalizeBlock] = []
        self.mempool: list[bytes] = []
        self.genesis_hash = b""
        self.validators: tuple[ValidatorUpdate, ...] = ()

    def connect(self, answer: Callable[[Message], Message]) -> None:
        """Begin a chain or bring the application up to the engine's height, as a handshake does."""
        self.line = Line(answer)
        info = self.line.ask(abci.RequestInfo(version="0.40.0"), abci.ResponseInfo)
        if info.last_block_height == 0:
            started = self.line.ask(self._init_chain(), abci.ResponseInitChain)
            assert self.genesis_hash in (b"", started.app_hash)
            self.genesis_hash = started.app_hash
        assert info.last_block_height <= len(self.blocks), "the application is ahead"
        hashes = [self.genesis_hash, *(each.app_hash for each in self.results)]
        if info.last_block_height < len(hashes):
            assert info.last_block_app_hash == hashes[info.last_block_height]
        for block in self.blocks[info.last_block_height :]:
            self._execute(block)

    def _init_chain(self) -> abci.RequestInitChain:
        return abci.RequestInitChain(
            time=Timestamp(seconds=1),
            chain_id=decode(self.genesis, Genesis).chain_id,
            validators=self.validators,
            app_state_bytes=json.dumps(app_state(self.genesis)).encode(),
            initial_height=1,
        )

    def offer(self, transaction: bytes) -> abci.ResponseCheckTx:
        """What a client's broadcast does."""
        checked = self.line.ask(abci.RequestCheckTx(tx=transaction), abci.ResponseCheckTx)
        if checked.code == 0:
            self.mempool.append(transaction)
        return checked

    def decide(self, **about: Any) -> abci.ResponseFinalizeBlock:
        """One block from proposal to commit."""
        for _ in self.steps(**about):
            pass
        return self.results[-1]

    def steps(
        self,
        time_s: int = 1,
        extra: Sequence[bytes] = (),
        misbehavior: Sequence[bytes] = (),
    ) -> Iterator[str]:
        """The same, with a pause after each step, at which an application may die."""
        height = len(self.blocks) + 1
        prepared = self.line.ask(
            abci.RequestPrepareProposal(
                max_tx_bytes=MAX_TX_BYTES, txs=tuple(self.mempool), height=height
            ),
            abci.ResponsePrepareProposal,
        )
        yield "prepared"
        block = abci.RequestFinalizeBlock(
            txs=(*prepared.txs, *extra),
            misbehavior=tuple(
                Misbehavior(type=1, validator=Validator(address=each, power=1))
                for each in misbehavior
            ),
            hash=height.to_bytes(32, "big"),
            height=height,
            time=Timestamp(seconds=time_s, nanos=5),
            proposer_address=PROPOSER,
        )
        processed = self.line.ask(
            abci.RequestProcessProposal(txs=block.txs, height=height, time=block.time),
            abci.ResponseProcessProposal,
        )
        assert processed.status == Verdict.ACCEPT
        yield "processed"
        self.blocks.append(block)
        yield "decided"
        yield from self._execution(block)
        self.mempool = [each for each in self.mempool if each not in block.txs]
        self._recheck()
        yield "rechecked"

    def _execute(self, block: abci.RequestFinalizeBlock) -> None:
        for _ in self._execution(block):
            pass

    def _execution(self, block: abci.RequestFinalizeBlock) -> Iterator[str]:
        result = self.line.ask(block, abci.ResponseFinalizeBlock)
        assert len(result.tx_results) == len(block.txs)
        if len(self.results) >= block.height:
            assert self.results[block.height - 1] == result, (
                "executed again, it gave another result"
            )
        else:
            self.results.append(result)
        yield "finalized"
        self.line.ask(abci.RequestCommit(), abci.ResponseCommit)
        yield "committed"

    def _recheck(self) -> None:
        """What still waits is checked again after a block, in its order."""
        waiting, self.mempool = self.mempool, []
        for each in waiting:
            request = abci.RequestCheckTx(tx=each, type=abci.RECHECK)
            if self.line.ask(request, abci.ResponseCheckTx).code == 0:
                self.mempool.append(each)
