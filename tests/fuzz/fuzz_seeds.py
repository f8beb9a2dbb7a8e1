"""Where fuzzing starts: for each target some inputs that are good, made anew by today's code.

Knows the small hub and the files that people write. What the fuzzer made of them stands in corpus/.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random

import nacl.pwhash.argon2id as argon2id
from fuzz_bench import Bench, head_signature, settled_hub, start
from fuzz_choices import ByteChoices
from fuzz_decoders import CHAIN_ID, MANIFEST_FILES, PASSPHRASE
from fuzz_engine import snapshot_of
from fuzz_hubs import hub_seeds
from fuzz_ledger import live
from fuzz_moves import KINDS, message
from fuzz_registry import good_certificate, good_request
from small_hub import SmallHub, key, public, round_id

from peerwatt.hosts.cometbft import messages
from peerwatt.hosts.cometbft.genesis import app_state
from peerwatt.hosts.cometbft.wire import frame as frame_of
from peerwatt.records.auction import (
    Allocation,
    Bid,
    Invitation,
    sign_allocation,
    sign_bid,
    sign_invitation,
)
from peerwatt.records.bundles import ReceiptBundle
from peerwatt.records.chain import frame
from peerwatt.records.codec import decode, encode
from peerwatt.records.talk import (
    Allocate,
    Answer,
    Bring,
    Brought,
    Demand,
    End,
    Invite,
    Refuse,
    Word,
    pack,
)
from peerwatt.records.transactions import Transaction
from peerwatt.reporting.manifest import MANIFEST, seal
from peerwatt.sdk import keystore

LIVES = 12
LIFE_BYTES = 256
STUDY = """study: petcon
title: t
claim: c
source: s
parameters: {seed: 3, draws: 40, draws_per_task: 20}
sweep: {experiment: [auction, lots]}
scenarios: {full: {about: all, parameters: {tau: 2}, sweep: {tau: [1, 2.5]}}}
expected: {payment: {says: p, where: w, unit: $, paper: 2.5, close: 0.1, expected: [2, 3]}}
"""
YAML = (
    "",
    "site: caltech\ndate: 2019-06-12\nlimit_kw: 7\npv_kwp: 4\n",
    "limit_kw: null\nmechanism: uniform\nbattery: full\ntariff: flat\nflat_price: .2\n",
    "sellers:\n  seed: 3\n  battery_kwh: {40: 0.5, 60: 0.5}\n  wear: [0.03, 0.08]\n",
    "rule: {name: threshold, exponent: 4}\nfees: &f {network: 0.01}\n# a word\nsettlement: {}\n",
    "a: &a [*a]\n? [b]\n: !!binary aGk=\nc: !!set {d}\ne: !!timestamp 2019-08-21 07:30:00\n",
    "<<: {site: jpl}\nx: !!float .inf\ny: !!int 0x1F\nz: |\n  text\nw: 1_000:59\n",
    "!!map [1]\n",
    "sellers: [1, 2]\nplanning: departure\ndate: 0001-01-01\nhorizon_h: yes\n",
)
CSV = (
    "arrival,departure,requested_energy (kWh),delivered_energy (kWh),station_id,session_id,"
    "estimated_departure,claimed\n"
    "2019-05-01 05:04:06-07:00,2019-05-01 17:56:21-07:00,44.85,44.875,AG-1F11,1_1_194,"
    "2019-05-01 14:09:06-07:00,True\n"
    '2019-05-01T05:40:27Z,2019-05-01 12:23:55-07:00,1.5e2,0,"AG-1F01",two,'
    "2019-05-01 17:40:27-07:00,false\n"
)


@cache
def seeds() -> Mapping[str, tuple[bytes, ...]]:
    """Good inputs by target."""
    made, bench = settled_hub(), Bench(start())
    transactions = [
        message(kind, bench, ByteChoices(bytes([first])), spoil=False)
        for kind in KINDS
        for first in (0, 1)
    ]
    blocks = [encode(made.host.block(height)) for height in range(1, made.host.height + 1)]
    receipts = _receipts(made)
    heads = [made.host.block(height).signed_header for height in (1, 2)]
    witnesses = [encode(head_signature(made))]
    readings = made.readings({"": 5, "p1": -7}, 1)
    return {
        "genesis": (encode(start().genesis),),
        "message": tuple(decode(each, Transaction).message for each in transactions),
        "transaction": tuple(transactions),
        "block": tuple(blocks[:3]),
        "header": tuple(map(encode, heads)),
        "witness": tuple(witnesses),
        "reading": tuple(map(encode, readings)),
        "proof_of_value": tuple(encode(each.round) for each in receipts),
        "proof_of_item": tuple(encode(each.entry) for each in receipts),
        "receipt": tuple(map(encode, receipts)),
        "chain_files": (
            b"",
            b"".join(map(frame, blocks[:2])),
            b"".join(map(frame, witnesses * 2)),
        ),
        "manifest": (_manifest(),),
        "config": tuple(each.encode() for each in YAML),
        "study_file": (STUDY.encode(),),
        "sessions": (CSV.encode(), CSV.partition("\n")[0].encode()),
        "orders": ORDERS,
        "key_file": _key_files(),
        "abci": (b"", *_requests(transactions[:2])),
        "engine_genesis": _engine_genesis(),
        "snapshot": (snapshot_of()[0],),
        "certificate": (good_certificate(),),
        "address_request": (encode(good_request()),),
        **hub_seeds(),
        "talk": _talk(transactions, receipts[0]),
        "ledger": _lives(),
    }


ORDERS = (
    b"\0side,id,price,kwh,step,min_kwh\nbuy,a,0.3,2,1,1\nbuy,a,0.2,2,2,\nsell,x,0.1,3,1,\n",
    b"\2side,id,price,kwh\nbuy,a,0.3,2\nbuy,b,0.2,1\nsell,x,0.1,2\nsell,y,0.1,9\n",
    b"\x0aside,id,price,kwh,min_kwh,weight,quadratic_cost,linear_cost,signed,place_km\n"
    b"buy,a,0.3,12,3,1.2,,,true,1\nsell,x,0.1,10,,,0.01,0.02,,3\n",
)
"""Files of orders, each behind the number of its mechanism."""


def _receipts(made: SmallHub) -> list[ReceiptBundle]:
    """Of both settlements, and of an order that there is not."""
    ids = [at for at, _ in made.host.sealed("settlements", round_id(0))]
    return [made.host.receipt("settlements", round_id(0), at) for at in (*ids, public("eve"))]


def _manifest() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in MANIFEST_FILES.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        seal(Path(folder), key("operator"), CHAIN_ID, ["timing.json"])
        return (Path(folder) / MANIFEST).read_bytes()


def _key_files() -> tuple[bytes, ...]:
    """A key file of the least work, as it is and with its checksum made right by the target."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.key"
        keystore.create(
            path, PASSPHRASE, opslimit=argon2id.OPSLIMIT_MIN, memlimit=argon2id.MEMLIMIT_MIN
        )
        data = path.read_bytes()
    other = json.dumps(json.loads(data) | {"public_key": "00" * 32}).encode()
    return b"\0" + data, b"\1" + data, b"\1" + other


def _requests(transactions: list[bytes]) -> list[bytes]:
    """A stream of one of each request, empty, and some that say something; a response."""
    spoken = [
        messages.RequestInfo(version="0.38.0"),
        messages.RequestCheckTx(tx=transactions[0]),
        messages.RequestFinalizeBlock(txs=tuple(transactions), height=2),
        messages.RequestPrepareProposal(txs=tuple(transactions), max_tx_bytes=-1),
    ]
    silent = [kind() for kind in messages.REQUEST.kinds.values()]
    response = messages.ResponsePrepareProposal(txs=tuple(transactions))
    streams = [silent, *([each] for each in spoken)]
    requests = [b"".join(frame_of(messages.REQUEST.encode(m)) for m in each) for each in streams]
    return [*requests, frame_of(messages.RESPONSE.encode(response))]


def _engine_genesis() -> tuple[bytes, ...]:
    """A document, and the part of it that is the ledger's."""
    state = app_state(encode(start().genesis))
    document = {"chain_id": CHAIN_ID, "app_state": state}
    return json.dumps(document).encode(), json.dumps(state).encode()


def _talk(transactions: list[bytes], receipt: ReceiptBundle) -> tuple[bytes, ...]:
    """A line's words: each kind alone, and all of them."""
    by, some = key("ann"), bytes(32)
    invitation = Invitation(
        round_id=round_id(0), orders_root=some, run=1, buyers=(some,), sellers=()
    )
    allocation = Allocation(invitation=some, iteration=0, order_id=some, energies_uwh=(7,))
    bid = Bid(invitation=some, iteration=1, order_id=some, answers=some, amounts=(7,))
    words: tuple[Word, ...] = (
        Bring(transactions=tuple(transactions[:2])),
        Brought(receipts=()),
        Demand(round_id=round_id(0), energy_wh=9),
        Invite(signed=sign_invitation(invitation, by, CHAIN_ID)),
        Allocate(signed=sign_allocation(allocation, by, CHAIN_ID)),
        Answer(signed=sign_bid(bid, by, CHAIN_ID)),
        Refuse(order_id=some, why="why"),
        End(receipt=receipt),
    )
    return (*map(pack, words), b"".join(map(pack, words)))


def _lives() -> tuple[bytes, ...]:
    """Some lives by chance; each ends where its bytes do."""
    chance = Random(1)
    lives = tuple(chance.randbytes(LIFE_BYTES) for _ in range(LIVES))
    assert all(live(each).height for each in lives)
    return lives
