"""Trees against the definition written out, CometBFT's published vectors, and forged proofs."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from peerwatt.records import merkle, trees
from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.merkle import Absence, Neighbour, Proof, StoreProof

LEAVES = st.lists(st.binary(max_size=6), max_size=40)
KEYS = st.binary(max_size=3)
MAPS = st.dictionaries(KEYS, st.binary(max_size=4), max_size=40)
HASHES = st.binary(min_size=32, max_size=32)


def defined_root(hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha256(b"\1" + defined_root(hashes[:split]) + defined_root(hashes[split:])).digest()


def defined_map_root(items: Mapping[bytes, bytes | None]) -> bytes:
    return defined_root(
        [
            merkle.leaf_hash(bytes([len(k)]) + k + b"\x20" + sha256(v or b"").digest())
            for k, v in sorted(items.items())
        ]
    )


@pytest.mark.parametrize(
    ("leaves", "root"),
    [
        ([], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ([b""], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        ([b"L123456"], "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"),
    ],
)
def test_vectors_of_rfc_6962(leaves: list[bytes], root: str) -> None:
    assert merkle.tree_root(leaves).hex() == root


@pytest.mark.parametrize(
    ("items", "root"),
    [
        ({}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ({1: 1}, "a44d3cc7daba1a4600b00a2434b30f8b970652169810d6dfa9fb1793a2189324"),
        ({1: 2}, "0638e99b3445caec9d95c05e1a3fc1487b4ddec6a952ff337080360b0dcc078c"),
        ({1: 1, 2: 2}, "8fd19b19e7bb3f2b3ee0574027d8a5a4cec370464ea2db2fbfa5c7d35bb0cff3"),
        ({1: 1, 2: 2, 3: 3}, "1dd674ec6782a0d586a903c9c63326a41cbe56b3bba33ed6ff5b527af6efb3dc"),
    ],
)
def test_vectors_of_tendermints_simple_map(items: dict[int, int], root: str) -> None:
    """As in store/internal/maps/maps_test.go of the Cosmos SDK: "key1" to "value1" and so on."""
    sealed = [(f"key{k}".encode(), f"value{v}".encode()) for k, v in items.items()]
    assert merkle.sealed_root(sealed).hex() == root
    entries = trees.MerkleMap()
    entries.apply(dict(sealed))
    assert entries.root().hex() == root


def test_a_long_key_has_a_two_byte_length() -> None:
    value_hash = sha256(b"v").digest()
    expected = merkle.leaf_hash(b"\xac\x02" + b"k" * 300 + b"\x20" + value_hash)
    assert merkle.entry_hash(b"k" * 300, value_hash) == expected


@given(LEAVES)
def test_every_leaf_is_proved_at_its_place_only(leaves: list[bytes]) -> None:
    root = merkle.tree_root(leaves)
    assert root == defined_root([merkle.leaf_hash(leaf) for leaf in leaves])
    for index, leaf in enumerate(leaves):
        proof = trees.prove(leaves, index)
        assert (proof.total, proof.index) == (len(leaves), index)
        assert merkle.verify(root, leaf, proof)
        assert not merkle.verify(root, leaf + b"!", proof)
        assert not merkle.verify(sha256(root).digest(), leaf, proof)


@given(LEAVES.filter(bool), st.data())
def test_a_changed_proof_is_false(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = trees.prove(leaves, index)
    encoded = bytearray(encode(proof))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode(bytes(encoded), Proof)
    except CodecError:
        return
    same_way = (changed.leaf_hash, changed.aunts) == (proof.leaf_hash, proof.aunts)
    assume(not same_way)  # another total can have the same way to the same leaf
    assert not merkle.verify(merkle.tree_root(leaves), leaves[index], changed)


@given(
    st.integers(-(2**60), 2**60),
    st.integers(-(2**60), 2**60),
    st.lists(st.binary(max_size=40), max_size=120),
)
def test_no_malformed_proof_crashes_or_holds(total: int, index: int, aunts: list[bytes]) -> None:
    proof = Proof(total=total, index=index, leaf_hash=merkle.leaf_hash(b"x"), aunts=tuple(aunts))
    holds = merkle.verify(merkle.leaf_hash(b"x"), b"x", proof)
    assert holds == (total == 1 and index == 0 and not aunts)


def test_there_is_no_proof_of_a_missing_leaf() -> None:
    with pytest.raises(IndexError, match="no leaf 2 among the first 2"):
        trees.prove([b"a", b"b"], 2)


@given(MAPS, KEYS)
def test_sealed_trees_prove_presence_or_absence(items: dict[bytes, bytes], key: bytes) -> None:
    sealed = sorted(items.items())
    root = merkle.sealed_root(sealed)
    value, evidence = trees.sealed_map(sealed).prove(key)
    assert value == items.get(key)
    assert merkle.verify_entry(root, key, value, evidence)
    assert not merkle.verify_entry(root, key, b"other", evidence)
    assert not merkle.verify_entry(sha256(root).digest(), key, value, evidence)
    if value is not None:
        assert not merkle.verify_entry(root, key, None, evidence)


@given(MAPS.filter(bool), st.data())
def test_no_entry_can_be_proved_absent(items: dict[bytes, bytes], data: st.DataObject) -> None:
    """Any two true neighbours, or one, with any totals and indexes claimed."""
    sealed = sorted(items.items())
    entries = trees.sealed_map(sealed)
    key = data.draw(st.sampled_from([k for k, _ in sealed]))

    def claimed() -> Neighbour | None:
        at = data.draw(st.none() | st.integers(0, len(sealed) - 1))
        if at is None:
            return None
        true = entries.prove_entry(sealed[at][0])
        total = data.draw(st.sampled_from([true.total, *range(1, 2 * len(sealed) + 2)]))
        index = data.draw(st.sampled_from([true.index, *range(total)]))
        proof = Proof(total=total, index=index, leaf_hash=true.leaf_hash, aunts=true.aunts)
        other, value = sealed[at]
        return Neighbour(key=other, value_hash=sha256(value).digest(), proof=proof)

    absence = Absence(left=claimed(), right=claimed())
    assert not merkle.verify_entry(merkle.sealed_root(sealed), key, None, absence)


@pytest.mark.parametrize("size", [3, 4, 5])
def test_no_pair_around_an_entry_proves_it_absent(size: int) -> None:
    """All pairs of entries on either side of one, under all claims of where they stand."""
    sealed = [(bytes([at]), b"value") for at in range(size)]
    root, entries = merkle.sealed_root(sealed), trees.sealed_map(sealed)
    value_hash = sha256(b"value").digest()

    def claims(at: int) -> list[Neighbour]:
        true = entries.prove_entry(bytes([at]))
        places = [(total, index) for total in range(1, 8) for index in range(total)]
        proofs = [replace(true, total=total, index=index) for total, index in places]
        shown = [each for each in proofs if merkle._root_shown(each) == root]
        return [Neighbour(key=bytes([at]), value_hash=value_hash, proof=each) for each in shown]

    for middle in range(1, size - 1):
        for left in (each for at in range(middle) for each in claims(at)):
            for right in (each for at in range(middle + 1, size) for each in claims(at)):
                absence = Absence(left=left, right=right)
                assert not merkle.verify_entry(root, bytes([middle]), None, absence)


@pytest.mark.parametrize("ids", [[b"b", b"a"], [b"a", b"a"], [b"", b"a", b""]])
def test_sealed_ids_ascend(ids: list[bytes]) -> None:
    with pytest.raises(ValueError, match=rf"items\[{len(ids) - 1}\]: ids must be"):
        merkle.sealed_root([(each, b"v") for each in ids])


CHANGES = st.lists(
    st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=12), max_size=12
)


@settings(max_examples=200)
@given(CHANGES)
def test_a_map_is_what_a_rebuild_would_be(batches: list[dict[bytes, bytes | None]]) -> None:
    entries = trees.MerkleMap()
    plain: dict[bytes, bytes | None] = {}
    for batch in batches:
        root, before = entries.root(), dict(plain)
        undo = entries.apply(batch)
        plain = {key: value for key, value in (plain | batch).items() if value is not None}
        assert entries.root() == defined_map_root(plain)
        assert len(entries) == len(plain)
        redo = entries.apply(undo)
        assert entries.root() == root == defined_map_root(before)
        entries.apply(redo)
        assert entries.root() == defined_map_root(plain)
    for key in [*plain, b"zzzz", b"\0"]:
        value, evidence = entries.prove(key)
        assert value == plain.get(key)
        assert merkle.verify_entry(entries.root(), key, value, evidence)


@given(CHANGES)
def test_a_map_may_change_often_before_its_root_is_asked_for(
    batches: list[dict[bytes, bytes | None]],
) -> None:
    entries = trees.MerkleMap()
    plain: dict[bytes, bytes | None] = {}
    for batch in batches:
        entries.apply(batch)
        plain |= batch
    left = {key: value for key, value in plain.items() if value is not None}
    assert entries.root() == defined_map_root(left)


@given(st.lists(HASHES, min_size=1, max_size=50), st.data())
def test_a_history_proves_every_block_at_every_size(
    hashes: list[bytes], data: st.DataObject
) -> None:
    history = trees.HashTree()
    for size, hashed in enumerate(hashes):
        assert history.root() == defined_root(hashes[:size])
        history.append(hashed)
    total = data.draw(st.integers(1, len(hashes)))
    index = data.draw(st.integers(0, total - 1))
    proof = history.prove(index, total)
    assert history.root(total) == defined_root(hashes[:total])
    assert (proof.leaf_hash, proof.total) == (hashes[index], total)
    assert merkle._root_shown(proof) == history.root(total)


def state_of_two_stores() -> trees.MerkleStores:
    stores = trees.MerkleStores(["accounts", "rounds", "void"])
    accounts = {bytes([i]) * 32: b"account %d" % i for i in range(1, 6)}
    stores.apply({"accounts": accounts, "rounds": {b"site/1": b"open", b"x:2/%": b"closed"}})
    return stores


def test_a_state_proves_a_key_of_a_store() -> None:
    """The root and this proof were checked with CometBFT v0.38.17's own proof runtime."""
    stores = state_of_two_stores()
    value, proof = stores.prove("accounts", b"\3" * 32)
    assert value == b"account 3"
    assert stores.root().hex() == (
        "b833e2a8fab3c8d9e325a7d983bfffe55e51d48efcefdd7a8fba3e584a509fe6"
    )
    assert merkle.verify_stored(stores.root(), "accounts", b"\3" * 32, value, proof)
    assert not merkle.verify_stored(stores.root(), "rounds", b"\3" * 32, value, proof)
    assert not merkle.verify_stored(stores.root(), "accounts", b"\4" * 32, value, proof)
    assert not merkle.verify_stored(stores.root(), "accounts", b"\3" * 32, None, proof)
    assert not merkle.verify_stored(proof.store_root, "accounts", b"\3" * 32, value, proof)


@pytest.mark.parametrize("store", ["accounts", "void"])
def test_a_state_proves_that_a_store_lacks_a_key(store: str) -> None:
    stores = state_of_two_stores()
    value, proof = stores.prove(store, b"\3\4")
    assert value is None
    assert merkle.verify_stored(stores.root(), store, b"\3\4", None, proof)
    assert not merkle.verify_stored(stores.root(), "rounds", b"\3\4", None, proof)
    assert decode(encode(proof), StoreProof) == proof


def test_a_state_is_undone() -> None:
    stores = state_of_two_stores()
    root = stores.root()
    undo = stores.apply({"rounds": {b"site/1": None, b"site/2": b"open"}, "void": {b"k": b"v"}})
    assert stores.root() != root
    stores.apply(undo)
    assert stores.root() == root
