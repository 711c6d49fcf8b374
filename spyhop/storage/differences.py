"""The first difference between what was recorded and what a replay said, to the bit."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import zip_longest

import msgspec

from spyhop.clock import iso_ms
from spyhop.model.entries import Entry


class Difference(msgspec.Struct, frozen=True):
    """Where two journals part: the entry's number in canonical order, the field, and both values as text."""

    index: int
    entry: str
    field: str
    recorded: str
    replayed: str

    def __str__(self) -> str:
        return f"entry {self.index} ({self.entry}), {self.field}: recorded {self.recorded}, replayed {self.replayed}"


def differences(recorded: Sequence[Entry], replayed: Sequence[Entry]) -> Difference | None:
    """Return the first difference between two journals, None when they are equal to the bit.

    Both are put in canonical order first. Floats are equal when their bits are: 0.0 differs from -0.0, NaN equals
    itself. A whole number in a field of floats is the float that a journal reads back.
    """
    pairs = zip_longest(sorted(recorded, key=_order), sorted(replayed, key=_order))
    for index, (one, other) in enumerate(pairs):
        if one is None or other is None:
            there = one or other
            assert there is not None
            texts = [_text(one) if one else "nothing", _text(other) if other else "nothing"]
            return Difference(index, _name(there), "entry", *texts)
        if one.order != other.order:
            return Difference(index, _name(min(one, other, key=_order)), "entry", _name(one), _name(other))
        found = _first("", one.message, other.message)
        if found is not None:
            return Difference(index, _name(one), *found)
    return None


def _order(entry: Entry) -> tuple[int, int, int]:
    return entry.order


def _name(entry: Entry) -> str:
    return f"{type(entry.message).__name__}, {entry.stage} {entry.seq} at {iso_ms(entry.ts)} = {entry.ts}"


def _text(thing: object) -> str:
    if isinstance(thing, float):
        return f"{thing!r} = {thing.hex()}"
    if isinstance(thing, Entry):
        return _name(thing)
    return repr(thing)


def _first(path: str, one: object, other: object) -> tuple[str, str, str] | None:
    """Return path and texts of the first leaf in which two values differ."""
    if isinstance(one, msgspec.Struct) and type(one) is type(other):
        names = one.__struct_fields__
        return _first_of([(_join(path, name), getattr(one, name), getattr(other, name)) for name in names])
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        if len(one) != len(other):
            return f"length of {path}", str(len(one)), str(len(other))
        return _first_of([(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))])
    return None if _is_equal(one, other) else (path or "message", _text(one), _text(other))


def _is_equal(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float) and float in (type(one), type(other)):
        return struct.pack("<d", one) == struct.pack("<d", other)
    return one == other


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _first_of(triples: Sequence[tuple[str, object, object]]) -> tuple[str, str, str] | None:
    found = (_first(*triple) for triple in triples)
    return next((difference for difference in found if difference is not None), None)
