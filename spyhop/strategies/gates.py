"""Hard gates: conditions under which a strategy may not be believed at all, whatever the evidence says."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.model.decisions import STRATEGIES
from spyhop.model.rows import DETECTORS, Health, RowFlag

_TIME = DETECTORS.index("time")


def _mask(*is_open: str) -> Any:
    return np.array([name in is_open for name in STRATEGIES], np.uint8)


_ALL = _mask(*STRATEGIES)
_NO_NEWS = _mask(*(name for name in STRATEGIES if name != "NEWS_DRIVEN"))
# two strategies are about wide spreads and thin books, so a wide spread does not close them
_QUOTING = _mask("MARKET_MAKING", "LIQUIDITY_PROVISION", "WAIT_AND_SEE")
_WAITING = _mask("WAIT_AND_SEE")

_UNHEALTHY = (
    (Health.NO_BOOK, "no two-sided book"),
    (Health.CROSSED, "the book is crossed"),
    (Health.STALE_BOOK, "the book is stale"),
    (Health.GAP, "events are missing since the last row"),
)


class GateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`min_liquidity` is against the hour's score of the time detector (0.5 is usual); 0 never closes."""

    max_spread_bps: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    min_liquidity: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1


def spread_bps(row: np.void) -> float:
    """Return the quoted spread of a row in basis points of the mid, 0 without a two-sided book."""
    bid, ask = int(row["bid"]), int(row["ask"])
    return 2e4 * (ask - bid) / (ask + bid) if bid > 0 and ask > 0 else 0.0


def closed_because(row: np.void, params: GateParams) -> tuple[str, ...]:
    """Return why every strategy but WAIT_AND_SEE is closed, in words; empty when the data can be traded on."""
    health = int(row["health"])
    reasons = [words for flag, words in _UNHEALTHY if health & flag]
    if int(row["bid"]) <= 0 or int(row["ask"]) <= 0:
        reasons = reasons or ["no two-sided book"]
    if int(row["flags"]) & RowFlag.END:
        reasons.append("the session ends")
    liquidity, _, _, _, is_ready = row["detections"][_TIME].item()
    if is_ready and liquidity < params.min_liquidity:
        reasons.append(f"the hour is closed: liquidity {liquidity:.2f} is below {params.min_liquidity:.2f}")
    return tuple(reasons)


def gates(row: np.void, params: GateParams) -> tuple[Any, tuple[str, ...]]:
    """Return a mask of 23 (1 = open, not to be written to) and the reasons for what is shut.

    WAIT_AND_SEE is always open; NEWS_DRIVEN only inside a window of a news calendar.
    """
    reasons = closed_because(row, params)
    if reasons:
        return _WAITING, reasons
    spread = spread_bps(row)
    if spread > params.max_spread_bps:
        return _QUOTING, (f"spread {spread:.2f} bp is above {params.max_spread_bps:.2f} bp",)
    return (_ALL if row["evidence"]["news_window"] > 0.0 else _NO_NEWS), ()
