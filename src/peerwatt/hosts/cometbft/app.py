"""The application that an engine's validator runs: every request of ABCI 2.0 has its answer here.

Knows the chain, its snapshots and the messages; no sockets. One request at a time, by one
thread. An error that comes out of `answer` is fatal: the node must stop.
"""

from __future__ import annotations

import logging

from peerwatt import __version__
from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft import proposals, queries
from peerwatt.hosts.cometbft.admission import Admission
from peerwatt.hosts.cometbft.chain import Decided, DecidedChain, validator_id
from peerwatt.hosts.cometbft.genesis import GenesisError, check_chain_id, read_app_state
from peerwatt.hosts.cometbft.parts import (
    Attribute,
    Event,
    ExecTxResult,
    Verdict,
)
from peerwatt.hosts.cometbft.queries import CODESPACE
from peerwatt.hosts.cometbft.wire import Message
from peerwatt.hosts.host import Ledger
from peerwatt.hosts.store import Store
from peerwatt.records.codec import encode
from peerwatt.records.receipts import BlockResult, Reason, Receipt

APP_VERSION = 1
NAME = "peerwatt"

logger = logging.getLogger(__name__)


class Application:
    """A ledger under an engine.

    Args:
        ledger: the contracts.
        store: where the chain is kept; the application goes on from what it holds.
        genesis: canonical bytes of the ledger's `Genesis`; the engine must bring the same.
        keep_blocks: how many blocks the engine is asked to keep; 0 for all (an archive).

    Raises:
        StoreError: the store holds another chain, or is damaged.
        ValueError: the ledger refuses the genesis.
    """

    def __init__(
        self, ledger: Ledger, store: Store, genesis: bytes, *, keep_blocks: int = 0
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._genesis = genesis
        self._keep_blocks = keep_blocks
        self._load()

    def _load(self) -> None:
        self._chain = DecidedChain(self._ledger, self._store, self._genesis)
        self._kept_hash = self._chain.app_hash
        self._admission = Admission(self._ledger, self._chain)

    @property
    def chain(self) -> DecidedChain:
        """The chain, to read."""
        return self._chain

    def answer(self, request: Message) -> Message:
        """The response to a request."""
        match request:
            case abci.RequestCheckTx():
                return self._check_tx(request)
            case abci.RequestQuery():
                return queries.answer(self._chain, request)
            case abci.RequestPrepareProposal():
                taken = proposals.take(request.txs, request.max_tx_bytes)
                return abci.ResponsePrepareProposal(txs=tuple(taken))
            case abci.RequestProcessProposal():
                return self._process_proposal(request)
            case abci.RequestFinalizeBlock():
                return self._finalize_block(request)
            case abci.RequestCommit():
                return self._commit()
            case abci.RequestInfo():
                return self._info()
            case abci.RequestInitChain():
                return self._init_chain(request)
            case abci.RequestEcho():
                return abci.ResponseEcho(message=request.message)
            case abci.RequestFlush():
                return abci.ResponseFlush()
            case abci.RequestExtendVote():
                return abci.ResponseExtendVote()
            case abci.RequestVerifyVoteExtension():
                empty = not request.vote_extension
                return abci.ResponseVerifyVoteExtension(
                    status=Verdict.ACCEPT if empty else Verdict.REJECT
                )
        return self._snapshot_request(request)

    def _info(self) -> abci.ResponseInfo:
        """Where the kept state stands, whatever has been executed since."""
        return abci.ResponseInfo(
            data=NAME,
            version=__version__,
            app_version=APP_VERSION,
            last_block_height=self._chain.height,
            last_block_app_hash=self._kept_hash,
        )

    def _init_chain(self, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        """The first state was made when the store was; the engine must mean the same."""
        genesis = read_app_state(request.app_state_bytes)
        check_chain_id(genesis, request.chain_id)
        if genesis != self._genesis:
            raise GenesisError("app_state: is not the genesis that this node was started with")
        if request.initial_height not in (0, 1):
            raise GenesisError(f"initial_height: is {request.initial_height}, must be 1")
        if self._chain.height:
            raise GenesisError(f"the chain has {self._chain.height} blocks and cannot begin again")
        return abci.ResponseInitChain(app_hash=self._kept_hash)

    def _check_tx(self, request: abci.RequestCheckTx) -> abci.ResponseCheckTx:
        receipt = self._admission.check(request.tx)
        return abci.ResponseCheckTx(
            code=receipt.reason,
            data=encode(receipt),
            log=_words(receipt),
            info=receipt.field,
            codespace=CODESPACE,
        )

    def _process_proposal(
        self, request: abci.RequestProcessProposal
    ) -> abci.ResponseProcessProposal:
        problem = proposals.problem(request.txs)
        if problem:
            logger.warning("block %d refused: %s", request.height, problem)
        return abci.ResponseProcessProposal(status=Verdict.REJECT if problem else Verdict.ACCEPT)

    def _finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        result = self._chain.finalize(
            Decided(
                height=request.height,
                block_time_s=request.time.seconds,
                transactions=request.txs,
                proposer=validator_id(request.proposer_address),
                misbehavior=tuple(
                    validator_id(each.validator.address) for each in request.misbehavior
                ),
            )
        )
        return abci.ResponseFinalizeBlock(
            events=_events(result),
            tx_results=tuple(map(_tx_result, result.receipts)),
            app_hash=self._chain.app_hash,
        )

    def _commit(self) -> abci.ResponseCommit:
        self._chain.commit()
        self._kept_hash = self._chain.app_hash
        self._admission.renew()
        return abci.ResponseCommit(retain_height=self._retain_height())

    def _retain_height(self) -> int:
        """From which height on the engine must keep its blocks; 0 for all."""
        return max(0, self._chain.height - self._keep_blocks) if self._keep_blocks else 0

    def _snapshot_request(self, request: Message) -> Message:
        match request:
            case abci.RequestListSnapshots():
                return abci.ResponseListSnapshots()
        raise TypeError(f"{type(request).__name__}: is not served")


def _tx_result(receipt: Receipt) -> ExecTxResult:
    """A receipt of record; the engine hashes its code and data into the next header."""
    return ExecTxResult(
        code=receipt.reason,
        data=encode(receipt),
        log=_words(receipt),
        info=receipt.field,
        codespace=CODESPACE,
    )


def _words(receipt: Receipt) -> str:
    return "" if receipt.ok else Reason(receipt.reason).words


def _events(result: BlockResult) -> tuple[Event, ...]:
    return tuple(
        Event(
            type=each.kind,
            attributes=(Attribute(key="key", value=each.key.hex(), index=True),),
        )
        for each in result.events
    )
