"""The reference ledger's rows, its own rounding, its own hash trees and its own signatures' check.

Knows the records' bytes. It is slow and plain, and shares no rule with the contracts, the hosts or
the trees that it is there to judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

from msgspec.structs import replace
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from peerwatt.contracts.state import TABLES
from peerwatt.records.codec import encode
from peerwatt.records.members import Account, Role
from peerwatt.records.merkle import Absence, Evidence, Proof

HASHED = tuple(table.name for table in TABLES if table.hashed)
INDEXES = ("meter_progress", "reward_terms", "contributions", "histories", "agenda")
BY_ROUND = (
    *("orders", "sealed_orders", "port_orders", "prices", "absences", "revisions", "auctions"),
    *("awards", "readings", "settlements", "trades"),
)
_signed: dict[tuple[bytes, ...], bool] = {}
MOST_REMEMBERED = 20_000
POT = bytes(32)
REWARDS = (1).to_bytes(32, "big")
HORIZON_S = 31 * 86_400


class Rows:
    """Records by table, round and key; a copy shares nothing that can change."""

    __slots__ = ("_shelves",)

    def __init__(self) -> None:
        self._shelves: dict[tuple[str, bytes], dict[bytes, Any]] = {}

    def shelf(self, table: str, scope: bytes = b"") -> Mapping[bytes, Any]:
        """All records of a table (of one round)."""
        return self._shelves.get((table, scope), {})

    def get(self, table: str, key: bytes, scope: bytes = b"") -> Any:
        """The record under a key, or none."""
        shelf = self._shelves.get((table, scope))
        return None if shelf is None else shelf.get(key)

    def put(self, table: str, key: bytes, record: Any, scope: bytes = b"") -> None:
        """Write a record."""
        self._shelves.setdefault((table, scope), {})[key] = record

    def drop(self, table: str, key: bytes, scope: bytes = b"") -> None:
        """Take a record out that is there."""
        shelf = self._shelves[table, scope]
        del shelf[key]
        if not shelf:
            del self._shelves[table, scope]

    def clear(self, table: str, scope: bytes) -> None:
        """Take out all records of a round."""
        self._shelves.pop((table, scope), None)

    def copy(self) -> Rows:
        """The same rows, to be changed apart from these."""
        other = Rows()
        other._shelves = {slot: dict(shelf) for slot, shelf in self._shelves.items()}
        return other

    def app_hash(self) -> bytes:
        """The hash over every hashed table."""
        stores = [
            (name.encode(), entries_root([(k, encode(v)) for k, v in self.shelf(name).items()]))
            for name in HASHED
        ]
        return entries_root(stores)


def move(rows: Rows, key: bytes, amount_ucoin: int, *, held: bool = False) -> None:
    """Give an account free coins (or, negative, take them); `held`: from what it holds back."""
    account: Account = rows.get("accounts", key)
    free = account.free_ucoin + amount_ucoin
    kept = account.held_ucoin - (amount_ucoin if held else 0)
    rows.put("accounts", key, replace(account, free_ucoin=free, held_ucoin=kept))


def up(energy_wh: int, price: int) -> int:
    """Energy times price per kWh, in whole ucoin, not below the exact amount."""
    return (energy_wh * price + 999) // 1000


def down(energy_wh: int, price: int) -> int:
    """Energy times price per kWh, in whole ucoin, not above the exact amount."""
    return energy_wh * price // 1000


def is_signed(key: bytes, domain: str, chain_id: str, data: bytes, signature: bytes) -> bool:
    """Whether this key signed this data for that purpose on that chain."""
    if len(key) != 32 or len(signature) != 64:
        return False
    known = (key, domain.encode(), chain_id.encode(), data, signature)
    if known not in _signed:
        if len(_signed) >= MOST_REMEMBERED:
            _signed.clear()
        _signed[known] = _opens(key, f"peerwatt/{domain}/{chain_id}\n".encode() + data, signature)
    return _signed[known]


def _opens(key: bytes, data: bytes, signature: bytes) -> bool:
    try:
        crypto_sign_open(signature + data, key)
    except CryptoError:
        return False
    return True


def may(rows: Rows, key: bytes, role: Role) -> bool:
    """Whether this key is a member's with this role."""
    member = rows.get("members", key)
    return member is not None and role in Role(member.roles)


def ascend(values: Sequence[int] | Sequence[str]) -> bool:
    return all(first < second for first, second in pairwise(values))  # type: ignore[operator]


# --- trees, as RFC 6962 defines them


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, split at the largest power of two below their number."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    half = _half(len(leaves))
    return sha256(b"\1" + tree_root(leaves[:half]) + tree_root(leaves[half:])).digest()


def _half(size: int) -> int:
    half = 1
    while 2 * half < size:
        half *= 2
    return half


def leaf(key: bytes, value_hash: bytes) -> bytes:
    """The leaf hash of an entry; keys are shorter than 128 bytes here."""
    return sha256(b"\0" + bytes([len(key)]) + key + b"\x20" + value_hash).digest()


def entries_root(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The root over entries, by key."""
    return tree_root([leaf(key, sha256(value).digest()) for key, value in sorted(entries)])


def proved_root(proof: Proof) -> bytes:
    """The root that a proof leads to, from the top down; empty where its length is wrong."""

    def root(start: int, end: int, aunts: Sequence[bytes]) -> bytes:
        if end - start == 1:
            return b"" if aunts else proof.leaf_hash
        if not aunts:
            return b""
        middle = start + _half(end - start)
        if proof.index < middle:
            return sha256(b"\1" + root(start, middle, aunts[:-1]) + aunts[-1]).digest()
        return sha256(b"\1" + aunts[-1] + root(middle, end, aunts[:-1])).digest()

    return root(0, proof.total, proof.aunts) if 0 <= proof.index < proof.total else b""


def shows(root: bytes, key: bytes, value: bytes | None, evidence: Evidence) -> bool:
    """Whether evidence shows this value (or none) under this key below this root."""
    if isinstance(evidence, Proof):
        if value is None or evidence.leaf_hash != leaf(key, sha256(value).digest()):
            return False
        return proved_root(evidence) == root
    return value is None and _shows_gap(root, key, evidence)


def _shows_gap(root: bytes, key: bytes, absence: Absence) -> bool:
    sides = [each for each in (absence.left, absence.right) if each is not None]
    for each in sides:
        if each.proof.leaf_hash != leaf(each.key, each.value_hash):
            return False
        if proved_root(each.proof) != root or each.proof.total != sides[0].proof.total:
            return False
    if not sides:
        return root == tree_root([])
    left, right = absence.left, absence.right
    before = -1 if left is None else left.proof.index
    after = sides[0].proof.total if right is None else right.proof.index
    ordered = (left is None or left.key < key) and (right is None or key < right.key)
    return ordered and after == before + 1
