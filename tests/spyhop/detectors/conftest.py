"""A bench that drives one detector of the second or bar rate through its kernels, input by input."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from spyhop.market.bars import BAR
from spyhop.market.moment import MOMENT
from spyhop.model.rows import DETECTION, EVIDENCE

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
MONDAY = 1_723_420_800 * SECOND  # 2024-08-12 00:00 UTC


class Bench:
    """One detector, its records and a moment to write into; times are seconds since a Monday midnight."""

    def __init__(self, name: str, **params: Any) -> None:
        self.module: ModuleType = importlib.import_module(f"spyhop.detectors.{name}")
        (kind,) = (
            value
            for key, value in vars(self.module).items()
            if key.endswith("Params") and value.__module__ == self.module.__name__
        )
        self.params = np.zeros(1, self.module.PARAMS)
        self.params[0] = self.module.params_record(kind(**params))
        self.state = np.zeros(1, self.module.STATE)
        self.moment = np.zeros(1, MOMENT)
        self.fresh()

    def fresh(self) -> None:
        self.state[:] = np.zeros(1, self.module.STATE)
        self.module.reset(self.state[0], self.params[0])

    @property
    def records(self) -> tuple[Any, Any]:
        return self.state[0], self.params[0]

    def set(self, **fields: float) -> Bench:
        for key, value in fields.items():
            self.moment[key] = value
        return self

    def second(self, at_s: float, mid: float = 0.0, **fields: float) -> None:
        ts = MONDAY + int(at_s * SECOND)
        self.set(mid=mid, has_book=mid > 0.0, ts=ts, **fields)
        if hasattr(self.module, "on_second"):
            self.module.on_second(*self.records, ts, self.moment[0])

    def bar(
        self, at_s: float, open_: float, high: float, low: float, close: float, volume: float = 1.0, buy: float = 0.5
    ) -> None:
        bar = self.make_bar(at_s, open_, high, low, close, volume, buy)
        if hasattr(self.module, "on_bar"):
            self.module.on_bar(*self.records, bar[0], self.moment[0])

    def make_bar(
        self, at_s: float, open_: float, high: float, low: float, close: float, volume: float = 1.0, buy: float = 0.5
    ) -> Any:
        bar = np.zeros(1, BAR)
        bar["ts_close"] = MONDAY + int(at_s * SECOND)
        bar["ts_open"] = bar["ts_close"] - MINUTE
        bar["open"], bar["high"], bar["low"], bar["close"] = open_, high, low, close
        bar["volume"], bar["taker_buy_volume"] = volume, buy
        return bar

    def read(self, at_s: float) -> tuple[Any, Any]:
        detection = np.zeros(1, DETECTION)
        evidence = np.zeros(1, EVIDENCE)
        self.module.read(*self.records, MONDAY + int(at_s * SECOND), self.moment[0], detection[0], evidence[0])
        return detection[0], evidence[0]


@pytest.fixture(scope="session")
def bench() -> Callable[..., Bench]:
    """Return a maker of benches: `bench("trend", warm_s=30.0)`."""
    return Bench
