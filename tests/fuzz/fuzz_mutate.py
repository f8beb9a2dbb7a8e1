"""Changes an encoded record by its structure, so that most of what comes out still decodes.

Knows msgpack and JSON as trees, no record. Chance comes from the caller.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

BOUNDS = (-1, 0, 1, 2, 31, 32, 255, 256, 10**9, 10**12, 10**16, 2**53, 2**53 + 1, 2**63, 2**64 - 1)
TEXTS = ("", "a", "A b", "p1", "rounds", "orders", "x" * 49, "\0", "é", "[red]", "../a", "\n")


def _json(tree: Any) -> bytes:
    return json.dumps(tree, indent=2, sort_keys=True).encode() + b"\n"


FORMS: tuple[tuple[Callable[[bytes], Any], Callable[[Any], bytes]], ...] = (
    (msgspec.msgpack.decode, msgspec.msgpack.encode),
    (json.loads, _json),
)


def mutated(data: bytes, chance: Random) -> bytes | None:
    """The bytes with one place of their tree changed; none where they are no tree."""
    for decoder, encoder in FORMS:
        try:
            return encoder(_changed(decoder(data), chance))
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
            continue
    return None


def _changed(tree: Any, chance: Random) -> Any:
    """A tree with one place changed: somewhere below, or here."""
    if isinstance(tree, dict) and tree and chance.random() < 0.9:
        at = chance.choice(list(tree))
        return tree | {at: _changed(tree[at], chance)}
    if isinstance(tree, list) and tree and chance.random() < 0.9:
        at = chance.randrange(len(tree))
        return [*tree[:at], _changed(tree[at], chance), *tree[at + 1 :]]
    return _another(tree, chance)


def _another(value: Any, chance: Random) -> Any:
    match value:
        case bool():
            return chance.choice((not value, None, 1))
        case int():
            return chance.choice((value - 1, value + 1, value * 2, value ^ 1, *BOUNDS, None))
        case str():
            return chance.choice((*TEXTS, value + "a", value[:-1], value.upper(), 1))
        case bytes():
            return _other_bytes(value, chance)
        case list():
            return chance.choice(([], value[:-1], value + value[-1:], value[::-1], None))
        case dict():
            return chance.choice(({}, dict(list(value.items())[1:]), value | {"a": 1}, []))
    return chance.choice((0, 1, b"", "", [], {}))


def _other_bytes(value: bytes, chance: Random) -> bytes:
    """Bytes that hold a record are changed by its structure; others at a bit or in length."""
    if len(value) > 64 and chance.random() < 0.8:
        inner = mutated(value, chance)
        if inner is not None:
            return inner
    if value and chance.random() < 0.5:
        at = chance.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]
    return chance.choice((b"", value[:-1], value + b"\0", bytes(32), bytes(len(value)), value * 2))
