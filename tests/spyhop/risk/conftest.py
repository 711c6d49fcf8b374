"""Instruments, intents and observations made by hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.observations import Observation
from spyhop.model.tape import Side, Venue

TS = 1_764_350_100_000_000_000
TIERS = (
    MarginTier(Decimal(0), Decimal("0.004"), Decimal(125)),
    MarginTier(Decimal(50_000), Decimal("0.005"), Decimal(100), Decimal(50)),
    MarginTier(Decimal(250_000), Decimal("0.01"), Decimal(50), Decimal(1_300)),
    MarginTier(Decimal(1_000_000), Decimal("0.025"), Decimal(20), Decimal(16_300)),
)


def _instrument(**changes: Any) -> Instrument:
    given: dict[str, Any] = {
        "id": 0,
        "venue": Venue.BINANCE_USDM,
        "symbol": "BTCUSDT",
        "tick_size": Decimal("0.1"),
        "lot_size": Decimal("0.001"),
        "min_qty": Decimal("0.001"),
        "min_notional": Decimal(100),
        "margin_tiers": TIERS,
    }
    return Instrument(**given | changes)


def _intent(**changes: Any) -> Intent:
    given: dict[str, Any] = {
        "seq": 0,
        "ts": TS,
        "instrument": 0,
        "decision_seq": 0,
        "side": Side.BUY,
        "strategy": "WHALE_PUMP",
        "probability": 0.8,
        "confidence": 0.75,
        "reference": 1_000_000,
        "take_profit": 1_001_500,
        "stop": 999_000,
        "max_hold_ns": 1,
    }
    return Intent(**given | changes)


def _observation(**changes: Any) -> Observation:
    given: dict[str, Any] = {
        "ts": TS,
        "instrument": 0,
        "mid": 100_000.0,
        "last": 100_000.0,
        "ts_venue": TS,
        "age_ns": 0,
        "spread": 0.1,
        "depth_bid": 1e6,
        "depth_ask": 1e6,
        "fill_buy": 100_000.1,
        "fill_sell": 99_999.9,
        "sigma_1m": 5e-4,
        "volatility_rank": 0.5,
        "atr": 50.0,
    }
    return Observation(**given | changes)


@pytest.fixture
def make_observation() -> Callable[..., Observation]:
    """A calm and deep market at 100,000, changed as given."""
    return _observation


@pytest.fixture
def make_instrument() -> Callable[..., Instrument]:
    """BTCUSDT with four margin tiers, changed as given."""
    return _instrument


@pytest.fixture
def make_intent() -> Callable[..., Intent]:
    """A long at 100,000 with the stop 0.10 % away, changed as given."""
    return _intent
