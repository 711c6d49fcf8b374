"""How each market stands, from its newest observation: what states and limits measure of it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.model.observations import Comparison, Observation
from spyhop.model.tape import Side

_NUM_GAPS = 16


class HealthParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A volatility is compared with the mean of its last `num_volatility`, exponentially weighted."""

    num_volatility: Annotated[int, msgspec.Meta(ge=2)] = 120
    min_volatility: Annotated[int, msgspec.Meta(ge=1)] = 20
    """Observations before which no comparison is made."""


class Market(msgspec.Struct):
    """What is known of one market; times are nanoseconds UTC, fractions pure numbers."""

    observed: Observation | None = None
    buy_diff: float = 0.0
    sell_diff: float = 0.0
    mean_sigma: float = 0.0
    num_sigma: int = 0
    volatility_ratio: float = 1.0
    is_unclean: bool = False
    gaps: list[int] = []  # between the newest observations, nanoseconds

    def observe(self, observed: Observation, comparison: Comparison, params: HealthParams) -> None:
        """Take a newer observation and its effective differences."""
        if self.observed is not None:
            self.gaps = [*self.gaps[1 - _NUM_GAPS :], observed.ts - self.observed.ts]
        self.observed = observed
        self.buy_diff = comparison.buy.total if comparison.buy is not None else 0.0
        self.sell_diff = comparison.sell.total if comparison.sell is not None else 0.0
        self._see_volatility(observed.sigma_1m, params)

    def measured(self) -> dict[str, float]:
        """Return what the states of this instrument are made from, by the code of the rule."""
        if self.observed is None:
            return {}
        return {
            "data_age": self.observed.age_ns / NS_PER_S,
            "silence": 0.0,
            "clock_skew": abs(self.observed.clock_skew_ns) / NS_PER_S,
            "effective_diff": max(abs(self.buy_diff), abs(self.sell_diff)),
            "volatility": self.volatility_ratio,
            "unclean": float(self.is_unclean),
        }

    def silence_s(self, now: int) -> float:
        """Return how long ago the market was observed beyond its longest pause of late, 0.0 before it had one."""
        if self.observed is None or not self.gaps:
            return 0.0
        return max(0, now - self.observed.ts - max(self.gaps)) / NS_PER_S

    def depth(self, side: Side) -> float | None:
        """Return the quote currency within 5 bp that an order on `side` takes, None before an observation."""
        if self.observed is None:
            return None
        return self.observed.depth_ask if side is Side.BUY else self.observed.depth_bid

    def diff(self, side: Side) -> float:
        """Return the size of the effective difference of an order on `side`."""
        return abs(self.buy_diff if side is Side.BUY else self.sell_diff)

    # the mean that a value is compared with does not hold the value itself
    def _see_volatility(self, sigma: float, params: HealthParams) -> None:
        if not sigma > 0.0:
            return
        is_known = self.num_sigma >= params.min_volatility
        self.volatility_ratio = sigma / self.mean_sigma if is_known else 1.0
        weight = max(1.0 / (self.num_sigma + 1), 2.0 / (params.num_volatility + 1))
        self.mean_sigma += weight * (sigma - self.mean_sigma)
        self.num_sigma += 1
