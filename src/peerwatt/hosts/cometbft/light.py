"""Headers that an engine's validators signed, checked from a genesis on: a light client.

Knows the engine's header, its hash and the votes under it, and asks nodes that it does not
believe. A header counts when more than two thirds of its validators' power signed it, and when
more than a third of a set trusted before is among the signers, or it is the very next one and
its validators are those that the trusted header announced; where neither holds, a header halfway
is checked first (the skipping verification of Braithwaite et al. 2020,
https://doi.org/10.4230/OASIcs.FMBC.2020.10). Who may have bought old validators' keys must not
start from a genesis: then start from a header that is known otherwise.
"""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, NamedTuple

from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from peerwatt.hosts.cometbft.parts import PublicKey, Timestamp
from peerwatt.hosts.cometbft.rpc import Nodes, Refused, Rpc, Unusable, field, number
from peerwatt.hosts.cometbft.wire import Message, encode, frame
from peerwatt.records.merkle import tree_root

ED25519 = "tendermint/PubKeyEd25519"
PRECOMMIT = 2
SIGNED_FOR_BLOCK = 2
MAX_VALIDATORS = 100
"""As many as one answer of a node holds."""
MAX_KEPT = 1 << 14
NO_EVIDENCE = sha256().digest()
"""What a header has as its evidence's hash when there is none."""
NOT_KEPT = "is not available, lowest height is"
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")

Validators = Mapping[bytes, int]
"""Public keys with their voting power."""


class EngineHeader(NamedTuple):
    """What an engine's header says that an application's chain can be compared with. `app_hash`
    and `results_hash` are of the block before."""

    height: int
    time_s: int
    app_hash: bytes
    data_hash: bytes
    results_hash: bytes
    evidence_hash: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    proposer_address: bytes
    hash: bytes


class _Text(Message):
    value: Annotated[str, 1] = ""


class _Number(Message):
    value: Annotated[int, 1] = 0


class _Bytes(Message):
    value: Annotated[bytes, 1] = b""


class _Version(Message):
    block: Annotated[int, 1] = 0
    app: Annotated[int, 2] = 0


class _Parts(Message):
    total: Annotated[int, 1] = 0
    hash: Annotated[bytes, 2] = b""


class _BlockId(Message):
    hash: Annotated[bytes, 1] = b""
    parts: Annotated[_Parts | None, 2] = None


class _Validator(Message):
    pub_key: Annotated[PublicKey | None, 1] = None
    power: Annotated[int, 2] = 0


def read_validators(rows: Any) -> dict[bytes, int]:
    """The validators in a genesis or in a node's answer; Unusable if they are not in its form."""
    found = {}
    for row in rows if isinstance(rows, list) else ():
        if field(row, "pub_key", "type") != ED25519:
            raise Unusable("a validator's key is not of Ed25519")
        key = _base64(row, "pub_key", "value")
        power = number(row, "voting_power" if "voting_power" in row else "power")
        if len(key) != 32 or power <= 0:
            raise Unusable("a validator's key or power is none")
        found[key] = power
    return found


def validators_hash(validators: Validators) -> bytes:
    """The hash by which headers name a set: strongest first, then by address."""
    ordered = sorted(validators.items(), key=lambda each: (-each[1], sha256(each[0]).digest()[:20]))
    return tree_root(
        encode(_Validator(pub_key=PublicKey(ed25519=key), power=power)) for key, power in ordered
    )


def read_header(document: Any) -> tuple[EngineHeader, str]:
    """A header in a node's answer, and its chain; Unusable if it is not in its form."""
    time = _time(field(document, "time"))
    hexes = {
        name: _hex(document, name)
        for name in (
            *("last_commit_hash", "data_hash", "validators_hash", "next_validators_hash"),
            *("consensus_hash", "app_hash", "last_results_hash", "evidence_hash"),
            "proposer_address",
        )
    }
    height, chain_id = number(document, "height"), str(field(document, "chain_id"))
    version = field(document, "version")
    app = number(version, "app") if "app" in version else 0
    leaves = (
        encode(_Version(block=number(version, "block"), app=app)),
        encode(_Text(value=chain_id)),
        encode(_Number(value=height)),
        encode(time),
        encode(_block_id(field(document, "last_block_id"))),
        *(encode(_Bytes(value=each)) for each in hexes.values()),
    )
    header = EngineHeader(
        height=height,
        time_s=time.seconds,
        app_hash=hexes["app_hash"],
        data_hash=hexes["data_hash"],
        results_hash=hexes["last_results_hash"],
        evidence_hash=hexes["evidence_hash"],
        validators_hash=hexes["validators_hash"],
        next_validators_hash=hexes["next_validators_hash"],
        proposer_address=hexes["proposer_address"],
        hash=tree_root(leaves),
    )
    return header, chain_id


def signers(chain_id: str, commit: Any, validators: Validators) -> int:
    """The power of those of these validators whose signatures stand under a commit's block."""
    by_address = {sha256(key).digest()[:20]: key for key in validators}
    power = 0
    for each in field(commit, "signatures"):
        if number(each, "block_id_flag") != SIGNED_FOR_BLOCK:
            continue
        key = by_address.pop(_hex(each, "validator_address"), None)
        if key is None:
            continue
        vote = sign_bytes(chain_id, commit, field(each, "timestamp"))
        if _is_signed(key, vote, _base64(each, "signature")):
            power += validators[key]
    return power


def sign_bytes(chain_id: str, commit: Any, timestamp: Any) -> bytes:
    """What a validator signed at a time for a commit's block: a canonical vote behind its length.
    Height and round are of fixed length there, and a round of 0 is left out."""
    height, round_ = number(commit, "height"), number(commit, "round")
    parts = [
        bytes((0x08, PRECOMMIT, 0x11)) + height.to_bytes(8, "little"),
        b"\x19" + round_.to_bytes(8, "little") if round_ else b"",
        b"\x22" + frame(encode(_block_id(field(commit, "block_id")))),
        b"\x2a" + frame(encode(_time(timestamp))),
        b"\x32" + frame(chain_id.encode()),
    ]
    return frame(b"".join(parts))


def _is_signed(key: bytes, data: bytes, signature: bytes) -> bool:
    try:
        crypto_sign_open(signature + data, key)
    except (CryptoError, ValueError):
        return False
    return len(signature) == 64


class _Trusted(NamedTuple):
    """A header that was checked, as far as others follow from it."""

    height: int
    validators: Validators
    validators_hash: bytes
    next_validators_hash: bytes


class LightClient:
    """Asks nodes for headers and believes only what enough validators signed.

    Args:
        nodes: whom to ask.
        validators: those of the genesis, which are trusted.
    """

    def __init__(self, nodes: Nodes, validators: Validators) -> None:
        self._nodes = nodes
        first = validators_hash(validators)
        self._trusted = [_Trusted(0, validators, first, first)]
        self._kept: OrderedDict[int, EngineHeader] = OrderedDict()

    def header(self, height: int) -> EngineHeader:
        """The header of a block that is decided.

        Raises:
            Unusable: no node has one that enough trusted validators signed.
            Refused: there is no such block.
            ValueError: the height is below 1.
        """
        if height < 1:
            raise ValueError(f"height: must be 1 or more, is {height}")
        if height not in self._kept:
            self._kept[height] = self._nodes.ask(lambda node: self._ask(node, height))
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return self._kept[height]

    def _ask(self, node: Rpc, height: int, *, halfway: bool = False) -> EngineHeader:
        below = (each for each in self._trusted if each.height < height)
        base = max(below, key=lambda each: each.height)
        signed = field(_call(node, "commit", height=str(height)), "signed_header")
        header, chain_id = read_header(field(signed, "header"))
        commit = field(signed, "commit")
        claimed = (chain_id, header.height, number(commit, "height"), header.hash)
        due = (self._nodes.chain_id, height, height, _hex(commit, "block_id", "hash"))
        if claimed != due:
            raise Unusable(f"{node.url}: header {height} is not the one that was signed")
        validators = self._validators(node, header, base)
        power, total = signers(chain_id, commit, validators), sum(validators.values())
        if 3 * power <= 2 * total:
            why = f"is signed by a power of {power} of {total}, not more than two thirds"
            raise Unusable(f"{node.url}: header {height} {why}")
        if not self._follows(base, header, commit):
            self._ask(node, (base.height + height) // 2, halfway=True)
            return self._ask(node, height, halfway=halfway)
        found = header.validators_hash, header.next_validators_hash
        if halfway or found != base[2:]:
            self._trusted.append(_Trusted(height, validators, *found))
        return header

    def _validators(self, node: Rpc, header: EngineHeader, base: _Trusted) -> Validators:
        """Who may sign a header: asked for only when it is not the trusted set."""
        if header.validators_hash == base.validators_hash:
            return base.validators
        words = {"height": str(header.height), "page": "1", "per_page": str(MAX_VALIDATORS)}
        found = read_validators(field(_call(node, "validators", **words), "validators"))
        if validators_hash(found) != header.validators_hash:
            raise Unusable(f"{node.url}: the validators of {header.height} are not its header's")
        return found

    def _follows(self, base: _Trusted, header: EngineHeader, commit: Any) -> bool:
        """Whether a header that its own validators signed is to be believed from a trusted one."""
        if header.height == base.height + 1:
            if header.validators_hash == base.next_validators_hash:
                return True
            raise Unusable(f"header {header.height} has validators that were not announced")
        power = signers(self._nodes.chain_id, commit, base.validators)
        return 3 * power > sum(base.validators.values())


def _call(node: Rpc, method: str, **params: Any) -> Any:
    """A call about a height, which a node may keep no more; another may."""
    try:
        return node.call(method, **params)
    except Refused as error:
        if NOT_KEPT in error.why:
            raise Unusable(str(error)) from None
        raise


def _block_id(document: Any) -> _BlockId:
    parts = _Parts(total=number(document, "parts", "total"), hash=_hex(document, "parts", "hash"))
    return _BlockId(hash=_hex(document, "hash"), parts=parts)


def _time(text: Any) -> Timestamp:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise Unusable("a node's answer has no time where one must be")
    at = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return Timestamp(seconds=int(at.timestamp()), nanos=int((found[2] or "").ljust(9, "0")))


def _hex(answer: Any, *path: str) -> bytes:
    found = field(answer, *path)
    try:
        return bytes.fromhex(found)
    except (ValueError, TypeError):
        raise Unusable(f"a node's answer has no bytes as {'.'.join(path)}") from None


def _base64(answer: Any, *path: str) -> bytes:
    found = field(answer, *path)
    try:
        return base64.b64decode(found, validate=True)
    except (ValueError, TypeError):
        raise Unusable(f"a node's answer has no bytes as {'.'.join(path)}") from None
