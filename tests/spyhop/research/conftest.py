"""Pairs of minutes made by hand or by a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE
from spyhop.research.studies.paired import PairedBars

START = 1_766_772_000_000_000_000  # 2025-12-26 18:00 UTC
MakePair = Callable[..., PairedBars]


@pytest.fixture(scope="session")
def make_pair() -> MakePair:
    """Return bars of the closes of a leader and a follower; a bar opens at the close before it and spans the two."""

    def made(leader: Any, follower: Any, **others: Any) -> PairedBars:
        columns: dict[str, Any] = {}
        for role, given in (("leader", leader), ("follower", follower)):
            close = np.asarray(given, np.float64)
            opens = np.concatenate([close[:1], close[:-1]])
            columns |= {
                f"{role}_open": opens,
                f"{role}_high": np.maximum(opens, close),
                f"{role}_low": np.minimum(opens, close),
                f"{role}_close": close,
                f"{role}_volume": np.ones(len(close)),
            }
        num = len(columns["leader_close"])
        given = {
            "leader": "binance-spot:BTCUSDT",
            "follower": "dydx:BTC-USD",
            "is_simulated": False,
            "ts": START + NS_PER_MINUTE * (1 + np.arange(num, dtype=np.int64)),
            "basis": np.zeros(num),
            "has_basis": np.ones(num, bool),
            "is_basis_needed": True,
            "funding_ts": np.zeros(0, np.int64),
            "funding_rates": np.zeros(0),
        }
        return PairedBars(**(columns | given | others))

    return made


@pytest.fixture(scope="session")
def planted(make_pair: MakePair) -> Callable[..., PairedBars]:
    """Return a leader that walks at random and a follower `lag` minutes behind it, with noise of its own (bp)."""

    def made(lag: int, *, num: int = 6_000, step_bps: float = 8.0, noise_bps: float = 1.0, seed: int = 7) -> PairedBars:
        rng = np.random.default_rng(seed)
        log = np.cumsum(rng.normal(0.0, step_bps / 1e4, num + lag))
        leader = 90_000.0 * np.exp(log[lag:])
        follower = 90_000.0 * np.exp(log[:num]) * (1.0 + rng.normal(0.0, noise_bps / 1e4, num))
        return make_pair(leader, follower)

    return made
