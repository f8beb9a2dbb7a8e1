"""Each house rule finds a planted offender, and leaves its lawful neighbour alone."""

from __future__ import annotations

import pytest

import house

DOC = '"""A room."""\n'


def sources(**files: str) -> list[house.Source]:
    """Parsed files; `records_codec` stands for src/peerwatt/records/codec.py."""
    return [
        house.parse(f"src/peerwatt/{name.replace('_', '/', 1)}.py", DOC + text)
        for name, text in files.items()
    ]


def test_a_room_without_a_row() -> None:
    assert list(house.unknown_rooms(sources(attic_box="")))
    assert not list(house.unknown_rooms(sources(grid_pv="", units="")))


@pytest.mark.parametrize(
    ("name", "offence"),
    [
        ("mechanisms_welfare", "from peerwatt.units import WH_PER_KWH"),
        ("grid_pv", "import peerwatt.records.codec"),
        ("records_codec", "from peerwatt import contracts"),
        ("contracts_ledger", "def f():\n    from peerwatt.mechanisms import welfare"),
        ("contracts_ledger", "from ..hosts import host"),
        ("hosts_embedded", "from peerwatt.contracts.state import State"),
        ("hosts_embedded", "from peerwatt.contracts import state"),
        ("agents_vehicle", "from peerwatt.hosts.embedded import EmbeddedHost"),
        ("agents_vehicle", "from peerwatt.market_operator.solve import solve"),
        ("market_operator", "from peerwatt.agents.vehicle import Vehicle"),
        ("site_gateway", "from peerwatt.field.simulated import SimulatedMeter"),
        ("units", "from peerwatt import __version__, records"),
        ("__init__", "from peerwatt.units import WH_PER_KWH"),
    ],
)
def test_an_import_that_the_table_does_not_allow(name: str, offence: str) -> None:
    others = sources(contracts_state="", contracts_ledger="", contracts_x="", records_x="")
    package = house.parse("src/peerwatt/contracts/__init__.py", DOC)
    records = house.parse("src/peerwatt/records/__init__.py", DOC)
    found = list(house.forbidden_rooms([*others, package, records, *sources(**{name: offence})]))
    assert len(found) == 1, found
    assert "may not know" in found[0]


@pytest.mark.parametrize(
    ("name", "lawful"),
    [
        ("hosts_embedded", "from peerwatt.contracts import ledger"),
        ("hosts_embedded", "from peerwatt.contracts.ledger import apply_block"),
        ("hosts_embedded", "from .host import Host"),
        ("agents_vehicle", "from peerwatt.hosts.host import Host"),
        ("cli_main", "from peerwatt import __version__"),
        ("contracts_ledger", "import hashlib"),
    ],
)
def test_an_import_that_the_table_allows(name: str, lawful: str) -> None:
    others = sources(contracts_state="", contracts_ledger="", hosts_host="")
    assert not list(house.forbidden_rooms([*others, *sources(**{name: lawful})]))


def test_a_package_that_a_bottom_room_may_not_use() -> None:
    assert list(house.forbidden_packages(sources(contracts_auction="import numpy")))
    assert list(house.forbidden_packages(sources(mechanisms_v2v="from scipy import optimize")))
    assert not list(house.forbidden_packages(sources(mechanisms_v2v="import numpy.linalg, math")))
    assert not list(house.forbidden_packages(sources(reporting_plots="import matplotlib")))


def test_a_circle() -> None:
    one = "from peerwatt.records import orders"
    lazy = "def f():\n    from peerwatt.records.codec import encode"
    (found,) = house.circles(sources(records_codec=one, records_orders=lazy))
    assert "peerwatt.records.codec" in found
    assert not list(house.circles(sources(records_codec=one, records_orders="")))


def test_a_file_and_a_function_too_long() -> None:
    lines = house.MAX_FILE_LINES - 1
    assert not list(house.long_files(sources(grid_pv="\n" * lines)))
    assert list(house.long_files(sources(grid_pv="\n" * (lines + 1))))

    body = "    x = 1\n"
    room = house.MAX_FUNCTION_LINES - 1
    assert not list(house.long_functions(sources(grid_pv="def f():\n" + body * room)))
    inner = "class A:\n  async def f(self):\n" + body * (room + 1)
    assert list(house.long_functions(sources(grid_pv=inner)))


def test_what_has_no_docstring() -> None:
    assert list(house.undocumented([house.parse("src/peerwatt/cli/main.py", "x = 1")]))
    for public in ("def f(): pass", "class A: pass", "async def f(): pass"):
        assert list(house.undocumented(sources(hosts_store=public)))
        assert not list(house.undocumented(sources(cli_main=public)))
    assert not list(house.undocumented(sources(hosts_store="def _f(): pass\nX = 1")))


def test_an_init_that_does_work() -> None:
    def init(text: str) -> list[str]:
        return list(house.heavy_inits([house.parse("src/peerwatt/grid/__init__.py", DOC + text)]))

    assert not init("from peerwatt.grid.pv import sun\n__all__ = ['sun']")
    assert init("def f(): pass")
    assert init("table = {}")
    assert init("for x in y: pass")
    assert init("import a\n" * house.MAX_INIT_LINES)
    assert not list(house.heavy_inits(sources(grid_pv="table = {}")))


@pytest.mark.parametrize(
    "offence",
    [
        "x = 0.5",
        "x = 1e6",
        "x = 2j",
        "x: float = y",
        "x = float(y)",
        "x = a / b",
        "x /= 2",
        "x = {1, 2}",
        "x = {i for i in y}",
        "x = set(y)",
        "def f(x: frozenset[int]): pass",
        "x = hash(y)",
        "import time",
        "import os, random",
        "from secrets import token_bytes",
        "import logging.handlers",
        "from datetime import datetime",
        "def f():\n    import time",
        "import math\nx = math.sqrt(2)",
        "from math import isqrt, floor",
    ],
)
def test_what_is_not_exact(offence: str) -> None:
    for name in ("contracts_auction", "records_codec"):
        assert len(list(house.inexact(sources(**{name: offence})))) == 1
    assert not list(house.inexact(sources(agents_vehicle=offence)))


def test_what_is_exact() -> None:
    lawful = "import math\nx = {1: 2}\ny = 7 // 2 + math.isqrt(9)\nx.hash = sorted(x)\n"
    assert not list(house.inexact(sources(contracts_auction=lawful)))


def test_a_bare_assert() -> None:
    assert list(house.bare_asserts(sources(contracts_ledger="assert x > 0")))
    assert not list(house.bare_asserts(sources(grid_pv="assert x > 0")))
