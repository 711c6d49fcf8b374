"""Rows: what the detectors say at a boundary of event time, as one NumPy record an instrument and moment.

A row at boundary T knows every event with ts_recv < T and none later. Prices called `mid`, `last` are price units,
`bid` and `ask` ticks. No field is ever NaN or infinite: what is not ready holds its neutral value.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

DETECTORS: tuple[str, ...] = (
    "obi",
    "wpi",
    "vpin",
    "funding_rate",
    "oi_change",
    "liquidation_pressure",
    "price_pattern",
    "volume_cluster",
    "spread",
    "flow",
    "momentum",
    "volatility",
    "trend",
    "divergence",
    "time",
)

DETECTION = np.dtype(
    [
        ("value", "f8"),  # the detector's headline number in its published range
        ("confidence", "f8"),  # 0..1; min(1, n_eff / n_warm) * exp(-age / age_tau)
        ("age_ms", "f8"),  # since the newest input that moved it; 0 before any
        ("n_eff", "f8"),  # effective sample size
        ("ready", "u1"),
    ]
)

EVIDENCE_FIELDS: tuple[str, ...] = (
    # book: -1..1 and z
    "obi1",
    "obi_w",
    "ofi_z",
    "micro_tilt",
    "depth_bid",  # quote currency within 5 bp
    "depth_ask",
    # whales
    "absorption",  # 0..1
    "iceberg",  # 0..1
    "sign_autocorr",  # -1..1
    "small_flow",  # -1..1 sub-threshold trade imbalance
    "whale_threshold",  # quote currency
    # toxicity
    "vpin_cdf",  # 0..1
    # funding
    "funding_apr",
    "funding_z",
    "funding_crowding",  # -1..1
    "funding_next_s",
    "funding_estimate",  # next payment's rate, fraction: the venue's, or ours from mark and index
    # open interest
    "oi_change_frac",  # over 5 min
    "oi_z",
    "oi_opening_ratio",  # -1..1
    "oi_quadrant",  # 0 none 1 long build-up 2 short build-up 3 short covering 4 long unwinding
    # liquidations 0..100; `realised` parts 0..1
    "liq_long",
    "liq_short",
    "liq_realised_long",
    "liq_realised_short",
    # patterns
    "swept_low",  # 0..1 wick below a pool of lows and close back above (decays)
    "swept_high",
    "structure_shift",  # -1..1 change of character, dated at confirmation
    # volume profile
    "poc_dist",  # -1..1
    "va_pos",  # 0..1
    "node",  # 0..1 volume at price / volume at POC
    "volume_z",
    # spread
    "spread_bps",
    "spread_pct",  # percentile 0..1
    "effective_bps",
    # flow
    "tfi",  # -1..1 trade flow imbalance, last minute (`trade_imbalance` of the seed's snapshot)
    "hawkes_imbalance",  # -1..1
    "burst",  # intensity / baseline
    "kyle_lambda",
    # momentum
    "efficiency_ratio",  # 0..1
    "return_1m",  # fractions
    "return_5m",
    # volatility
    "sigma_1m",  # per square-root minute, fraction
    "volatility_5m",  # realised over five minutes, fraction
    "vol_pct",  # percentile 0..1
    "jump_ratio",  # 0..1
    "vol_regime",  # 0 low 1 normal 2 high 3 extreme
    "vol_of_vol",  # deviation of log sigma, minute by minute
    # trend
    "adx",  # 0..100
    "variance_ratio",
    "trend_regime",  # -1 range 0 transition 1 trend
    "trend_change",  # -1..1 CUSUM alarm, decays
    # time
    "vol_mult",
    "news_window",  # 0 or 1
    "atr",  # price units, Wilder 14 on 1 m bars; 0 while not ready
    # the last second, for the seed's snapshot
    "big_trade_count",
    "big_buy_volume",
    "big_sell_volume",
    "big_buy_value",
    "big_sell_value",
)
EVIDENCE = np.dtype([(name, "f8") for name in EVIDENCE_FIELDS])

PATH_STEPS = 20
PATH_STEP_NS = 50_000_000
"""The second before a row in steps: the places of its `path`."""

TIMEFRAMES: tuple[str, ...] = ("1m", "5m", "15m", "1h", "4h")
TIMEFRAME = np.dtype(
    [
        ("rsi", "f8"),
        ("macd", "f8"),
        ("macd_signal", "f8"),
        ("macd_hist", "f8"),
        ("bb_upper", "f8"),
        ("bb_middle", "f8"),
        ("bb_lower", "f8"),
        ("sma", "f8"),
        ("ema", "f8"),
        ("atr", "f8"),
        ("close", "f8"),
        ("ts_close", "i8"),
        # one bit an indicator, in the order above: "not ready" is said, never shown as 0
        ("ready", "u2"),
    ]
)

ROW = np.dtype(
    [
        ("ts", "i8"),
        ("seq", "i8"),  # counts this instrument's rows from 0
        ("instrument", "u2"),
        ("flags", "u2"),
        ("health", "u2"),
        ("aligned", "i2"),  # multi-timeframe: 1 all up, -1 all down, 0 mixed or not ready
        ("bid", "i8"),
        ("ask", "i8"),
        ("bid_qty", "i8"),
        ("ask_qty", "i8"),
        ("last", "f8"),
        ("mid", "f8"),
        ("ts_book", "i8"),  # receive time of the newest book or quote event; 0 before any
        ("ts_trade", "i8"),
        ("ts_exchange", "i8"),  # highest venue time seen
        ("venue_lag", "i8"),  # ns that the newest venue time is old by the venue's own clock; 0 while that is unknown
        ("num_events", "i8"),  # events folded so far
        # average price that the configured notional would fill at now, price units; 0 without a book
        ("fill_buy", "f8"),
        ("fill_sell", "f8"),
        # the mid at each 50 ms of the second that ends at `ts`, place 19 at `ts` itself, each knowing only what came
        # before its own moment; 0 where there was none. Silence holds the mid. All 0 in a row that ends the session.
        ("path", "f8", (PATH_STEPS,)),
        ("detections", DETECTION, (len(DETECTORS),)),
        ("evidence", EVIDENCE),
        ("timeframes", TIMEFRAME, (len(TIMEFRAMES),)),
    ]
)

Rows: TypeAlias = npt.NDArray[Any]
"""A one-dimensional array of ROW."""


class RowFlag(IntFlag):
    """Why a row was handed out."""

    SECOND = 1
    ANALYSIS = 2
    SHARP = 4
    BAR = 8
    END = 16  # the session ends here


DECIDING = RowFlag.ANALYSIS | RowFlag.SHARP | RowFlag.END
"""Rows on which something is decided, or that are the last."""


class Health(IntFlag):
    """What is wrong with the market data behind a row; 0 = nothing."""

    NO_BOOK = 1  # no two-sided book yet, or waiting for a snapshot after a gap
    CROSSED = 2
    STALE_BOOK = 4
    STALE_TRADES = 8
    GAP = 16  # a gap since the last row


def empty(length: int = 0) -> Rows:
    """Return `length` rows of zeros."""
    return np.zeros(length, ROW)
