"""The space of a sweep: which settings vary, between what, and every point of it as a row of numbers.

An axis is written PATH=LOW:HIGH (any number between), PATH=LOW:HIGH:STEP, PATH=LOW:HIGH:log (any, by its logarithm) or
PATH=a,b,c. PATH is a setting of the tree, or one of an objective's own. A row holds numbers as they are, true and false
as 1 and 0, and words as their codes: `short`, `both`, `long` as -1, 0, 1, others by their place in the axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.config import tree
from spyhop.config.settings import Settings
from spyhop.errors import InvalidSetting, UserError

ORIGIN = "--param"
MOST_SETTINGS = 10_000_000
SIDES = {"short": -1.0, "both": 0.0, "long": 1.0}

Value = float | bool | str


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that varies: over `values`, or where there are none over all numbers from `low` to `high`."""

    path: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_whole: bool = False
    """Whether the setting takes whole numbers only."""

    def codes(self) -> npt.NDArray[np.float64]:
        """Return the numbers that stand for `values`."""
        words = {value for value in self.values if isinstance(value, str)}
        sides = SIDES if words <= set(SIDES) else {str(value): float(place) for place, value in enumerate(self.values)}
        return np.array([sides[value] if isinstance(value, str) else float(value) for value in self.values])

    def spelled(self, code: float) -> Value:
        """Return the value that `code` stands for."""
        if not self.values:
            return round(code) if self.is_whole else float(code)
        value = self.values[int(np.argmin(np.abs(self.codes() - code)))]
        return round(value) if self.is_whole and isinstance(value, float | int) else value


class Space(msgspec.Struct, frozen=True):
    """The axes of a sweep, each with a path of its own."""

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        paths = self.names
        if not paths:
            raise UserError("a sweep needs something that varies: --param PATH=LOW:HIGH:STEP, or PATH=a,b,c")
        if twice := next((path for path in paths if paths.count(path) > 1), ""):
            raise UserError(f"--param {twice} is given twice; list all its values in one")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the paths, in the order of the columns."""
        return tuple(axis.path for axis in self.axes)

    def grid(self) -> npt.NDArray[np.float64]:
        """Return every combination, float64 (n, k), the last axis fastest; raise UserError where there is no end."""
        for axis in self.axes:
            if not axis.values:
                raise UserError(
                    f"a grid needs the step of {axis.path}: {axis.path}={axis.low:g}:{axis.high:g}:STEP, "
                    "or --search random"
                )
        size = math.prod(len(axis.values) for axis in self.axes)
        if size > MOST_SETTINGS:
            raise UserError(f"the grid has {size:,} settings, more than {MOST_SETTINGS:,}: take wider steps or sample")
        columns = np.meshgrid(*(axis.codes() for axis in self.axes), indexing="ij")
        return np.stack([column.ravel() for column in columns], axis=1)

    def sample(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return up to `count` points drawn evenly, float64 (n, k); one that is drawn again is left out."""
        columns = [_drawn(axis, count, rng) for axis in self.axes]
        points = np.stack(columns, axis=1)
        _, first = np.unique(points, axis=0, return_index=True)
        return points[np.sort(first)]

    def spelled(self, row: npt.NDArray[np.float64]) -> dict[str, Value]:
        """Return the settings of one row, by path, as the tree of settings takes them."""
        return {axis.path: axis.spelled(float(code)) for axis, code in zip(self.axes, row, strict=True)}


def parsed(texts: Sequence[str], own: Sequence[str], base: Settings, *, is_cheap: bool) -> Space:
    """Return the space of the `--param` texts.

    An objective that `is_cheap` understands its `own` paths only; another one every path of the tree, and its own.
    Raises UserError, UnknownSetting or InvalidSetting, each one sentence.
    """
    return Space(tuple(_axis(text, own, base, is_cheap=is_cheap) for text in texts))


def applied(base: Settings, assignment: dict[str, Value]) -> Settings:
    """Return `base` with the settings of `assignment`; raise InvalidSetting where the tree refuses them."""
    kinds = tree.leaves(Settings)
    values = {path: tree.value_at(base, path) for path in kinds}
    for path, value in assignment.items():
        values[path] = tree.converted(path, kinds[path], value, ORIGIN, is_text=False)
    settings: Settings = tree.built(Settings, values, dict.fromkeys(assignment, ORIGIN))
    return settings


def _axis(text: str, own: Sequence[str], base: Settings, *, is_cheap: bool) -> Axis:
    path, equals, range_ = (part.strip() for part in text.partition("="))
    if not equals or not path or not range_:
        raise UserError(
            f"--param {text!r}: expected PATH=LOW:HIGH:STEP, such as --param lead.fall_frac=0.001:0.003:0.0005"
        )
    kinds: dict[str, Any] = tree.leaves(Settings)
    if path not in kinds and path not in own:
        raise tree.unknown(path, [*own, *([] if is_cheap else kinds)], ORIGIN)
    if is_cheap and path not in own:
        raise UserError(f"--param {path}: this objective varies {', '.join(own)}; others need --objective backtest")
    kind = kinds.get(path, float)
    if ":" not in range_:
        parts = [part.strip() for part in range_.split(",") if part.strip()]
        values = tuple(_value(path, kind, part, base) for part in parts)
        if len(set(values)) < len(values):
            raise UserError(f"--param {path} has the same value twice")
        return Axis(path=path, values=values, is_whole=_plain(kind) is int)
    return _range(path, kind, range_.split(":"), base)


def _range(path: str, kind: Any, parts: Sequence[str], base: Settings) -> Axis:
    if len(parts) not in (2, 3):
        raise UserError(f"--param {path}={':'.join(parts)}: expected LOW:HIGH, LOW:HIGH:STEP or LOW:HIGH:log")
    low, high = (_value(path, kind, part.strip(), base) for part in parts[:2])
    if isinstance(low, str | bool) or isinstance(high, str | bool):
        raise UserError(f"--param {path} is no number: list its values, such as {path}=a,b")
    if low >= high:
        raise UserError(f"--param {path}: {low:g} is not below {high:g}")
    is_whole = _plain(kind) is int
    if len(parts) == 2 or parts[2].strip() == "log":
        if len(parts) == 3 and low <= 0:
            raise UserError(f"--param {path}: a logarithm needs numbers above 0, and {low:g} is not")
        return Axis(path=path, low=low, high=high, is_log=len(parts) == 3, is_whole=is_whole)
    try:
        step = float(parts[2])
    except ValueError:
        step = math.nan
    if not 0 < step < math.inf or (is_whole and step != round(step)):
        raise UserError(f"--param {path}: {parts[2]!r} is no step; give a number above 0, or log")
    count = math.floor((high - low) / step + 1e-9) + 1
    if count > MOST_SETTINGS:
        raise UserError(f"--param {path} has {count:,} steps, more than {MOST_SETTINGS:,}")
    # 0.1 + 2 * 0.1 is not 0.3; a person meant 0.3
    values = tuple(float(f"{low + number * step:.12g}") for number in range(count))
    return Axis(path=path, values=values, is_whole=is_whole)


def _value(path: str, kind: Any, text: str, base: Settings) -> Value:
    value = tree.converted(path, kind, text, ORIGIN, is_text=True)
    if isinstance(value, int) and not isinstance(value, bool) and _plain(kind) is float:
        value = float(value)
    if not isinstance(value, bool | int | float | str):
        raise InvalidSetting(path, "is a list, which a sweep cannot vary", ORIGIN)
    if path in tree.leaves(Settings):
        applied(base, {path: value})
    return value


def _plain(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _drawn(axis: Axis, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    if axis.values:
        return rng.choice(axis.codes(), count)
    if axis.is_whole and not axis.is_log:
        return rng.integers(int(axis.low), int(axis.high), count, endpoint=True).astype(np.float64)
    drawn: npt.NDArray[np.float64]
    if axis.is_log:
        drawn = np.exp(rng.uniform(math.log(axis.low), math.log(axis.high), count))
    else:
        drawn = rng.uniform(axis.low, axis.high, count)
    drawn = np.clip(drawn, axis.low, axis.high)
    return drawn.round() if axis.is_whole else drawn
