"""Was the supervisor's value at risk right in this market? Its method, minute by minute, against what came.

A unit of each instrument is held long, and short, through all of the session: what is tested is the measure, not the
trades. Before each minute the method of `risk.tails` says VaR and ES of that minute from the minutes before it, and
the minute's loss is held against them (`risk.backtests`). Mids are those that the supervisor saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.model.instruments import Instrument
from spyhop.model.observations import Comparison
from spyhop.reports.model import TailTest
from spyhop.risk.backtests import backtest
from spyhop.risk.comparisons import Cause
from spyhop.risk.tails import TailParams, TailRisk, measured

NEEDED = 250
"""Fewer minutes tell nothing: at 1 % they promise two and a half losses beyond the VaR (Basel's least, in days)."""
MOST = 1_440
"""So many of the newest minutes are tested: each is measured from its whole window."""
_LONGEST = 20_000
_SEED = 20_251_128
_DRAWS = 999


def tests(
    settings: Mapping[str, Any], compared: Sequence[Comparison], instruments: Mapping[int, Instrument]
) -> list[TailTest]:
    """Return the tests of each instrument, long and short; none when the settings do not tell how tails are measured.

    `compared` is in order of time; what is no comparison at a decision is left out.
    """
    told = settings.get("risk")
    if not isinstance(told, Mapping) or "tails" not in told:
        return []
    params = msgspec.convert(told["tails"], TailParams)
    seen = TailRisk(msgspec.structs.replace(params, window_min=_LONGEST))
    for one in compared:
        if one.cause == Cause.DECISION:
            seen.observe(one.observed)
    return [
        _test(instrument.symbol, side, seen.profits({number: float(side)}), params)
        for number, instrument in instruments.items()
        for side in (1, -1)
    ]


def _test(symbol: str, side: int, profits: npt.NDArray[np.float64], params: TailParams) -> TailTest:
    first = max(params.min_returns, len(profits) - MOST)
    steps = range(first, len(profits))
    about = TailTest(
        symbol=symbol,
        side="long" if side > 0 else "short",
        method=params.method.value,
        probability=params.probability,
        minutes=len(steps),
        minutes_needed=NEEDED,
    )
    if len(steps) < NEEDED:
        return about
    said = [measured(profits[max(0, step - params.window_min) : step], params) for step in steps]
    es = np.array([tail.es for tail in said])
    found = backtest(
        -profits[first:],
        np.array([tail.var for tail in said]),
        params.probability,
        np.random.default_rng(_SEED),
        es if bool(np.all(es > 0.0)) else None,
        _DRAWS,
    )
    return msgspec.structs.replace(
        about,
        expected=found.expected,
        exceedances=found.exceedances,
        coverage_p=found.coverage.p_simulated,
        independence_p=found.independence.p_simulated,
        shortfall_z=found.shortfall.statistic if found.shortfall else None,
        shortfall_p=found.shortfall.p_simulated if found.shortfall else None,
    )
