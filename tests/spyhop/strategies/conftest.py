"""Rows made by hand, at random, and in the mirror."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest

from spyhop.model.instruments import Instrument
from spyhop.model.rows import DETECTORS, EVIDENCE_FIELDS, RowFlag, empty
from spyhop.model.tape import Venue

TS = 1_764_350_100_000_000_000
SIGNED = (
    *("obi1", "obi_w", "ofi_z", "micro_tilt", "small_flow", "funding_apr", "funding_z", "funding_crowding"),
    *("funding_estimate", "structure_shift", "poc_dist", "tfi", "hawkes_imbalance", "return_1m", "return_5m"),
    "trend_change",
)
SWAPPED = (
    *(("depth_bid", "depth_ask"), ("liq_long", "liq_short"), ("liq_realised_long", "liq_realised_short")),
    *(("swept_low", "swept_high"), ("big_buy_volume", "big_sell_volume"), ("big_buy_value", "big_sell_value")),
)
SIGNED_DETECTORS = (
    *("obi", "wpi", "funding_rate", "price_pattern", "volume_cluster", "flow", "momentum", "trend", "divergence"),
)
SIGNED_EVIDENCE = frozenset({*SIGNED, *SIGNED_DETECTORS})
RANGES = {
    **dict.fromkeys(SIGNED, (-1.0, 1.0)),
    "ofi_z": (-6.0, 6.0),
    "funding_apr": (-1.5, 1.5),
    "funding_z": (-5.0, 5.0),
    "volume_z": (-4.0, 4.0),
    "liq_long": (0.0, 100.0),
    "liq_short": (0.0, 100.0),
    "burst": (0.0, 8.0),
    "adx": (0.0, 100.0),
    "whale_threshold": (0.0, 1e6),
    "depth_bid": (0.0, 1e7),
    "depth_ask": (0.0, 1e7),
}

MakeRow = Callable[..., np.void]


def _make_row(*, confidence: float = 1.0, evidence: dict[str, float] | None = None, **given: float) -> np.void:
    row = empty(1)[0]
    row["ts"], row["ts_book"], row["flags"] = TS, TS, RowFlag.SECOND | RowFlag.ANALYSIS
    row["bid"], row["ask"], row["mid"], row["last"] = 915_000, 915_001, 91_500.05, 91_500.0
    row["detections"]["ready"] = 1
    row["detections"]["confidence"] = confidence
    for name, value in (evidence or {}).items():
        row["evidence"][name] = value
    for name, value in {"time": 0.5, **given}.items():
        if name in DETECTORS:
            row["detections"][DETECTORS.index(name)]["value"] = value
        else:
            row[name] = value
    return row


def _random_row(seed: int) -> np.void:
    rng = np.random.default_rng(seed)
    row = _make_row()
    for k, name in enumerate(DETECTORS):
        low = -1.0 if name in SIGNED_DETECTORS or name == "oi_change" else 0.0
        row["detections"][k]["value"] = rng.uniform(low, 1.0)
        row["detections"][k]["confidence"] = rng.uniform(0.0, 1.0)
    # of the hour: open
    row["detections"][DETECTORS.index("time")]["value"] = rng.uniform(0.2, 1.0)
    for name in EVIDENCE_FIELDS:
        row["evidence"][name] = rng.uniform(*RANGES.get(name, (0.0, 1.0)))
    row["aligned"] = rng.integers(-1, 2)
    return row


def _mirrored(row: np.void) -> np.void:
    seen = row.copy()
    for name in SIGNED_DETECTORS:
        seen["detections"][DETECTORS.index(name)]["value"] *= -1.0
    for name in SIGNED:
        seen["evidence"][name] *= -1.0
    for one, other in SWAPPED:
        seen["evidence"][one], seen["evidence"][other] = row["evidence"][other], row["evidence"][one]
    seen["evidence"]["va_pos"] = 1.0 - row["evidence"]["va_pos"]
    seen["aligned"] = -row["aligned"]
    return seen


@pytest.fixture
def make_row() -> MakeRow:
    """A healthy row flagged ANALYSIS; detectors' values, evidence and columns as given, else 0 (a usual hour)."""
    return _make_row


@pytest.fixture
def random_row() -> Callable[[int], np.void]:
    """A row with all evidence drawn from its range."""
    return _random_row


@pytest.fixture
def mirrored() -> Callable[[np.void], np.void]:
    """The same market with buyers and sellers exchanged."""
    return _mirrored


@pytest.fixture
def instrument() -> Instrument:
    return Instrument(
        id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001")
    )
