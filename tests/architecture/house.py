"""The house rules as functions on the syntax tree; docs/house-rules.md says them in words.

Knows the shape of the code and nothing of what it does. A rule takes parsed sources and yields
one line for each offence, `path:line: what is wrong`, so that none means that the rule holds.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "peerwatt"

# Who knows whom: a room may import itself and what stands beside it, a room or one module of it.
ROOMS: dict[str, tuple[str, ...]] = {
    "units": (),
    "mechanisms": (),
    "grid": (),
    "records": ("units",),
    "contracts": ("units", "records"),
    # The simulated charge point steps the battery model; real ones will not need it.
    "field": ("units", "records", "grid.batteries"),
    "hosts": ("units", "records", "contracts.ledger"),
    "reporting": ("units", "records"),
    "agents": ("units", "records", "hosts.host", "mechanisms", "grid"),
    "market_operator": ("units", "records", "hosts.host", "mechanisms", "grid"),
    "site_gateway": ("units", "records", "hosts.host", "field.ports"),
    "aggregator": ("units", "records", "hosts.host"),
    "service": ("units", "records", "hosts.host"),
    # The registration authority reads the ledger before it tells a name.
    "registry": ("units", "records", "hosts.host", "sdk"),
    "simulation": (
        *("units", "mechanisms", "grid", "records", "contracts", "field", "hosts", "reporting"),
        *("agents", "market_operator", "site_gateway", "registry", "aggregator"),
    ),
    # Markets from a file, and what mechanisms are worth when somebody lies to them.
    "market_lab": ("mechanisms", "reporting"),
    "studies": ("mechanisms", "reporting", "simulation.config", "market_lab"),
    # Whoever checks a run from outside executes it again, and compares tables with the ledger's.
    "audit": (
        *("units", "records", "contracts", "hosts", "reporting"),
        *("simulation.summary", "simulation.tables", "simulation.region_summary"),
    ),
    "sdk": ("units", "records", "hosts.host"),
    "cli": (
        *("units", "mechanisms", "grid", "records", "contracts", "field", "hosts", "reporting"),
        *("agents", "market_operator", "site_gateway", "service", "simulation", "audit", "sdk"),
        *("market_lab", "studies", "registry", "aggregator"),
    ),
}

# What the bottom rooms may use beside the standard library; rooms not named here are free.
PACKAGES: dict[str, frozenset[str]] = {
    "units": frozenset({"msgspec"}),
    "records": frozenset({"msgspec", "nacl"}),
    "contracts": frozenset({"msgspec"}),
    "mechanisms": frozenset({"numpy", "highspy"}),
    "grid": frozenset({"numpy"}),
}

EXACT_ROOMS = frozenset({"records", "contracts"})
DOCUMENTED_ROOMS = frozenset({"records", "contracts", "mechanisms", "hosts"})
BANNED_NAMES = frozenset({"float", "complex", "set", "frozenset", "hash"})
BANNED_MODULES = frozenset(
    {"time", "datetime", "random", "secrets", "logging", "cmath", "statistics", "uuid"}
)
INTEGER_MATH = frozenset({"comb", "factorial", "gcd", "isqrt", "lcm", "perm"})

MAX_FUNCTION_LINES = 69
MAX_FILE_LINES = 399
MAX_INIT_LINES = 39


@dataclass(frozen=True)
class Source:
    """A parsed file; `module` is its dotted name, empty outside the package."""

    path: str
    text: str
    tree: ast.Module
    module: str = ""

    @property
    def room(self) -> str:
        return self.module.split(".")[1] if "." in self.module else ""

    @property
    def is_init(self) -> bool:
        return self.path.endswith("__init__.py")

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"


def parse(path: str, text: str) -> Source:
    parts = Path(path).with_suffix("").parts
    inside = parts[1:] if parts[:2] == ("src", PACKAGE) else ()
    module = ".".join(inside).removesuffix(".__init__")
    return Source(path, text, ast.parse(text, path), module)


def read(root: Path, *folders: str) -> list[Source]:
    """All Python files below the named folders of a checkout."""
    return [
        parse(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
    ]


def imports(source: Source, modules: frozenset[str]) -> Iterator[tuple[ast.stmt, str]]:
    """Every module that a source names in an import, at any depth of its code."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = source.module.split(".")
                up = len(here) - node.level + source.is_init
                base = ".".join([*here[:up], *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node, inner if inner in modules else base


def names_of(sources: Iterable[Source]) -> frozenset[str]:
    return frozenset(source.module for source in sources if source.module)


def unknown_rooms(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        if source.room and source.room not in ROOMS:
            yield source.at(source.tree, f"the room {source.room} has no row in ROOMS")


def forbidden_rooms(sources: list[Source]) -> Iterator[str]:
    modules = names_of(sources)
    for source in sources:
        allowed = (source.room, *ROOMS.get(source.room, ()))
        for node, target in imports(source, modules):
            package, _, inner = target.partition(".")
            if package != PACKAGE or (not inner and source.room):
                continue
            if not any(f"{inner}.".startswith(f"{name}.") for name in allowed if name):
                yield source.at(node, f"{source.room or PACKAGE} may not know {inner or PACKAGE}")


def forbidden_packages(sources: list[Source]) -> Iterator[str]:
    modules = names_of(sources)
    for source in sources:
        allowed = PACKAGES.get(source.room)
        if allowed is None:
            continue
        for node, target in imports(source, modules):
            package = target.partition(".")[0]
            if package not in {PACKAGE, *allowed, *sys.stdlib_module_names}:
                yield source.at(node, f"{source.room} may not use {package}")


def circles(sources: list[Source]) -> Iterator[str]:
    modules = names_of(sources)
    known = {
        source.module: {target for _, target in imports(source, modules) if target in modules}
        for source in sources
        if source.module
    }
    try:
        TopologicalSorter(known).prepare()
    except CycleError as error:
        yield "imports in a circle: " + " <- ".join(error.args[1])


def long_files(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        lines = len(source.text.splitlines())
        if lines > MAX_FILE_LINES:
            yield source.at(source.tree, f"{lines} lines, at most {MAX_FILE_LINES}")


def long_functions(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    what = f"{node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}"
                    yield source.at(node, what)


def undocumented(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        if not ast.get_docstring(source.tree):
            yield source.at(source.tree, "the module has no docstring")
        if source.room not in DOCUMENTED_ROOMS:
            continue
        for node in source.tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if not node.name.startswith("_") and not ast.get_docstring(node):
                yield source.at(node, f"{node.name} is public and has no docstring")


def heavy_inits(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        if not source.is_init:
            continue
        if len(source.text.splitlines()) > MAX_INIT_LINES:
            yield source.at(source.tree, f"an __init__ has at most {MAX_INIT_LINES} lines")
        for node in source.tree.body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if not (docstring or isinstance(node, ast.Import | ast.ImportFrom) or _is_dunder(node)):
                yield source.at(node, "an __init__ holds its docstring, imports and __names__ only")


def _is_dunder(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return bool(names) and all(name.startswith("__") for name in names)


def inexact(sources: list[Source]) -> Iterator[str]:
    """What could make two members' ledgers differ: floats, order by hash, clocks, chance."""
    for source in sources:
        if source.room in EXACT_ROOMS:
            for node in ast.walk(source.tree):
                what = _inexact(node)
                if what:
                    yield source.at(node, f"{what} in {source.room}")


def _inexact(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=float() | complex()):
            return "a float literal"
        case ast.Name(id=name) if name in BANNED_NAMES:
            return f"`{name}`"
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            return "true division"
        case ast.Set() | ast.SetComp():
            return "a set"
        case ast.Import(names=aliases):
            return _banned_module(alias.name for alias in aliases)
        case ast.ImportFrom(module="math", names=aliases):
            return _float_math(alias.name for alias in aliases)
        case ast.ImportFrom(module=str(name), level=0):
            return _banned_module([name])
        case ast.Attribute(value=ast.Name(id="math"), attr=name):
            return _float_math([name])
    return None


def _banned_module(names: Iterable[str]) -> str | None:
    found = [name for name in names if name.partition(".")[0] in BANNED_MODULES]
    return f"the module {found[0]}" if found else None


def _float_math(names: Iterable[str]) -> str | None:
    found = [name for name in names if name not in INTEGER_MATH]
    return f"math.{found[0]}, which gives a float," if found else None


def bare_asserts(sources: list[Source]) -> Iterator[str]:
    """`python -O` drops them: money needs a Reason or an invariant that stays."""
    for source in sources:
        if source.room == "contracts":
            for node in ast.walk(source.tree):
                if isinstance(node, ast.Assert):
                    yield source.at(node, "a bare assert in contracts")
