"""Fuzzing targets around hubs: sites files, sealed bodies, and histories that a car is served.

Knows the decoders and how each may refuse. A target returns in words what it was told.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from fuzz_bench import settled_hub
from fuzz_decoders import one_line, shape
from small_hub import key, public

from peerwatt.agents.wallet import HistoryRefused, Wallet
from peerwatt.aggregator.memory_pool import MemoryPool
from peerwatt.records.codec import CodecError, decode, digest, encode
from peerwatt.records.histories import ServedHistory
from peerwatt.records.sealing import ENTROPY_BYTES, SealError, open_body, seal_body
from peerwatt.records.trades import TradeBody
from peerwatt.simulation.config import ConfigError
from peerwatt.simulation.region_config import load_sites

SITES = (
    "hubs:\n  - {name: a, place: {longitude: 1, latitude: 2}, limit_kw: 9, ports: 3}\n",
    "days: 2\nnote: n\ncars_from: {west: 0, south: 0, east: 1, north: 1}\nhubs:\n"
    "  - {name: a, place: {longitude: -180, latitude: 90.0}, limit_kw: 1e1, ports: 1, pv_kwp: 2}\n"
    "  - {name: b, place: {longitude: 0, latitude: 0}, limit_kw: 9, ports: 3,\n"
    "     operator: x, meter: y}\n",
    "hubs: []\ncars_from: null\n",
)


def sites(data: bytes) -> str:
    """A sites file: hubs, or one line that names the file and the key."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sites.yaml"
        path.write_bytes(data)
        try:
            region = load_sites(str(path))
        except ConfigError as error:
            return shape(one_line(error).replace(str(path), "sites"))
    west, south, east, north = region.box
    assert west <= east
    assert south <= north
    return f"good: {min(len(region.hubs), 2)} hubs"


def sealed_body(data: bytes) -> str:
    """A body, to one of its readers."""
    try:
        return f"opened: {bool(open_body(data, key('bob')))}"
    except SealError as error:
        return shape(one_line(error))


def history(data: bytes) -> str:
    """What a hub serves to a car that knows nothing yet."""
    try:
        served = decode(data, ServedHistory)
    except CodecError as error:
        return f"{error.field}: {shape(error.why)}"
    mine = Wallet(public("ann"), "sim-small-hub", public("operator"))
    try:
        checked = mine.check(served)
    except HistoryRefused as error:
        assert mine.height == 0
        return shape(one_line(error))
    return f"whole: {checked.own_messages > 0}"


def hub_seeds() -> dict[str, tuple[bytes, ...]]:
    """Good inputs by target."""
    pool = MemoryPool(settled_hub().host)
    body = TradeBody(
        site="hub",
        slot_start_s=1,
        order_id=digest(b"a"),
        sale_id=digest(b"b"),
        bought_wh=2,
        paid_ucoin=3,
        from_seller_wh=1,
    )
    entropy = bytes(ENTROPY_BYTES)
    return {
        "sites": tuple(each.encode() for each in SITES),
        "sealed_body": tuple(
            seal_body(body, [public(name) for name in readers], entropy)
            for readers in (("bob",), ("ann", "bob"), ("ann",))
        ),
        "history": tuple(encode(pool.history(public(name))) for name in ("ann", "bob", "eve")),
    }
