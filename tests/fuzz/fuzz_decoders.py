"""Fuzzing targets: everything that reads bytes from outside, and what is then done with them.

Knows the decoders and how each may refuse. A target returns in words what it was told, so that
new answers can be told from old ones; whatever it raises is a finding.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_bench import BY_NAME, start
from msgspec.structs import replace
from small_hub import key as small_hub_key
from small_hub import public

from peerwatt.cli.screen import console
from peerwatt.cli.verify import run_verify
from peerwatt.contracts import ledger
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.hosts.folder import FolderError, read_blocks, read_genesis, read_witnesses
from peerwatt.hosts.replica import BlockRefused, Replica
from peerwatt.hosts.state import Committed, Overlay
from peerwatt.hosts.store import Store
from peerwatt.market_lab.clearing import Terms, clear_file
from peerwatt.market_lab.order_file import USES, OrderFileError, read_orders
from peerwatt.mechanisms.auction_book import Band
from peerwatt.records.bundles import ProvedItem, ProvedValue
from peerwatt.records.chain import WitnessSignature, frame, is_signed, unframe
from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.readings import SignedReading
from peerwatt.records.receipts import (
    HEADER_DOMAIN,
    Block,
    BlockContext,
    Reason,
    SignedHeader,
)
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import Message, Transaction, decode_message
from peerwatt.reporting.manifest import MANIFEST, ManifestError, check_manifest, read_manifest
from peerwatt.sdk import keystore
from peerwatt.simulation.config import ConfigError, load
from peerwatt.simulation.sessions import SessionsError, load_sessions
from peerwatt.studies.catalogue import opened
from peerwatt.studies.files import plan

ORDERS_BAND = Band(feed_in=0.05, retail=0.35)
CHAIN_ID = start().genesis.chain_id
PASSPHRASE = "only for fuzzing"
MANIFEST_FILES = {"a.csv": b"a,b\n1,2\n", "ledger/genesis.bin": b"\x93"}
_QUOTED = re.compile(
    "|".join(
        (
            "(?<=, is ).*",
            "(?<=format: is ).*",
            "(?<=unknown field ).*",
            "(?<=unknown column ).*",
            r"^.*(?=: unknown key)",
            r"(?<=battery_kwh\.).*?(?=:)",
            r'(?<= in )"<unicode string>".*',
            "(?<=the engine)'s is .*",
            "0x[0-9a-f]+",
            r"-?\d[\d.e+-]*",
            "`[^`]*`",
            "'[^']*'",
            '"[^"]*"',
        )
    ),
    re.DOTALL,
)


def shape(why: str) -> str:
    """An answer without the numbers and words that it quotes."""
    return _QUOTED.sub("…", why)[:80]


def one_line(error: Exception) -> str:
    """What a refusal says, which stands in one line."""
    assert len(str(error).splitlines()) == 1, f"a refusal of several lines: {error}"
    return str(error)


def canonical(record_type: Any, use: Callable[[Any], object]) -> Callable[[bytes], str]:
    """A target that decodes a record and uses it; equal records have equal bytes."""

    def target(data: bytes) -> str:
        try:
            record = decode(data, record_type)
        except CodecError as error:
            return f"{error.field}: {shape(error.why)}"
        assert encode(record) == data
        assert decode(encode(record), record_type) == record
        return f"{type(record).__name__}: {use(record)}"

    return target


message = canonical(Message, lambda record: "decoded")
header = canonical(SignedHeader, lambda record: (is_signed(record), len(record.header.block_id)))
witness = canonical(WitnessSignature, lambda record: record.is_valid(CHAIN_ID))
reading = canonical(SignedReading, lambda record: record.is_signed(CHAIN_ID))
proof_of_value = canonical(ProvedValue, lambda record: record.holds())
proof_of_item = canonical(ProvedItem, lambda record: record.holds())


def genesis(data: bytes) -> str:
    """A chain that starts at all stands, and makes an empty block."""
    state = Overlay(Committed(ledger.TABLES, (), ()))
    try:
        ledger.init_chain(state, data)
    except ValueError as error:
        return shape(str(error))
    assert broken_invariants(state) == []
    time_s = ledger.market_time_s(state, 0, ())
    context = BlockContext(
        height=1, market_time_s=time_s, previous_block_id=bytes(32), proposer=public("operator")
    )
    ledger.apply_block(state, context, ())
    assert broken_invariants(state) == []
    return "started"


def transaction(data: bytes) -> str:
    """Bytes that come to the ledger's door: a numbered answer, and no trace of a refusal."""
    begun = start()
    state = Overlay(begun.state)
    context = BlockContext(
        height=begun.height + 1,
        market_time_s=begun.now_s,
        previous_block_id=bytes(32),
        proposer=public("operator"),
    )
    receipt = ledger.check_tx(state, context, data)
    if receipt.ok:
        carried = decode_message(decode(data, Transaction).message)
        return f"{type(carried).__name__}: accepted"
    for (name, scope), shelf in state.changes.items():
        for at, record in shelf.items():
            assert begun.state.get(BY_NAME[name], at, scope) == record, "a refusal left a trace"
    return f"{Reason(receipt.reason).name} {receipt.field}"


def block(data: bytes) -> str:
    """A block from another node, on a chain without one: refused with its field, or kept. Then
    its transactions and time again, in a header that is right and signed."""
    try:
        given = decode(data, Block)
    except CodecError as error:
        return f"{error.field}: {shape(error.why)}"
    assert encode(given) == data
    chain = _chain()
    said = _offered(chain, given)
    if not said.startswith("kept"):
        return f"{said}\nmade right: {_offered(chain, _made_right(chain, given))}"
    return said


@cache
def _chain() -> Replica:
    return Replica(ledger, Store(None), encode(start().genesis))


def _made_right(chain: Replica, given: Block) -> Block:
    """The block as its proposer would have had to make it."""
    proposer = small_hub_key("operator")
    time_s = max(given.signed_header.header.block_time_s, chain.block_time_s)
    header = chain._next_header(time_s, given.transactions, proposer.public)
    signature = proposer.sign(HEADER_DOMAIN, header.chain_id, encode(header))
    return replace(given, signed_header=SignedHeader(header=header, signature=signature))


def _offered(chain: Replica, given: Block) -> str:
    """What a chain says to a block; a chain that has kept one is not used again."""
    height, app_hash = chain.height, chain.app_hash
    try:
        result = chain.accept(given)
    except BlockRefused as error:
        assert (chain.height, chain.app_hash) == (height, app_hash)
        return f"{error.field} is refused"
    _chain.cache_clear()
    assert broken_invariants(chain.state) == []
    reasons = {Reason(each.reason).name: None for each in result.receipts}
    return "\n".join(["kept", *reasons])


def chain_files(data: bytes) -> str:
    """The files of a chain, read as blocks, as witnesses' signatures and as a genesis."""
    said = []
    with _file("blocks.bin", data) as path:
        (path.parent / "witnesses.bin").write_bytes(data)
        (path.parent / "genesis.bin").write_bytes(data)
        assert read_genesis(path.parent) == data
        for reader, kind in ((read_blocks, Block), (read_witnesses, WitnessSignature)):
            try:
                records: list[Any] = list(reader(path.parent))
            except FolderError as error:
                said.append(shape(str(error)))
            else:
                assert b"".join(frame(encode(each)) for each in records) == data
                assert list(unframe(data, kind)) == records
                said.append(f"{min(len(records), 3)} of {kind.__name__}")
    return "\n".join(said)


def receipt(data: bytes) -> str:
    """`peerwatt verify FILE.receipt`, whatever stands in the file."""
    # Captured, not diverted: a diverted console would keep the place that it is put back to.
    with console.capture() as said:
        try:
            with _file("a.receipt", data) as path:
                sound = run_verify(path, None, public("grid").hex(), None)
        except ValueError as error:
            return shape(str(error).partition(": ")[2])
    assert said.get()
    marks = enumerate(re.findall(r"^ (.) ", said.get(), re.M))
    return "\n".join([f"sound: {sound}", *(f"{at} {mark}" for at, mark in marks)])


def manifest(data: bytes) -> str:
    """A run folder's manifest: read, or refused in one line; then compared with the files."""
    with _folder() as folder:
        for name, content in MANIFEST_FILES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / MANIFEST).write_bytes(data)
        refusal = None
        try:
            read_manifest(folder)
        except ManifestError as error:
            refusal = one_line(error)
        problems = check_manifest(folder)
    assert refusal is None or problems == [refusal]
    assert all("\n" not in problem for problem in problems)
    return "\n".join(sorted({shape(problem.partition(": ")[2]) for problem in problems}))


def config(data: bytes) -> str:
    """A YAML file of assumptions: used, or refused in one line that names the key."""
    with _file("day.yaml", data) as path:
        try:
            chosen = load(path, seed=1)
        except ConfigError as error:
            return shape(one_line(error).partition(": ")[2])
    assert type(chosen).model_validate(chosen.model_dump()) == chosen
    return f"good: {chosen.site} {chosen.mechanism} {chosen.tariff} {chosen.battery}"


def study_file(data: bytes) -> str:
    """A YAML file of a study: planned, or refused in one line that names the key."""
    with _file("study.yaml", data) as path:
        try:
            study, file = opened(str(path))
            tasks = plan(study, file, None, {}).tasks
        except ConfigError as error:
            return shape(one_line(error).partition(": ")[2])
    assert len({task.key("") for task in tasks}) == len(tasks)
    return f"good: {file.study}, {min(len(tasks), 3)} tasks"


def sessions(data: bytes) -> str:
    """A CSV file of charging sessions: read, or refused with its row and column."""
    with _file("own.csv", data) as path:
        try:
            rows = load_sessions([path], "jpl")
        except SessionsError as error:
            return shape(one_line(error).partition(": row")[2])
    assert all(row.arrival_s <= row.departure_s and row.delivered_wh >= 0 for row in rows)
    assert len({row.session_id for row in rows}) == len(rows)
    return f"{min(len(rows), 3)} sessions"


def orders(data: bytes) -> str:
    """A CSV file of orders for the mechanism that a first byte names: cleared, or refused."""
    names = tuple(USES)
    mechanism = names[data[0] % len(names)] if data else names[0]
    with _file("orders.csv", data[1:]) as path:
        try:
            file = read_orders(path, mechanism, band=ORDERS_BAND)
        except OrderFileError as error:
            return shape(one_line(error).partition(": ")[2])
        try:
            cleared = clear_file(file, mechanism, Terms(band=ORDERS_BAND))
        except ValueError as error:
            return f"not cleared: {shape(one_line(error))}"
    rows = len(file.bids.ids) + len(file.asks.ids)
    assert len(cleared.awards) == rows == sum(cleared.summary["outcomes"].values())
    json.dumps(cleared.summary, allow_nan=False)
    assert cleared.awards["awarded_kwh"].is_finite().all()
    return f"{mechanism}: {min(rows, 3)} orders"


def key_file(data: bytes) -> str:
    """A key file: opened, or refused in one line. Its checksum is made right behind a first byte
    that is odd; limits that cost time and memory by design are left to the tests of the room."""
    if data[:1] and data[0] & 1:
        data = b"\0" + _with_checksum(data[1:])
    with _file("a.key", data[1:]) as path:
        path.chmod(0o600)
        if _costly(data[1:]):
            return "costly"
        try:
            opened = keystore.load(path, PASSPHRASE)
        except keystore.KeystoreError as error:
            return shape(one_line(error).partition(": ")[2])
    assert isinstance(opened, SigningKey)
    return "opened"


def _with_checksum(data: bytes) -> bytes:
    try:
        fields = json.loads(data)
        document = keystore._File(**(fields | {"checksum": ""}))
        return json.dumps(fields | {"checksum": document.expected_checksum()}).encode()
    except (ValueError, TypeError, RecursionError):
        return data


def _costly(data: bytes) -> bool:
    """Whether a file asks for more than the least work."""
    try:
        fields = json.loads(data)
        return bool(fields["opslimit"] > 1 or fields["memlimit"] > 1 << 14)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


# --- files


@cache
def _root() -> tempfile.TemporaryDirectory[str]:
    """In memory where there is such a folder; gone when the process ends."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(_root().name) / "folder"
    folder.mkdir(exist_ok=True)
    yield folder


@contextmanager
def _file(name: str, data: bytes) -> Iterator[Path]:
    path = Path(_root().name) / name
    path.write_bytes(data)
    yield path
