"""The application that an engine's validator runs: every request of ABCI 2.0 has its answer here.

Knows the chain, its snapshots and the messages; no sockets. One request at a time, by one
thread. An error that comes out of `answer` is fatal: the node must stop.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from peerwatt import __version__
from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft import proposals, queries
from peerwatt.hosts.cometbft.admission import Admission
from peerwatt.hosts.cometbft.chain import Decided, DecidedChain, validator_id
from peerwatt.hosts.cometbft.genesis import GenesisError, check_chain_id, read_app_state
from peerwatt.hosts.cometbft.node_files import VALIDATOR_POWER
from peerwatt.hosts.cometbft.parts import (
    ApplyResult,
    Attribute,
    Event,
    ExecTxResult,
    OfferResult,
    PublicKey,
    ValidatorUpdate,
    Verdict,
)
from peerwatt.hosts.cometbft.queries import CODESPACE
from peerwatt.hosts.cometbft.snapshots import (
    FORMAT,
    Arrival,
    Shelf,
    SnapshotError,
    restore,
)
from peerwatt.hosts.cometbft.wire import Message
from peerwatt.hosts.host import Ledger
from peerwatt.hosts.store import Store
from peerwatt.records.codec import encode
from peerwatt.records.receipts import BlockResult, Reason, Receipt

APP_VERSION = 1
NAME = "peerwatt"
FORGET_EVERY = 64
"""In how many blocks old ones are forgotten: each time costs a write to the disk."""

logger = logging.getLogger(__name__)


class Application:
    """A ledger under an engine.

    Args:
        ledger: the contracts.
        store: where the chain is kept; the application goes on from what it holds.
        genesis: canonical bytes of the ledger's `Genesis`; the engine must bring the same.
        shelf: where snapshots are kept for new nodes.
        keep_blocks: how many blocks are kept, by the engine too; 0 for all (an archive).

    Raises:
        StoreError: the store holds another chain, or is damaged.
        ValueError: the ledger refuses the genesis.
    """

    def __init__(
        self, ledger: Ledger, store: Store, genesis: bytes, shelf: Shelf, *, keep_blocks: int = 0
    ) -> None:
        if keep_blocks and keep_blocks < max(2, shelf.blocks_covered):
            raise ValueError(
                f"keep_blocks: is {keep_blocks}, must be 0 (all) or at least "
                f"{max(2, shelf.blocks_covered)}, which the snapshots need"
            )
        self._ledger = ledger
        self._store = store
        self._genesis = genesis
        self._shelf = shelf
        self._keep_blocks = keep_blocks
        self._arrival: Arrival | None = None
        self._load()
        self._forget_blocks(1)

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
        _check_validators(self._chain.validators, request.validators)
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
        self._chain.forget()
        before = self._chain.validators
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
            validator_updates=_updates(before, self._chain.validators),
            app_hash=self._chain.app_hash,
        )

    def _commit(self) -> abci.ResponseCommit:
        self._chain.commit()
        self._kept_hash = self._chain.app_hash
        self._admission.renew()
        self._shelf.take_if_due(self._store, self._chain.height)
        if self._chain.height % FORGET_EVERY == 0:
            self._forget_blocks(self._first_kept - FORGET_EVERY)
        return abci.ResponseCommit(retain_height=self._first_kept)

    @property
    def _first_kept(self) -> int:
        """The height of the first block that must be kept; 0 for all."""
        return max(0, self._chain.height - self._keep_blocks + 1) if self._keep_blocks else 0

    def _forget_blocks(self, first: int) -> None:
        if self._first_kept > 1:
            self._chain.forget_blocks(first, self._first_kept)

    def _snapshot_request(self, request: Message) -> Message:
        match request:
            case abci.RequestListSnapshots():
                return abci.ResponseListSnapshots(snapshots=self._shelf.offered)
            case abci.RequestLoadSnapshotChunk():
                chunk = self._shelf.chunk(request.height, request.format, request.chunk)
                return abci.ResponseLoadSnapshotChunk(chunk=chunk)
            case abci.RequestOfferSnapshot():
                return abci.ResponseOfferSnapshot(result=self._offer(request))
            case abci.RequestApplySnapshotChunk():
                return self._apply_chunk(request)
        raise TypeError(f"{type(request).__name__}: is not a request")

    def _offer(self, request: abci.RequestOfferSnapshot) -> OfferResult:
        """Whether to restore a snapshot: only onto an empty chain, and only if it makes sense."""
        self._arrival = None
        if self._chain.height:
            logger.warning("snapshot refused: the chain has %d blocks", self._chain.height)
            return OfferResult.ABORT
        if request.snapshot.format != FORMAT:
            return OfferResult.REJECT_FORMAT
        try:
            self._arrival = Arrival(request.snapshot, request.app_hash)
        except SnapshotError as error:
            logger.warning("snapshot of %d refused: %s", request.snapshot.height, error)
            return OfferResult.REJECT
        return OfferResult.ACCEPT

    def _apply_chunk(
        self, request: abci.RequestApplySnapshotChunk
    ) -> abci.ResponseApplySnapshotChunk:
        arrival = self._arrival
        if arrival is None:
            return abci.ResponseApplySnapshotChunk(result=ApplyResult.ABORT)
        if not arrival.add(request.index, request.chunk):
            return abci.ResponseApplySnapshotChunk(
                result=ApplyResult.RETRY,
                refetch_chunks=(request.index,),
                reject_senders=(request.sender,) if request.sender else (),
            )
        if arrival.is_complete:
            self._arrival = None
            try:
                contents = arrival.open(self._ledger, self._genesis)
            except SnapshotError as error:
                logger.warning("snapshot refused: %s", error)
                return abci.ResponseApplySnapshotChunk(result=ApplyResult.REJECT_SNAPSHOT)
            restore(contents, self._store)
            self._load()
        return abci.ResponseApplySnapshotChunk(result=ApplyResult.ACCEPT)


def _check_validators(known: Sequence[bytes], engines: Sequence[ValidatorUpdate]) -> None:
    """Refuse an engine's genesis whose validators are not the members', where members have any;
    else the members' votes would move another set than the engine's."""
    if known and _updates((), known) != tuple(sorted(engines, key=_key_of)):
        raise GenesisError(
            "validators: the engine's are not those of the ledger's members, "
            f"each with power {VALIDATOR_POWER}"
        )


def _updates(before: Sequence[bytes], after: Sequence[bytes]) -> tuple[ValidatorUpdate, ...]:
    """What a block changed in the set of validators, for the engine; all have the same power."""
    gone = [key for key in before if key not in after]
    come = [key for key in after if key not in before]
    powers = {**dict.fromkeys(gone, 0), **dict.fromkeys(come, VALIDATOR_POWER)}
    updates = [
        ValidatorUpdate(pub_key=PublicKey(ed25519=key), power=power)
        for key, power in powers.items()
    ]
    return tuple(sorted(updates, key=_key_of))


def _key_of(update: ValidatorUpdate) -> bytes:
    return update.pub_key.ed25519


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
