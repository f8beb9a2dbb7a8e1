"""One canonical encoding of every record, and ids by hash.

Knows msgpack and SHA-256. A record is an array of its fields in their order; an
encoding that is not the one this module would write is refused, so that equal
records have equal bytes and one id.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import Any, TypeVar, dataclass_transform, get_args

import msgspec

_ENCODER = msgspec.msgpack.Encoder()
_POSITION = re.compile(r"\[(\d+)\]")
R = TypeVar("R")


class _KeywordOnly(msgspec.StructMeta):
    """Makes every record keyword-only: msgspec's own option does not pass on to subclasses."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> _KeywordOnly:
        options.setdefault("kw_only", True)
        return super().__new__(mcls, name, bases, namespace, **options)


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record(
    msgspec.Struct,
    metaclass=_KeywordOnly,
    frozen=True,
    array_like=True,
    forbid_unknown_fields=True,
    gc=False,
):
    """Base of all that is signed or stored: frozen, slotted, named fields, array encoding. Nothing
    frozen is part of a circle, so the collector of circles need not look at records."""


class CodecError(ValueError):
    """Bytes that are no canonical encoding; `field` names where, as far as is known."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


def encode(record: Any) -> bytes:
    """The canonical bytes of a record (or of a tuple of plain values)."""
    return _ENCODER.encode(record)


@cache
def _decoder(record_type: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(record_type)


def decode(data: bytes, record_type: type[R]) -> R:
    """The record of this type (or of one of a union's types) that these bytes encode.

    Raises:
        CodecError: not msgpack, a field out of type or bounds, or not the canonical form.
    """
    try:
        record: R = _decoder(record_type).decode(data)  # type: ignore[arg-type]
    except msgspec.ValidationError as error:
        field = _field_of(str(error), _member_type(data, record_type))
        raise CodecError(field, str(error).split(" - at")[0]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CodecError("encoding", str(error)) from None
    if _ENCODER.encode(record) != data:
        raise CodecError("encoding", "not the canonical form")
    return record


def _member_type(data: bytes, record_type: Any) -> Any:
    """The record type or, of a union, the one whose tag stands behind the array's first byte.

    The bytes are known to be wrong somewhere, so no more of them is read than that.
    """
    tag = data[1] if len(data) > 1 else None
    for each in get_args(record_type) or (record_type,):
        config = getattr(each, "__struct_config__", None)
        if config is not None and config.tag in (None, tag):
            return each
    return None


def _field_of(why: str, record_type: Any) -> str:
    """The name of the field at a position like `$[3]`; a tag, if there is one, has position 0."""
    found = _POSITION.search(why)
    if record_type is None or found is None:
        return "encoding"
    names = record_type.__struct_fields__
    at = int(found.group(1)) - (record_type.__struct_config__.tag is not None)
    return str(names[at]) if 0 <= at < len(names) else "encoding"


def digest(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def record_id(record: Any) -> bytes:
    """The id of a record: the hash of its canonical bytes."""
    return digest(_ENCODER.encode(record))
