"""A costly objective: a whole back-test for each setting, in the process that is given it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_HOUR
from spyhop.config.settings import Settings, decoded, encoded
from spyhop.research.objectives.objective import Arrays, Evaluated
from spyhop.wiring import backtests
from spyhop.wiring.backtests import Passed
from tune.space import Space, applied


class BackTest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole system over [start, end) of a lake, nanoseconds UTC, every worker reading the lake itself.

    `tables` are the settings that hold where `space` does not vary them.
    """

    tables: dict[str, object]
    space: Space
    lake: str
    symbols: tuple[str, ...]
    start: int
    end: int
    period_ns: int = NS_PER_HOUR

    @property
    def name(self) -> str:
        return "backtest"

    @property
    def paths(self) -> Sequence[str]:
        return self.space.names

    def periods(self, arrays: Arrays) -> npt.NDArray[np.int64]:
        """Return the beginnings of the periods from `start` on; the last may be shorter."""
        count = -(-(self.end - self.start) // self.period_ns)
        return self.start + np.arange(count, dtype=np.int64) * self.period_ns

    def evaluate(self, arrays: Arrays, names: Sequence[str], settings: npt.NDArray[np.float64]) -> Evaluated:
        """Back-test each of `settings` (n, k); raise InvalidSetting for one that the tree refuses."""
        pnl = np.zeros((len(settings), len(self.periods(arrays))), np.float32)
        num_trades = np.zeros(len(settings), np.int32)
        for row, point in enumerate(settings):
            found = self._run(point, lambda passed: True, b"")
            pnl[row], num_trades[row] = found.net, found.num_trades
        return Evaluated(pnl, num_trades)

    def walk(self, point: npt.NDArray[np.float64], on_period: Callable[[Passed], bool], kept: bytes = b"") -> None:
        """Back-test one setting; `on_period` hears of each period and may end it, `kept`, a snapshot, goes on."""
        self._run(point, on_period, kept)

    def _run(
        self, point: npt.NDArray[np.float64], on_period: Callable[[Passed], bool], kept: bytes
    ) -> backtests.Evaluation:
        settings = applied(decoded(self.tables), self.space.spelled(point))
        return backtests.evaluate(
            settings, self.lake, self.symbols, self.start, self.end, self.period_ns, on_period, kept
        )


def back_test(
    base: Settings, space: Space, lake: str, symbols: Sequence[str], start: int, end: int, period_ns: int
) -> BackTest:
    """Return the objective of back-tests under `base`."""
    return BackTest(
        tables=encoded(base),
        space=space,
        lake=lake,
        symbols=tuple(symbols),
        start=start,
        end=end,
        period_ns=period_ns,
    )
