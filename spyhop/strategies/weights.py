"""Weights as data: a sparse file of strategy -> evidence -> weight, made dense and checked once."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from spyhop.errors import InvalidSetting, MissingInput, UnknownSetting
from spyhop.model.decisions import STRATEGIES
from spyhop.model.tape import Side
from spyhop.strategies.evidence import NAMES

SHIPPED = Path(__file__).with_name("weights.toml")
_STATUSES = ("prior", "fitted")
_FIXED = {"long": Side.BUY, "short": Side.SELL, "none": Side.NONE}


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    direction: Literal["long", "short", "none"] | dict[str, float]
    bias: float = 0.0
    evidence: dict[str, float] = {}


class Weights(msgspec.Struct, frozen=True):
    """Dense weights: `matrix` and `compass` are (23, len(NAMES)), `biases` and `sides` (23,).

    A strategy's side is `sides[k]`, or where that is 0 the sign of `compass[k]` times the evidence.
    """

    status: Literal["prior", "fitted"]
    matrix: Any
    biases: Any
    sides: tuple[Side, ...]
    compass: Any


def load(path: Path | None = None) -> Weights:
    """Return the weights of a TOML file, the shipped ones unless a path is given.

    Raise MissingInput when it cannot be read, UnknownSetting (with the nearest name) or InvalidSetting when what it
    says is not a weight of a strategy.
    """
    source = path or SHIPPED
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInput(f"the weights file {source} cannot be read: {error}") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSetting("weights", f"not TOML: {error}", str(source)) from error
    return build(table, str(source))


def build(table: Mapping[str, Any], origin: str = "") -> Weights:
    """Return the weights of a table of strategies; raise UnknownSetting or InvalidSetting."""
    status = table.get("status")
    if status not in _STATUSES:
        raise InvalidSetting("status", f"must be one of {', '.join(_STATUSES)}, not {status!r}", origin)
    given = {name: entry for name, entry in table.items() if name != "status"}
    _refuse_unknown("", given, STRATEGIES, origin)
    missing = [name for name in STRATEGIES if name not in given]
    if missing:
        raise InvalidSetting(missing[0], "every strategy must have its weights", origin)
    matrix = np.zeros((len(STRATEGIES), len(NAMES)))
    compass = np.zeros_like(matrix)
    biases = np.zeros(len(STRATEGIES))
    sides = []
    for k, name in enumerate(STRATEGIES):
        entry = _entry(name, given[name], origin)
        biases[k] = _finite(f"{name}.bias", entry.bias, origin)
        _fill(matrix[k], f"{name}.evidence", entry.evidence, origin)
        if isinstance(entry.direction, dict):
            _fill(compass[k], f"{name}.direction", entry.direction, origin)
            sides.append(Side.NONE)
        else:
            sides.append(_FIXED[entry.direction])
    return Weights(status, matrix, biases, tuple(sides), compass)


def _entry(name: str, raw: Any, origin: str) -> _Entry:
    try:
        return msgspec.convert(raw, _Entry)
    except msgspec.ValidationError as error:
        raise InvalidSetting(name, str(error), origin) from error


def _fill(line: Any, key: str, given: Mapping[str, float], origin: str) -> None:
    _refuse_unknown(f"{key}.", given, NAMES, origin)
    for name, weight in given.items():
        line[NAMES.index(name)] = _finite(f"{key}.{name}", weight, origin)


def _finite(key: str, number: float, origin: str) -> float:
    if not math.isfinite(number):
        raise InvalidSetting(key, f"{number} is not a finite number", origin)
    return number


def _refuse_unknown(prefix: str, given: Iterable[str], known: tuple[str, ...], origin: str) -> None:
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            raise UnknownSetting(prefix + name, nearest[0] if nearest else "", origin)
