"""What a trip costs: fees, slippage and funding, each apart, so that no sum hides which of them ate the result."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_HOUR

Floats: TypeAlias = npt.NDArray[np.float64]

_FUNDING_H = 8.0


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a study takes off: the cost model of one trip, in bp of one leg's notional.

    `fees_bps` is the whole round trip with all legs, as in the seed's studies; `slippage_bps` of each entry and each
    exit of each leg. `funding_bps_8h` is a rate that the follower's longs pay all the time; None takes the rates that
    the venue settled where the recording has them, and nothing where it has none.
    """

    fees_bps: Annotated[float, msgspec.Meta(ge=0, le=1_000)] = 8.0
    slippage_bps: Annotated[float, msgspec.Meta(ge=0, le=1_000)] = 0.0
    funding_bps_8h: Annotated[float, msgspec.Meta(ge=-1_000, le=1_000)] | None = None


class Charged(NamedTuple):
    """Fractions of the follower's notional at the entry, float64 (n,): gross - fees - slippage - funding = net."""

    gross: Floats
    fees: Floats
    slippage: Floats
    funding: Floats
    net: Floats


def charged(
    rows: npt.NDArray[Any],
    costs: Costs,
    num_legs: int,
    settled_ts: npt.NDArray[np.int64],
    settled_rates: Floats,
) -> Charged:
    """Return what trips (TRIP) earned and what was taken off; `settled_*` are the venue's own funding rates."""
    gross: Floats = rows["gross"].astype(np.float64)
    fees = np.full(len(rows), costs.fees_bps / 1e4)
    slippage = np.full(len(rows), 2 * num_legs * costs.slippage_bps / 1e4)
    if costs.funding_bps_8h is not None:
        hours = (rows["left_at"] - rows["entered_at"]) / NS_PER_HOUR
        funding = rows["side"] * costs.funding_bps_8h / 1e4 / _FUNDING_H * hours
    else:
        funding = rows["side"] * _between(rows["entered_at"], rows["left_at"], settled_ts, settled_rates)
    return Charged(gross, fees, slippage, funding, gross - fees - slippage - funding)


# the rates that were settled after `start` and no later than `end`; a position pays at the instant of a settlement
def _between(start: Any, end: Any, ts: npt.NDArray[np.int64], rates: Floats) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(rates)])
    found: Floats = sums[np.searchsorted(ts, end, "right")] - sums[np.searchsorted(ts, start, "right")]
    return found
