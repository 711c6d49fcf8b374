"""Protocol buffers on the wire, for messages declared as tables; stricter than the runtime, as a chain is.

A message is a msgspec Struct whose `shape` lists its fields. What a chain refuses is refused here: fields that nobody
declared, wire types that do not fit, numbers too wide for their type, singular fields that come twice, torn data.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from spyhop.errors import SpyhopError


class Malformed(SpyhopError):
    """Bytes that are not a message of the declared shape."""


class Scalar(StrEnum):
    """The scalar types that the chain's transactions use."""

    UINT32 = "uint32"
    UINT64 = "uint64"
    FIXED32 = "fixed32"
    BOOL = "bool"
    ENUM = "enum"
    STRING = "string"
    BYTES = "bytes"


class Message(msgspec.Struct):
    """A message; subclasses declare attributes and their `shape`."""

    shape: ClassVar[tuple[Field, ...]] = ()


class Field(NamedTuple):
    """One field of a shape. An `is_optional` one is None when absent and written even when it is zero."""

    number: int
    name: str
    type: Scalar | type[Message]
    is_repeated: bool = False
    is_optional: bool = False


M = TypeVar("M", bound=Message)
Value: TypeAlias = int | bool | str | bytes | Message

_VARINT, _LENGTH, _FIXED32 = 0, 2, 5
_WIRE_OF: Final[dict[Scalar | type[Message], int]] = {
    Scalar.FIXED32: _FIXED32,
    Scalar.STRING: _LENGTH,
    Scalar.BYTES: _LENGTH,
}
_WIDTH: Final = {Scalar.UINT32: 32, Scalar.UINT64: 64, Scalar.ENUM: 31, Scalar.BOOL: 1}


def decode(kind: type[M], data: bytes) -> M:
    """Return the message in `data`; raise Malformed."""
    known = {field.number: field for field in kind.shape}
    values: dict[str, Value | tuple[Value, ...]] = {}
    for number, wire, raw in _raw_fields(data):
        field = known.get(number)
        if field is None:
            raise Malformed(f"{kind.__name__} has no field {number}")
        if field.is_repeated:
            before = values.get(field.name, ())
            assert isinstance(before, tuple)
            values[field.name] = (*before, *_elements(field, wire, raw))
        elif field.name in values:
            raise Malformed(f"{field.name} comes twice")
        else:
            values[field.name] = _value(field, wire, raw)
    return kind(**values)


def encode(message: Message) -> bytes:
    """Return the bytes of `message`, fields in order of their declaration, zeros left out as proto3 does."""
    out = bytearray()
    for field in message.shape:
        value = getattr(message, field.name)
        if field.is_repeated:
            out += _encoded_list(field, value)
        elif value is not None and (field.is_optional or isinstance(value, Message) or value):
            out += _encoded(field, value)
    return bytes(out)


def _raw_fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Malformed("a field has number 0")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _LENGTH:
            length, at = _varint(data, at)
        elif wire == _FIXED32:
            length = 4
        else:
            raise Malformed(f"wire type {wire} is not used here")
        if at + length > end:
            raise Malformed("the data ends inside a field")
        yield number, wire, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + 10, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise Malformed("a varint is wider than 64 bits")
            return value, place + 1
        shift += 7
    raise Malformed("a varint does not end")


def _value(field: Field, wire: int, raw: int | bytes) -> Value:
    if not isinstance(field.type, Scalar):
        if wire != _LENGTH or not isinstance(raw, bytes):
            raise Malformed(f"{field.name} has wire type {wire}")
        return decode(field.type, raw)
    if wire != _WIRE_OF.get(field.type, _VARINT):
        raise Malformed(f"{field.name} has wire type {wire}")
    if isinstance(raw, int):
        if raw >> _WIDTH[field.type]:
            raise Malformed(f"{field.name} is too wide for {field.type}")
        return bool(raw) if field.type is Scalar.BOOL else raw
    if field.type is Scalar.FIXED32:
        return int.from_bytes(raw, "little")
    if field.type is Scalar.STRING:
        try:
            return raw.decode()
        except UnicodeDecodeError as reason:
            raise Malformed(f"{field.name} is not UTF-8") from reason
    return raw


def _elements(field: Field, wire: int, raw: int | bytes) -> Iterator[Value]:
    if wire != _LENGTH or not isinstance(raw, bytes) or _WIRE_OF.get(field.type, _VARINT) == _LENGTH:
        yield _value(field, wire, raw)
        return
    if not isinstance(field.type, Scalar):
        yield decode(field.type, raw)
        return
    at = 0
    while at < len(raw):  # packed
        if field.type is Scalar.FIXED32:
            if at + 4 > len(raw):
                raise Malformed(f"{field.name} ends inside a number")
            yield int.from_bytes(raw[at : at + 4], "little")
            at += 4
        else:
            number, at = _varint(raw, at)
            yield _value(field, _VARINT, number)


def _encoded(field: Field, value: Value) -> bytes:
    if isinstance(value, Message):
        return _delimited(field.number, encode(value))
    if isinstance(value, str):
        return _delimited(field.number, value.encode())
    if isinstance(value, bytes):
        return _delimited(field.number, value)
    if field.type is Scalar.FIXED32:
        return _encoded_varint(field.number << 3 | _FIXED32) + value.to_bytes(4, "little")
    return _encoded_varint(field.number << 3 | _VARINT) + _encoded_varint(int(value))


def _encoded_list(field: Field, values: tuple[Value, ...]) -> bytes:
    if not values or not isinstance(field.type, Scalar) or _WIRE_OF.get(field.type) == _LENGTH:
        return b"".join(_encoded(field, value) for value in values)
    numbers = [int(value) for value in values if isinstance(value, int)]
    if field.type is Scalar.FIXED32:
        return _delimited(field.number, b"".join(number.to_bytes(4, "little") for number in numbers))
    return _delimited(field.number, b"".join(_encoded_varint(number) for number in numbers))


def _delimited(number: int, data: bytes) -> bytes:
    return _encoded_varint(number << 3 | _LENGTH) + _encoded_varint(len(data)) + data


def _encoded_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
