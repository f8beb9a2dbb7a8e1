"""Prints the pages of docs/ that are drawn from the code: reasons, state, the life of a round.

Knows the contracts' tables and source, and the test vectors, which show what refusals name.
`python tools/docs.py` writes the pages; a test fails where one differs from what the code says.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from peerwatt.contracts import ledger, life
from peerwatt.contracts.state import TABLES
from peerwatt.records import market, readings
from peerwatt.records.market import RoundStatus
from peerwatt.records.receipts import Reason
from peerwatt.records.transactions import Message

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = Path(str(ledger.__file__)).parent
VECTORS = ROOT / "tests" / "vectors"
NOTE = "<!-- printed by tools/docs.py; change the code, not this page -->\n"
ENVELOPE = ("_parse", "_authenticate", "_check_validity")

Found = list[tuple[str, str]]
"""Reasons in the order in which they are checked, each with the field that it names."""


# --- reasons


class Contracts:
    """The functions of the contracts by module and name, and what they refuse, in order."""

    def __init__(self) -> None:
        self.functions: dict[tuple[str, str], ast.FunctionDef] = {}
        self.imported: dict[tuple[str, str], str] = {}
        for path in sorted(CONTRACTS.glob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef):
                    self.functions[path.stem, node.name] = node
                if isinstance(node, ast.ImportFrom) and node.module:
                    for name in node.names:
                        self.imported[path.stem, name.name] = node.module.rpartition(".")[2]

    def refusals(self, module: str, name: str) -> Found:
        """What a function refuses, and what the functions that it calls do, in source order."""
        return list(self._walk(module, self.functions[module, name]))

    def of_message(self, kind: str) -> Found:
        """What a message's own contract refuses."""
        for case in ast.walk(self.functions["ledger", "_dispatch"]):
            if isinstance(case, ast.match_case) and isinstance(case.pattern, ast.MatchClass):
                named = case.pattern.cls
                if isinstance(named, ast.Name) and named.id == kind:
                    return [each for node in case.body for each in self._walk("ledger", node)]
        raise LookupError(kind)

    def _walk(self, module: str, node: ast.AST) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Compare):
            return  # a refusal that is looked at, not given
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in ("Refusal", "Flaw"):
                reason, field = node.args[:2]
                if ast.unparse(reason).startswith("Reason."):
                    yield ast.unparse(reason).removeprefix("Reason."), _constant(field)
                return
            called = self._called(module, node.func)
            if called is not None:
                yield from self.refusals(*called)
        for child in ast.iter_child_nodes(node):
            yield from self._walk(module, child)

    def _called(self, module: str, function: ast.expr) -> tuple[str, str] | None:
        match function:
            case ast.Name(id=name):
                at = (self.imported.get((module, name), module), name)
            case ast.Attribute(value=ast.Name(id=other), attr=name):
                at = (other, name)
            case _:
                return None
        return at if at in self.functions else None


def _constant(field: ast.expr) -> str:
    return field.value if isinstance(field, ast.Constant) and type(field.value) is str else ""


def fields_in_vectors() -> dict[tuple[str, str], list[str]]:
    """The fields that refusals named, by message and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(VECTORS.glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8")):
            if len(vector["transactions"]) == 1:
                [receipt] = vector["receipts"]
                field = re.sub(r"\[\d+\]", "[i]", receipt["field"])
                listed = found.setdefault((vector["name"].split(" ")[0], receipt["reason"]), [])
                if field not in listed:
                    listed.append(field)
    return found


def checks(kind: str, found: Found, seen: dict[tuple[str, str], list[str]]) -> dict[str, list[str]]:
    """A message's reasons in order, each with all the fields that it can name."""
    listed: dict[str, list[str]] = {}
    for reason, field in found:
        fields = listed.setdefault(reason, [])
        for each in seen.get((kind, reason), [field]):
            if each and each not in fields:
                fields.append(each)
    return listed


def reasons() -> str:
    """Every numbered reason in words, the fields that it names, and which is named first."""
    contracts, seen = Contracts(), fields_in_vectors()
    kinds = [kind.__name__ for kind in get_args(Message)]
    envelope = [each for name in ENVELOPE for each in contracts.refusals("ledger", name)]
    by_kind = {kind: checks(kind, contracts.of_message(kind), seen) for kind in kinds}
    every = {"": checks("", envelope, {})} | by_kind
    every[""]["MALFORMED"] = ["`encoding` or the field that is wrong"]
    lines = [
        "# Reasons",
        "",
        NOTE,
        "Why the ledger refuses. A refusal is a receipt with a number and the field that is to",
        "blame; it changes nothing but, in a block, its sender's nonce. Numbers are never reused.",
        "The hundreds tell what was at fault: 1 the envelope or the sender, 2 what the message",
        "names, 3 that it was done before, 4 its values, time or money, 5 a reading, 6 the clock,",
        "8 a proposed clearing that proves nothing, for which its sender also pays the tariff's",
        "penalty; 7 is why a round is void.",
        "",
        "| Number | Name | In words | Fields |",
        "|---:|---|---|---|",
    ]
    for reason in Reason:
        fields = {field: True for listed in every.values() for field in listed.get(reason.name, ())}
        lines.append(f"| {reason.value} | {reason.name} | {reason.words} | {_codes(fields)} |")
    lines += ["", "## In which order", ""]
    lines += ["Of several faults the first one is named; in a list, that of the first faulty item."]
    lines += ["Every message is checked for", ""]
    lines += _listed(every[""])
    lines += ["", "and then, by kind of message, for", ""]
    for kind in kinds:
        lines += [f"### {kind}", "", *_listed(by_kind[kind]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _listed(reasons: dict[str, list[str]]) -> list[str]:
    return [
        f"{number}. {name}: {_codes(dict.fromkeys(fields))}"
        for number, (name, fields) in enumerate(reasons.items(), start=1)
    ]


def _codes(fields: dict[str, bool] | dict[str, None]) -> str:
    return ", ".join(field if "`" in field else f"`{field}`" for field in fields)


# --- state


def state() -> str:
    """Every table of the ledger's state, and every record in it."""
    lines = [
        "# State",
        "",
        NOTE,
        "All that the ledger keeps. Hashed tables are proved by the app hash, each as a store of",
        "its name. The others follow from the messages, or are on their way into a round's sealed",
        "trees, whose roots stand in the round. A key behind a semicolon lies in the scope of what",
        "stands before it. Values are MessagePack arrays of a record's fields in their order, an",
        "order or other variant behind its tag.",
        "",
        "| Table | Key | Record | Hashed |",
        "|---|---|---|---|",
    ]
    records: dict[str, Any] = {}
    for table in TABLES:
        kinds = get_args(table.record) or (table.record,)
        records |= {kind.__name__: kind for kind in kinds}
        names = " or ".join(f"[{kind.__name__}](#{kind.__name__.lower()})" for kind in kinds)
        lines.append(f"| `{table.name}` | {table.keys} | {names} | {'yes' * table.hashed} |")
    lines += [
        "",
        "A round's sealed trees are kept outside the tables, items ascending by id; their roots",
        "stand in the round:",
        "",
        "| Tree | Id | Item |",
        "|---|---|---|",
        "| orders | order id | the order, at the gate |",
        "| awards | order id | the award |",
        "| readings | port, empty for the main meter | the signed reading |",
        "| settlements | order id | the settled award |",
    ]
    _add_parts(records)
    for name in sorted(records):
        lines += ["", f"## {name}", "", *_record(records[name])]
    return "\n".join(lines) + "\n"


def _add_parts(records: dict[str, Any]) -> None:
    """The records that records consist of."""
    for kind in (market.Prices, market.TariffStep, market.Clearing, market.SettlementTotals,
                 readings.MeterReading):  # fmt: skip
        records[kind.__name__] = kind


def _record(kind: Any) -> list[str]:
    text = " ".join(str(kind.__doc__).split())
    rows = [f"| `{each.name}` | {_form(msgspec.inspect.type_info(each.type))} |"
            for each in msgspec.structs.fields(kind)]  # fmt: skip
    return [text, "", "| Field | Form |", "|---|---|", *rows]


def _form(kind: msgspec.inspect.Type) -> str:
    """A type in words, with its bounds."""
    match kind:
        case msgspec.inspect.IntType(ge=low, le=high):
            return "whole number" if low is None else f"whole number, {low} to {high:,}"
        case msgspec.inspect.BytesType(min_length=low, max_length=high):
            return f"{low} bytes" if low and low == high else "bytes"
        case msgspec.inspect.StrType(pattern=pattern):
            return "text" if pattern is None else "name"
        case msgspec.inspect.BoolType():
            return "yes or no"
        case msgspec.inspect.EnumType(cls=cls):
            return ", ".join(f"{each.value} {each.name}" for each in cls)
        case msgspec.inspect.StructType(cls=cls):
            return str(cls.__name__)
        case msgspec.inspect.VarTupleType(item_type=item):
            return f"list of {_form(item)}"
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(map(_form, types))
        case msgspec.inspect.NoneType():
            return "nothing"
    raise TypeError(kind)


# --- life cycle


def life_cycle() -> str:
    """The life of a round as a diagram."""
    lines = [
        "# The life of a round",
        "",
        NOTE,
        "Time alone moves a round on: what is due stands in the ledger's agenda, and every block",
        "does a bounded share of it, oldest first. Market time is block time or, on a simulated",
        "chain, that of the clock's ticks.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> OPEN: OpenRound",
        *(f"    {move.before.name} --> {move.after.name}: {move.trigger}" for move in life.LIFE),
        *(f"    {status.name} --> [*]" for status in life.FINAL),
        "```",
        "",
        "| Status | Number | Meaning |",
        "|---|---:|---|",
        *(f"| {status.name} | {status.value} | {MEANING[status]} |" for status in RoundStatus),
    ]
    return "\n".join(lines) + "\n"


MEANING = {
    RoundStatus.OPEN: "Orders come and go.",
    RoundStatus.CLOSED: "The book is sealed; what the ledger clears itself is cleared at once. In "
    "an auction the silent are reported, and may answer.",
    RoundStatus.PROPOSED: "Prices or last bids prove a clearing; a better one may still come.",
    RoundStatus.CLEARED: "Awards stand, prices are fixed, holds have shrunk to what can be lost.",
    RoundStatus.DELIVERED: "The slot is over; readings are awaited.",
    RoundStatus.SETTLED: "Money has moved; a driver may still object.",
    RoundStatus.ENDED: "Its rows live on in the sealed trees alone.",
    RoundStatus.VOID: "Nobody ordered; nothing was held.",
}
PAGES = {"reasons.md": reasons, "state.md": state, "life-cycle.md": life_cycle}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (ROOT / "docs" / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
