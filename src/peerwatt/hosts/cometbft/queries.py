"""What a node answers about its chain: records, with proofs that the stock light proxy checks.

Knows the chain and the wire. A path names what is asked for, the data its key or scope:
`/store/NAME/key` a record of a hashed table, with proof if asked for; `/items/NAME` all records
of a table's scope; `/sealed/NAME` the entries of a sealed tree; `/block/HEIGHT` a block;
`/result/HEIGHT` what it did.
"""

from __future__ import annotations

from peerwatt.hosts.cometbft.chain import DecidedChain
from peerwatt.hosts.cometbft.messages import RequestQuery, ResponseQuery
from peerwatt.hosts.cometbft.parts import Proof, ProofOp, ProofOps, ValueOp
from peerwatt.hosts.cometbft.wire import encode as to_wire
from peerwatt.records.codec import encode
from peerwatt.records.merkle import Absence, Evidence
from peerwatt.records.merkle import Proof as MerkleProof

CODESPACE = "peerwatt"
REFUSED = 1
VALUE_OP = "simple:v"
ABSENCE_OP = "peerwatt:absent"


def answer(chain: DecidedChain, request: RequestQuery) -> ResponseQuery:
    """The answer to a query; one that cannot be answered says why in one line."""
    try:
        return _answer(chain, request)
    except ValueError as error:
        return ResponseQuery(
            code=REFUSED, log=str(error), key=request.data, codespace=CODESPACE, height=chain.height
        )


def _answer(chain: DecidedChain, request: RequestQuery) -> ResponseQuery:
    match request.path.split("/")[1:]:
        case ["store", name, "key"] if request.prove:
            return _proved(chain, name, request)
        case ["store", name, "key"]:
            record = chain.get(name, request.data)
            value = b"" if record is None else encode(record)
        case ["items", name]:
            items = chain.items(name, request.data)
            value = encode([(key, encode(record)) for key, record in items])
        case ["sealed", name]:
            value = encode(chain.sealed(name, request.data))
        case ["block", height]:
            value = encode(chain.block(_number(height)))
        case ["result", height]:
            value = encode(chain.result(_number(height)))
        case _:
            raise ValueError("path: must be /store/NAME/key, /items/NAME, /sealed/NAME, /block/N "
                             "or /result/N")  # fmt: skip
    if request.prove:
        raise ValueError("prove: there are proofs of /store/NAME/key only")
    if request.height not in (0, chain.height):
        raise ValueError(f"height: is {request.height}, the state kept is that of {chain.height}")
    return ResponseQuery(key=request.data, value=value, height=chain.height)


def _proved(chain: DecidedChain, name: str, request: RequestQuery) -> ResponseQuery:
    if not request.data:
        raise ValueError("data: must be the record's key")
    found = chain.proved(name, request.data)
    if request.height not in (0, found.height):
        raise ValueError(
            f"height: is {request.height}, what can be proved now is the state of {found.height}"
        )
    ops = (
        _op(request.data, found.proof.entry),
        _op(name.encode(), found.proof.store),
    )
    return ResponseQuery(
        key=request.data,
        value=found.value or b"",
        proof_ops=ProofOps(ops=ops),
        height=found.height,
    )


def _op(key: bytes, evidence: Evidence) -> ProofOp:
    if isinstance(evidence, Absence):
        return ProofOp(type=ABSENCE_OP, key=key, data=encode(evidence))
    return ProofOp(
        type=VALUE_OP, key=key, data=to_wire(ValueOp(key=key, proof=_wire_proof(evidence)))
    )


def _wire_proof(proof: MerkleProof) -> Proof:
    return Proof(total=proof.total, index=proof.index, leaf_hash=proof.leaf_hash, aunts=proof.aunts)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(f"path: '{text[:20]}' is no height")
    return int(text)
