"""The one record that holds everything a symbol's detection knows; its snapshot is its bytes.

Layout: the market fold (sequence, book, best prices, bars, moment), one record of state and one of parameters a
detector, the timeframes, and counters. The snapshot is prefixed with a digest of the layout, so that bytes of another
version are refused instead of being misread.
"""

from __future__ import annotations

import hashlib
from types import ModuleType
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.detectors import (
    divergence,
    flow,
    funding_rate,
    liquidation_pressure,
    momentum,
    obi,
    oi_change,
    price_pattern,
    spread,
    time,
    timeframes,
    trend,
    volatility,
    volume_cluster,
    vpin,
    wpi,
)
from spyhop.errors import SnapshotMismatch
from spyhop.market.bars import BARS
from spyhop.market.book import BOOK
from spyhop.market.moment import MOMENT
from spyhop.market.sequence import SEQUENCE
from spyhop.market.top import TOP
from spyhop.model.instruments import Instrument
from spyhop.model.rows import DETECTORS, PATH_STEPS
from spyhop.model.tape import INTERVALS_S

MODULES: dict[str, ModuleType] = {
    "obi": obi,
    "wpi": wpi,
    "vpin": vpin,
    "funding_rate": funding_rate,
    "oi_change": oi_change,
    "liquidation_pressure": liquidation_pressure,
    "price_pattern": price_pattern,
    "volume_cluster": volume_cluster,
    "spread": spread,
    "flow": flow,
    "momentum": momentum,
    "volatility": volatility,
    "trend": trend,
    "divergence": divergence,
    "time": time,
}
assert tuple(MODULES) == DETECTORS


class DetectionParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of the loop and of every detector; `without` names detectors to leave out (ablation)."""

    interval_s: Annotated[int, msgspec.Meta(ge=1)] = 30
    max_silence_s: Annotated[int, msgspec.Meta(ge=2)] = 60
    bar_grace_s: Annotated[int, msgspec.Meta(ge=0, le=30)] = 1
    stale_book_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    stale_trades_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    sharp_change: Annotated[float, msgspec.Meta(gt=0)] = 0.25
    sharp_rest_s: Annotated[int, msgspec.Meta(ge=1)] = 5
    fill_notional: Annotated[float, msgspec.Meta(gt=0, le=1e9)] = 10_000.0
    """Quote currency that the rows' `fill_buy` and `fill_sell` are prices of."""
    without: tuple[str, ...] = ()
    obi: obi.ObiParams = obi.ObiParams()
    wpi: wpi.WpiParams = wpi.WpiParams()
    vpin: vpin.VpinParams = vpin.VpinParams()
    funding_rate: funding_rate.FundingRateParams = funding_rate.FundingRateParams()
    oi_change: oi_change.OIChangeParams = oi_change.OIChangeParams()
    liquidation_pressure: liquidation_pressure.LiquidationPressureParams = (
        liquidation_pressure.LiquidationPressureParams()
    )
    price_pattern: price_pattern.PricePatternParams = price_pattern.PricePatternParams()
    volume_cluster: volume_cluster.VolumeClusterParams = volume_cluster.VolumeClusterParams()
    spread: spread.SpreadParams = spread.SpreadParams()
    flow: flow.FlowParams = flow.FlowParams()
    momentum: momentum.MomentumParams = momentum.MomentumParams()
    volatility: volatility.VolatilityParams = volatility.VolatilityParams()
    trend: trend.TrendParams = trend.TrendParams()
    divergence: divergence.DivergenceParams = divergence.DivergenceParams()
    time: time.TimeParams = time.TimeParams()
    timeframes: timeframes.TimeframesParams = timeframes.TimeframesParams()

    def __post_init__(self) -> None:
        for name in self.without:
            if name not in DETECTORS:
                raise ValueError(f"no detector is called {name!r}")


LOOP = np.dtype(
    [
        # parameters
        ("tick", "f8"),  # price units
        ("lot", "f8"),  # base units; quote units of one contract where `is_inverse`
        ("instrument", "i8"),
        ("is_inverse", "i8"),
        ("mask", "i8"),  # bit k: detector k is on
        ("interval_ns", "i8"),
        ("max_silence_ns", "i8"),
        ("grace_ns", "i8"),
        ("stale_book_ns", "i8"),
        ("stale_trades_ns", "i8"),
        ("sharp_change", "f8"),
        ("sharp_rest_ns", "i8"),
        ("fill_notional", "f8"),  # quote currency
        # state
        ("now", "i8"),  # event time never goes back
        ("boundary", "i8"),  # next whole second; 0 before the first event
        ("num_rows", "i8"),
        ("num_events", "i8"),
        ("ts_exchange", "i8"),
        ("clock_offset", "i8"),  # the venue's clock minus ours, ns
        ("is_clock_known", "i8"),
        ("ts_book", "i8"),
        ("ts_trade", "i8"),
        ("mid", "f8"),
        ("path", "f8", (PATH_STEPS,)),  # of the second that ends at `boundary`
        ("num_path", "i8"),  # places of it that are known
        ("last", "f8"),
        ("has_bar", "i8"),  # a minute closed since the last row
        ("has_break", "i8"),  # the book broke since the last row
        ("was_usable", "i8"),
        ("composite", "f8"),  # at the last analysis
        ("ts_analysis", "i8"),
        # counters of what was set aside
        ("num_backwards", "i8"),
        ("num_misrouted", "i8"),
        ("num_bad_trades", "i8"),
        ("num_bad_rates", "i8"),
        ("num_unknown", "i8"),
        ("num_shed", "i8"),
        ("num_disconnects", "i8"),
    ],
    align=True,
)

STATES = np.dtype([(name, module.STATE) for name, module in MODULES.items()], align=True)
PARAMS = np.dtype([(name, module.PARAMS) for name, module in MODULES.items()], align=True)

DETECTION_STATE = np.dtype(
    [
        ("loop", LOOP),
        ("moment", MOMENT),
        ("top", TOP),
        ("bars", BARS),
        ("params", PARAMS),
        ("states", STATES),
        ("timeframes_params", timeframes.PARAMS),
        ("timeframes", timeframes.STATE),
        ("sequence", SEQUENCE),
        ("book", BOOK),
    ],
    align=True,
)

_DIGEST = hashlib.sha256(repr(DETECTION_STATE.descr).encode()).digest()[:16]

State = npt.NDArray[Any]
"""An array of one DETECTION_STATE."""


def new_state(instrument: Instrument, params: DetectionParams) -> State:
    """Return the state of a detection that has seen nothing."""
    state = np.zeros(1, DETECTION_STATE)
    loop = state["loop"][0]
    loop["tick"], loop["lot"], loop["instrument"] = instrument.tick, instrument.lot, instrument.id
    loop["is_inverse"] = instrument.is_inverse
    loop["mask"] = sum(1 << k for k, name in enumerate(DETECTORS) if name not in params.without)
    loop["interval_ns"] = params.interval_s * 1_000_000_000
    loop["max_silence_ns"] = params.max_silence_s * 1_000_000_000
    loop["grace_ns"] = params.bar_grace_s * 1_000_000_000
    loop["stale_book_ns"] = round(params.stale_book_s * 1e9)
    loop["stale_trades_ns"] = round(params.stale_trades_s * 1e9)
    loop["sharp_change"] = params.sharp_change
    loop["sharp_rest_ns"] = params.sharp_rest_s * 1_000_000_000
    loop["fill_notional"] = params.fill_notional
    for name, module in MODULES.items():
        state["params"][name][0] = tuple(module.params_record(getattr(params, name)))
        module.reset(state["states"][name][0], state["params"][name][0])
    state["timeframes_params"][0] = tuple(timeframes.params_record(params.timeframes))
    timeframes.reset(state["timeframes"][0], state["timeframes_params"][0])
    return state


def snapshot(state: State) -> bytes:
    """Return the state as bytes."""
    return _DIGEST + state.tobytes()


def restored(data: bytes) -> State:
    """Return the state that `snapshot` gave; raise SnapshotMismatch when its layout is not this one."""
    if data[:16] != _DIGEST or len(data) != 16 + DETECTION_STATE.itemsize:
        raise SnapshotMismatch("detection", _DIGEST.hex(), data[:16].hex())
    return np.frombuffer(bytearray(data[16:]), DETECTION_STATE)


_LOOP_PARAMS = tuple(LOOP.names or ())[: (LOOP.names or ()).index("now")]


def parameters_of(state: State) -> bytes:
    """Return a digest of the parameters that a state was made with."""
    digest = hashlib.sha256()
    for name in _LOOP_PARAMS:
        digest.update(state["loop"][name].tobytes())
    digest.update(state["params"].tobytes())
    digest.update(state["timeframes_params"].tobytes())
    return digest.digest()


def bars_of(state: State) -> dict[str, np.void]:
    """Return the newest closed bar of each interval that has one."""
    bars = state["bars"][0]
    return {label: bars["closed"][k].copy() for k, label in enumerate(INTERVALS_S) if bars["num_closed"][k] > 0}


def statistics_of(state: State) -> dict[str, float]:
    """Return every counter of the fold as `room.counter`, the rows and events seen, and `mid` once there is a price."""
    mid = float(state["loop"]["mid"][0])
    counters = {"mid": mid} if mid > 0.0 else {}
    for room in ("loop", "sequence", "top", "bars", "book"):
        record = state[room][0]
        for name in record.dtype.names:
            if name.startswith("num_") and record.dtype[name].shape == ():
                counters[f"{room}.{name.removeprefix('num_')}"] = float(record[name])
    return counters
