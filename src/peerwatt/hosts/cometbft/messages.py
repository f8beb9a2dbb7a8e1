"""The requests and responses of ABCI 2.0 (CometBFT 0.38 to 0.40, package `tendermint.abci`).

Knows the wire and the messages' parts.
"""

from __future__ import annotations

from typing import Annotated

from peerwatt.hosts.cometbft.parts import (
    Event,
    ExecTxResult,
    Misbehavior,
    ProofOps,
    Snapshot,
    Timestamp,
    ValidatorUpdate,
)
from peerwatt.hosts.cometbft.wire import Message, Union

RECHECK = 1


class RequestEcho(Message):
    """Say this back."""

    message: Annotated[str, 1] = ""


class RequestFlush(Message):
    """Send what you hold back."""


class RequestInfo(Message):
    """Where do you stand?"""

    version: Annotated[str, 1] = ""
    block_version: Annotated[int, 2] = 0
    p2p_version: Annotated[int, 3] = 0
    abci_version: Annotated[str, 4] = ""


class RequestInitChain(Message):
    """A chain begins."""

    time: Annotated[Timestamp, 1] = Timestamp()
    chain_id: Annotated[str, 2] = ""
    validators: Annotated[tuple[ValidatorUpdate, ...], 4] = ()
    app_state_bytes: Annotated[bytes, 5] = b""
    initial_height: Annotated[int, 6] = 0


class RequestQuery(Message):
    """Somebody asks for a record."""

    data: Annotated[bytes, 1] = b""
    path: Annotated[str, 2] = ""
    height: Annotated[int, 3] = 0
    prove: Annotated[bool, 4] = False


class RequestCheckTx(Message):
    """Would this transaction do? Type 1: it was let in before, and a block has come since."""

    tx: Annotated[bytes, 1] = b""
    type: Annotated[int, 2] = 0


class RequestCommit(Message):
    """Keep the block that was finalized."""


class RequestListSnapshots(Message):
    """Which snapshots do you have?"""


class RequestOfferSnapshot(Message):
    """A peer has this snapshot; `app_hash` is the one that the light client verified."""

    snapshot: Annotated[Snapshot, 1] = Snapshot()
    app_hash: Annotated[bytes, 2] = b""


class RequestLoadSnapshotChunk(Message):
    """Give a piece of a snapshot."""

    height: Annotated[int, 1] = 0
    format: Annotated[int, 2] = 0
    chunk: Annotated[int, 3] = 0


class RequestApplySnapshotChunk(Message):
    """A piece of the accepted snapshot, and who sent it."""

    index: Annotated[int, 1] = 0
    chunk: Annotated[bytes, 2] = b""
    sender: Annotated[str, 3] = ""


class RequestPrepareProposal(Message):
    """Make a block of these transactions."""

    max_tx_bytes: Annotated[int, 1] = 0
    txs: Annotated[tuple[bytes, ...], 2] = ()
    misbehavior: Annotated[tuple[Misbehavior, ...], 4] = ()
    height: Annotated[int, 5] = 0
    time: Annotated[Timestamp, 6] = Timestamp()
    proposer_address: Annotated[bytes, 8] = b""


class RequestProcessProposal(Message):
    """Is this block well-formed?"""

    txs: Annotated[tuple[bytes, ...], 1] = ()
    misbehavior: Annotated[tuple[Misbehavior, ...], 3] = ()
    hash: Annotated[bytes, 4] = b""
    height: Annotated[int, 5] = 0
    time: Annotated[Timestamp, 6] = Timestamp()
    proposer_address: Annotated[bytes, 8] = b""


class RequestExtendVote(Message):
    """Add something to a vote (only where vote extensions are on)."""

    hash: Annotated[bytes, 1] = b""
    height: Annotated[int, 2] = 0


class RequestVerifyVoteExtension(Message):
    """Is what another validator added to its vote acceptable?"""

    hash: Annotated[bytes, 1] = b""
    validator_address: Annotated[bytes, 2] = b""
    height: Annotated[int, 3] = 0
    vote_extension: Annotated[bytes, 4] = b""


class RequestFinalizeBlock(Message):
    """This block is decided: execute it."""

    txs: Annotated[tuple[bytes, ...], 1] = ()
    misbehavior: Annotated[tuple[Misbehavior, ...], 3] = ()
    hash: Annotated[bytes, 4] = b""
    height: Annotated[int, 5] = 0
    time: Annotated[Timestamp, 6] = Timestamp()
    next_validators_hash: Annotated[bytes, 7] = b""
    proposer_address: Annotated[bytes, 8] = b""


class ResponseException(Message):
    """The application cannot go on; the engine stops."""

    error: Annotated[str, 1] = ""


class ResponseEcho(Message):
    """What was asked for."""

    message: Annotated[str, 1] = ""


class ResponseFlush(Message):
    """All before this has been sent."""


class ResponseInfo(Message):
    """Where the committed state stands."""

    data: Annotated[str, 1] = ""
    version: Annotated[str, 2] = ""
    app_version: Annotated[int, 3] = 0
    last_block_height: Annotated[int, 4] = 0
    last_block_app_hash: Annotated[bytes, 5] = b""


class ResponseInitChain(Message):
    """The hash of the first state; no validators: those of the engine's genesis."""

    validators: Annotated[tuple[ValidatorUpdate, ...], 2] = ()
    app_hash: Annotated[bytes, 3] = b""


class ResponseQuery(Message):
    """A record, or why not (`code` is not 0)."""

    code: Annotated[int, 1] = 0
    log: Annotated[str, 3] = ""
    info: Annotated[str, 4] = ""
    index: Annotated[int, 5] = 0
    key: Annotated[bytes, 6] = b""
    value: Annotated[bytes, 7] = b""
    proof_ops: Annotated[ProofOps | None, 8] = None
    height: Annotated[int, 9] = 0
    codespace: Annotated[str, 10] = ""


class ResponseCheckTx(Message):
    """Whether a transaction is let in; `code` is the ledger's Reason."""

    code: Annotated[int, 1] = 0
    data: Annotated[bytes, 2] = b""
    log: Annotated[str, 3] = ""
    info: Annotated[str, 4] = ""
    codespace: Annotated[str, 8] = ""


class ResponseCommit(Message):
    """Kept; blocks below `retain_height` may be forgotten."""

    retain_height: Annotated[int, 3] = 0


class ResponseListSnapshots(Message):
    """What can be had."""

    snapshots: Annotated[tuple[Snapshot, ...], 1] = ()


class ResponseOfferSnapshot(Message):
    """Whether to go on with it (`OfferResult`)."""

    result: Annotated[int, 1] = 0


class ResponseLoadSnapshotChunk(Message):
    """A piece, empty if there is none."""

    chunk: Annotated[bytes, 1] = b""


class ResponseApplySnapshotChunk(Message):
    """How it went (`ApplyResult`), what to get again, and from whom no more."""

    result: Annotated[int, 1] = 0
    refetch_chunks: Annotated[tuple[int, ...], 2] = ()
    reject_senders: Annotated[tuple[str, ...], 3] = ()


class ResponsePrepareProposal(Message):
    """The block's transactions."""

    txs: Annotated[tuple[bytes, ...], 1] = ()


class ResponseProcessProposal(Message):
    """`ACCEPT` or `REJECT`."""

    status: Annotated[int, 1] = 0


class ResponseExtendVote(Message):
    """What to add to the vote."""

    vote_extension: Annotated[bytes, 1] = b""


class ResponseVerifyVoteExtension(Message):
    """`ACCEPT` or `REJECT`."""

    status: Annotated[int, 1] = 0


class ResponseFinalizeBlock(Message):
    """What the block did."""

    events: Annotated[tuple[Event, ...], 1] = ()
    tx_results: Annotated[tuple[ExecTxResult, ...], 2] = ()
    validator_updates: Annotated[tuple[ValidatorUpdate, ...], 3] = ()
    app_hash: Annotated[bytes, 5] = b""


REQUEST = Union(
    "request",
    {
        1: RequestEcho,
        2: RequestFlush,
        3: RequestInfo,
        5: RequestInitChain,
        6: RequestQuery,
        8: RequestCheckTx,
        11: RequestCommit,
        12: RequestListSnapshots,
        13: RequestOfferSnapshot,
        14: RequestLoadSnapshotChunk,
        15: RequestApplySnapshotChunk,
        16: RequestPrepareProposal,
        17: RequestProcessProposal,
        18: RequestExtendVote,
        19: RequestVerifyVoteExtension,
        20: RequestFinalizeBlock,
    },
)
RESPONSE = Union(
    "response",
    {
        1: ResponseException,
        2: ResponseEcho,
        3: ResponseFlush,
        4: ResponseInfo,
        6: ResponseInitChain,
        7: ResponseQuery,
        9: ResponseCheckTx,
        12: ResponseCommit,
        13: ResponseListSnapshots,
        14: ResponseOfferSnapshot,
        15: ResponseLoadSnapshotChunk,
        16: ResponseApplySnapshotChunk,
        17: ResponsePrepareProposal,
        18: ResponseProcessProposal,
        19: ResponseExtendVote,
        20: ResponseVerifyVoteExtension,
        21: ResponseFinalizeBlock,
    },
)
