"""What a sweep maximises: many settings in, what each would have earned period by period out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]
"""The data of an objective, read-only; placed once where every worker maps it."""


class Evaluated(NamedTuple):
    """What n settings earned: `pnl` float32 (n, T), net fractions of notional, of trades entered in each of T periods;
    `num_trades` int32 (n,)."""

    pnl: npt.NDArray[Any]
    num_trades: npt.NDArray[Any]


class Objective(Protocol):
    """A cheap objective: a pure function over arrays, so that a worker needs nothing but these and a batch."""

    @property
    def name(self) -> str:
        """Return what it is called on the command line."""
        ...

    @property
    def paths(self) -> Sequence[str]:
        """Return the settings it understands, by path, such as `lead.window_s`."""
        ...

    def periods(self, arrays: Arrays) -> npt.NDArray[Any]:
        """Return the beginnings of the T periods, nanoseconds UTC, int64."""
        ...

    def evaluate(self, arrays: Arrays, names: Sequence[str], settings: npt.NDArray[Any]) -> Evaluated:
        """Evaluate `settings`, float64 (n, k), whose columns are the settings called `names`; others are defaults."""
        ...
