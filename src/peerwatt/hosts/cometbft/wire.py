"""Protobuf as CometBFT speaks it, without sockets: frames, and messages by a table of fields.

Knows bytes and no meaning. A message is a frozen record whose fields carry their number in
their type; a field that is absent has its default, a field with its default is not written,
and fields that the table does not name are passed over. See docs/adr/0010.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import (
    Any,
    NamedTuple,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

MAX_FRAME_BYTES = 1 << 26
"""More than the largest block, genesis or snapshot chunk that comes in one message."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10
_SIGN, _WRAP = 1 << 63, 1 << 64

M = TypeVar("M", bound="Message")


class WireError(ValueError):
    """Bytes that are no message; says in one line what is wrong with them."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Message(msgspec.Struct, frozen=True):
    """Base of all messages: `name: Annotated[type, number] = default`.

    Types are bytes, str, bool, int (any of protobuf's varint integers and enums), another message
    (or none), and tuples of these.
    """


class _Field(NamedTuple):
    name: str
    number: int
    kind: type
    repeated: bool
    default: Any

    @property
    def is_number(self) -> bool:
        return self.kind in (int, bool)


@cache
def fields_of(kind: type[Message]) -> dict[int, _Field]:
    """A message's fields by number."""
    defaults = {each.name: each.default for each in msgspec.structs.fields(kind)}
    fields = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        value_type, number = get_args(hint)
        repeated = get_origin(value_type) is tuple
        inner = get_args(value_type)
        plain = inner[0] if inner else value_type
        fields[number] = _Field(name, number, plain, repeated, defaults[name])
    return dict(sorted(fields.items()))


def varint(number: int) -> bytes:
    """An unsigned number, seven bits a byte, lowest first."""
    if 0 <= number < 0x80:
        return number.to_bytes(1, "little")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes | bytearray, at: int, end: int) -> tuple[int, int] | None:
    """An unsigned number of at most 64 bits and where it ends; none if it is cut off.

    Raises:
        WireError: it is longer than any such number.
    """
    number = shift = 0
    for position in range(at, min(end, at + _MAX_VARINT_BYTES)):
        byte = data[position]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >= _WRAP:
                break
            return number, position + 1
        shift += 7
    else:
        if end - at < _MAX_VARINT_BYTES:
            return None
    raise WireError(f"byte {at}: a number of more than 64 bits")


def encode(message: Message) -> bytes:
    """The bytes of a message, fields ascending by number."""
    out = bytearray()
    for field in fields_of(type(message)).values():
        value = getattr(message, field.name)
        if value == field.default and value is not None:
            continue
        if not field.repeated:
            if value is not None:
                _write(out, field, value)
        elif field.is_number:
            packed = b"".join(varint(each % _WRAP) for each in value)
            out += varint(field.number << 3 | _LENGTH) + varint(len(packed)) + packed
        else:
            for each in value:
                _write(out, field, each)
    return bytes(out)


def _write(out: bytearray, field: _Field, value: Any) -> None:
    if field.is_number:
        out += varint(field.number << 3 | _VARINT)
        out += varint(int(value) % _WRAP)
        return
    if isinstance(value, Message):
        value = encode(value)
    elif isinstance(value, str):
        value = value.encode()
    out += varint(field.number << 3 | _LENGTH)
    out += varint(len(value))
    out += value


def decode(data: bytes, kind: type[M]) -> M:
    """The message of this kind in these bytes.

    Raises:
        WireError: they are cut off, or a field is not of its type.
    """
    return _decode(data, 0, len(data), kind)


def _decode(data: bytes, at: int, end: int, kind: type[M]) -> M:
    fields = fields_of(kind)
    found: dict[str, Any] = {}
    while at < end:
        tag, at = _number(data, at, end)
        field, wire = fields.get(tag >> 3), tag & 7
        if field is None:
            at = _skip(data, at, end, wire)
        elif wire == _VARINT and field.is_number:
            number, at = _number(data, at, end)
            _keep(found, field, _signed(number, field))
        elif wire == _LENGTH:
            start, at = _span(data, at, end)
            if not field.is_number:
                _keep(found, field, _value(data, start, at, field))
            elif field.repeated:
                while start < at:
                    number, start = _number(data, start, at)
                    _keep(found, field, _signed(number, field))
            else:
                raise WireError(f"{kind.__name__}.{field.name}: is not of its type")
        else:
            raise WireError(f"{kind.__name__}.{field.name}: is not of its type")
    for name, value in found.items():
        if isinstance(value, list):
            found[name] = tuple(value)
    return kind(**found)


def _keep(found: dict[str, Any], field: _Field, value: Any) -> None:
    """A field that comes twice holds what came last, a repeated one all."""
    if field.repeated:
        found.setdefault(field.name, []).append(value)
    else:
        found[field.name] = value


def _number(data: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    read = read_varint(data, at, end)
    if read is None:
        raise WireError(f"byte {at}: cut off in a number")
    return read


def _signed(number: int, field: _Field) -> int | bool:
    if field.kind is bool:
        return number != 0
    return number - _WRAP if number & _SIGN else number


def _span(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where a value behind its length starts and ends."""
    size, start = _number(data, at, end)
    if size > end - start:
        raise WireError(f"byte {at}: cut off, {size} bytes were announced")
    return start, start + size


def _value(data: bytes, start: int, end: int, field: _Field) -> Any:
    if field.kind is bytes:
        return data[start:end]
    if field.kind is not str:
        return _decode(data, start, end, field.kind)
    try:
        return data[start:end].decode()
    except UnicodeDecodeError:
        raise WireError(f"{field.name}: is not text") from None


def _skip(data: bytes, at: int, end: int, wire: int) -> int:
    """Where a value that nobody asked for ends."""
    if wire == _VARINT:
        return _number(data, at, end)[1]
    if wire == _LENGTH:
        return _span(data, at, end)[1]
    size = _FIXED_BYTES.get(wire)
    if size is None:
        raise WireError(f"byte {at}: wire type {wire} is none that is in use")
    if size > end - at:
        raise WireError(f"byte {at}: cut off in a number")
    return at + size


def frame(data: bytes) -> bytes:
    """A message as it stands in a stream: behind its length."""
    return varint(len(data)) + data


class Frames:
    """Cuts a stream, however it arrives, into messages."""

    __slots__ = ("_data", "_max_bytes")

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._data = bytearray()
        self._max_bytes = max_bytes

    @property
    def held(self) -> int:
        """How many bytes wait for the rest of their message."""
        return len(self._data)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Every message that is whole once these bytes have come.

        Raises:
            WireError: a message is longer than any may be, or its length is no number. The stream
                is worth nothing after that.
        """
        self._data += data
        at = 0
        try:
            while True:
                end = len(self._data)
                length = read_varint(self._data, at, end)
                if length is None:
                    return
                size, start = length
                if size > self._max_bytes:
                    raise WireError(
                        f"a message of {size} bytes was announced, at most {self._max_bytes} "
                        "are allowed"
                    )
                if size > end - start:
                    return
                at = start + size
                yield bytes(self._data[start:at])
        finally:
            del self._data[:at]


Tables = dict[int, type[Message]]


class Union(NamedTuple):
    """A message that holds exactly one of several, told by its field number."""

    name: str
    kinds: Tables

    def encode(self, message: Message) -> bytes:
        """The union's bytes around one of its messages."""
        body = encode(message)
        return varint(self.number(type(message)) << 3 | _LENGTH) + varint(len(body)) + body

    def number(self, kind: type[Message]) -> int:
        """The field number of a kind; KeyError if the union has it not."""
        return _numbers(self.name, tuple(self.kinds.items()))[kind]

    def decode(self, data: bytes) -> Message:
        """The message in a union's bytes, the last one if there are several.

        Raises:
            WireError: there is none that the union knows, or it is malformed.
        """
        at, end, found = 0, len(data), None
        others: list[int] = []
        while at < end:
            tag, at = _number(data, at, end)
            kind, wire = self.kinds.get(tag >> 3), tag & 7
            if kind is None:
                others.append(tag >> 3)
                at = _skip(data, at, end, wire)
            elif wire != _LENGTH:
                raise WireError(f"{self.name}: field {tag >> 3} is not of its type")
            else:
                start, at = _span(data, at, end)
                found = _decode(data, start, at, kind)
        if found is None:
            what = f"field {others[0]} is none that is known" if others else "is empty"
            raise WireError(f"{self.name}: {what}")
        return found


@cache
def _numbers(name: str, kinds: tuple[tuple[int, type[Message]], ...]) -> dict[type[Message], int]:
    return {kind: number for number, kind in kinds}
