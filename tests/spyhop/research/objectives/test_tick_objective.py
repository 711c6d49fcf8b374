from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.errors import UserError
from spyhop.research.objectives.bar_objectives import FOLLOW_PATHS
from spyhop.research.objectives.objective import Objective
from spyhop.research.objectives.tick_objective import TickFollow
from spyhop.research.objectives.tops import Tops, merged
from spyhop.strategies.lead import LeadParams

MS = 1_000_000
START = 1_764_288_000_000_000_000

RULES = LeadParams(
    window_s=1.0,
    fall_frac=0.01,
    rise_frac=0.01,
    premium_frac=0.005,
    discount_frac=0.005,
    take_profit_frac=0.02,
    stop_loss_frac=0.03,
    horizon_s=10.0,
)


def quotes(leader: list[tuple[float, float]], follower: list[tuple[float, float, float]]) -> Mapping[str, Any]:
    """Leader (seconds, mid) with half a unit each way, follower (seconds, bid, ask)."""
    l_at, mid = np.array(leader).T
    f_at, bid, ask = np.array(follower).T
    at = [START + np.round(seconds * 1e9).astype(np.int64) for seconds in (l_at, f_at)]
    return merged(Tops(at[0], mid - 0.5, mid + 0.5), Tops(at[1], bid, ask))


def earned(arrays: Mapping[str, Any], *, latency_ms: float = 0.0, **rest: Any) -> tuple[int, float]:
    """Number of trades under RULES and what they earned before costs."""
    objective = TickFollow(params=RULES, fees_bps=0.0, latency_ms=latency_ms, **rest)
    found = objective.evaluate(arrays, [], np.zeros((1, 0)))
    return int(found.num_trades[0]), float(found.pnl.sum())


LEADER = [(0.0, 100.0), (1.5, 102.0), (30.0, 102.0)]
BEFORE = (1.0, 99.0, 101.0)


def test_the_follower_is_bought_at_its_ask_and_sold_at_its_bid() -> None:
    # 101 asked at the signal, 103.5 bid: beyond the take profit, which fills at its own price
    assert earned(quotes(LEADER, [BEFORE, (3.0, 103.5, 104.0)])) == (1, pytest.approx(0.02))
    # the ask reaches it, the bid does not; after 10 s the bid of that moment is taken
    assert earned(quotes(LEADER, [BEFORE, (3.0, 100.0, 104.0)])) == (1, pytest.approx(100 / 101 - 1))
    # a stop fills at what is quoted, here far beyond it
    assert earned(quotes(LEADER, [BEFORE, (3.0, 95.0, 104.0)])) == (1, pytest.approx(95 / 101 - 1))


def test_a_leader_that_fell_has_its_follower_sold_at_the_bid_and_bought_back_at_the_ask() -> None:
    falls = [(0.0, 100.0), (1.5, 98.0), (30.0, 98.0)]
    assert earned(quotes(falls, [BEFORE, (3.0, 95.0, 97.0)])) == (1, pytest.approx(0.02))
    assert earned(quotes(falls, [BEFORE, (3.0, 95.0, 105.0)])) == (1, pytest.approx(-(105 / 99 - 1)))


def test_a_latency_enters_at_what_is_quoted_then() -> None:
    arrays = quotes(LEADER, [BEFORE, (1.7, 100.0, 102.0), (3.0, 150.0, 151.0)])
    assert earned(arrays, latency_ms=199) == (1, pytest.approx(0.02))
    arrays = quotes(LEADER, [BEFORE, (1.7, 100.0, 102.0), (3.0, 101.0, 103.0)])
    assert earned(arrays, latency_ms=199) == (1, pytest.approx(101 / 101 - 1))
    assert earned(arrays, latency_ms=200) == (1, pytest.approx(101 / 102 - 1))


def test_the_quote_of_the_entry_touches_nothing_and_the_next_one_does() -> None:
    # 90 is bid at the entry, below the stop at 110 * 0.97
    assert earned(quotes(LEADER, [(1.0, 90.0, 110.0), (11.5, 107.0, 110.0)])) == (1, pytest.approx(107 / 110 - 1))
    assert earned(quotes(LEADER, [(1.0, 90.0, 110.0), (2.0, 106.0, 110.0)])) == (1, pytest.approx(106 / 110 - 1))


def test_the_horizon_ends_at_the_quote_of_that_moment() -> None:
    arrays = quotes(LEADER, [BEFORE, (11.5, 100.5, 101.5), (11.6, 102.0, 103.0)])
    assert earned(arrays) == (1, pytest.approx(100.5 / 101 - 1))


def test_what_the_data_cuts_off_is_left_out() -> None:
    assert earned(quotes(LEADER[:2], [BEFORE, (3.0, 100.0, 102.0), (11.4, 100.0, 102.0)])) == (0, 0.0)
    assert earned(quotes(LEADER[:2], [BEFORE, (3.0, 100.0, 102.0), (11.5, 100.0, 102.0)]))[0] == 1
    assert earned(quotes(LEADER[:2], [BEFORE]), latency_ms=1) == (0, 0.0)


def test_old_prices_say_nothing() -> None:
    assert earned(quotes([(0.5, 100.0), (3.0, 102.0), (30.0, 102.0)], [(1.0, 99.0, 101.0)]))[0] == 1
    assert earned(quotes([(0.5, 100.0), (3.1, 102.0), (30.0, 102.0)], [(1.0, 99.0, 101.0)]))[0] == 0
    # the leader spoke at 1.5: at 3.6 the follower's quote finds it too old
    late = [(1.0, 101.9, 102.1), (3.6, 99.0, 101.0), (40.0, 1.0, 2.0)]
    assert earned(quotes([*LEADER[:2], (50.0, 102.0)], late))[0] == 0


def test_the_basis_is_taken_out() -> None:
    arrays = quotes(LEADER, [BEFORE, (3.0, 103.5, 104.0)])
    assert earned(arrays, basis=100 / 102 - 1)[0] == 0


def test_the_window_begins_with_what_was_quoted_then() -> None:
    # at 1.5 the price of 0.5 counts, which is that of 0.4
    rose = [(0.0, 102.0), (0.4, 100.0), (1.5, 102.0), (30.0, 102.0)]
    assert earned(quotes(rose, [BEFORE, (3.0, 103.5, 104.0)]))[0] == 1
    rose[1] = (0.6, 100.0)
    assert earned(quotes(rose, [BEFORE, (3.0, 103.5, 104.0)]))[0] == 0


def test_a_price_that_is_as_old_as_the_window_is_what_it_begins_with() -> None:
    rose = [(0.0, 102.0), (0.5, 100.0), (1.5, 102.0), (30.0, 102.0)]
    assert earned(quotes(rose, [BEFORE, (3.0, 103.5, 104.0)]))[0] == 1


@pytest.mark.parametrize("still", [62, 63, 64, 65, 127, 128, 129, 200])
def test_a_touch_is_found_wherever_it_lies_among_many_quotes(still: int) -> None:
    waiting = [(2.0 + i / 1000, 100.0, 102.0) for i in range(still)]
    touch = [(4.0, 104.0, 105.0), (4.1, 100.0, 102.0), (20.0, 90.0, 91.0)]
    assert earned(quotes(LEADER, [BEFORE, *waiting, *touch])) == (1, pytest.approx(0.02))


def test_costs_and_periods() -> None:
    arrays = quotes(LEADER, [BEFORE, (3.0, 103.5, 104.0)])
    objective = TickFollow(params=RULES, fees_bps=8.0, slippage_bps=1.0, latency_ms=600, period_ns=1_000 * MS)
    found = objective.evaluate(arrays, [], np.zeros((1, 0)))
    assert len(objective.periods(arrays)) == 31
    assert found.pnl[0].nonzero()[0].tolist() == [2]  # asked for at 1.5, entered at 2.1
    assert found.pnl[0, 2] == pytest.approx(0.02 - 0.0010)


# ---- a slow reading: quote by quote


class Reading:
    """One setting, told every quote in order; `ends` are (entry time, gross) of what was left."""

    def __init__(self, arrays: Mapping[str, Any], p: LeadParams, latency: int, basis: float) -> None:
        self.rows = list(zip(*(arrays[name].tolist() for name in ("ts", "is_follower", "bid", "ask")), strict=True))
        self.p, self.latency, self.basis = p, latency, basis
        self.ends: list[tuple[int, float]] = []
        self.follower: tuple[int, float, float] | None = None
        self.leader: list[tuple[int, float]] = []
        self.order: tuple[int, int] | None = None
        self.position: tuple[int, int, float] | None = None

    def read(self) -> list[tuple[int, float]]:
        for ts, is_follower, bid, ask in self.rows:
            self.before(ts)
            if is_follower:
                self.follower = (ts, bid, ask)
                self.touch(bid if self.position and self.position[1] > 0 else ask)
            else:
                self.leader.append((ts, 0.5 * (bid + ask)))
            if not self.order and not self.position:
                self.signal(ts)
        # time goes on to the last quote's own moment
        self.before(self.rows[-1][0] + 1)
        return self.ends

    def before(self, now: int) -> None:
        """What happened between the quotes: entries and ends of horizons strictly before `now`."""
        if self.order and self.order[0] < now:
            assert self.follower
            at, side = self.order
            self.position, self.order = (at, side, self.follower[2 if side > 0 else 1]), None
        if self.position and self.position[0] + round(self.p.horizon_s * 1e9) < now:
            assert self.follower
            self.leave(self.follower[1 if self.position[1] > 0 else 2])

    def leave(self, price: float) -> None:
        assert self.position
        at, side, entry = self.position
        self.ends.append((at, side * (price / entry - 1)))
        self.position = None

    def touch(self, price: float) -> None:
        if not self.position:
            return
        _, side, entry = self.position
        if side * price <= side * (entry * (1 - side * self.p.stop_loss_frac)):
            self.leave(price)
        elif side * price >= side * (entry * (1 + side * self.p.take_profit_frac)):
            self.leave(entry * (1 + side * self.p.take_profit_frac))

    def signal(self, now: int) -> None:
        past = [mid for ts, mid in self.leader if ts <= now - round(self.p.window_s * 1e9)]
        max_age = round(self.p.max_age_s * 1e9)
        if not past or not self.follower or now - self.follower[0] > max_age or now - self.leader[-1][0] > max_age:
            return
        mid, leader = 0.5 * (self.follower[1] + self.follower[2]), self.leader[-1][1]
        moved, spread = leader / past[-1] - 1, (mid - leader) / leader - self.basis
        side = 0
        if self.p.direction != "short" and moved >= self.p.rise_frac and spread <= -self.p.discount_frac:
            side = 1
        if self.p.direction != "long" and moved <= -self.p.fall_frac and spread >= self.p.premium_frac:
            side = -1
        if side:
            self.order = now + self.latency, side


def random_quotes(seed: int, num: int) -> Mapping[str, Any]:
    """Quotes at distinct odd nanoseconds, prices on a coarse grid."""
    rng = np.random.default_rng(seed)
    ts = START + np.cumsum(rng.integers(1, 400, num)) * MS + np.arange(num)
    is_follower = rng.random(num) < 0.5
    middle = 100.0 + np.cumsum(rng.integers(-2, 3, num)) / 8
    bid = middle - rng.integers(1, 4, num) / 8 + np.where(is_follower, rng.integers(-4, 5, num) / 8, 0)
    ask = bid + rng.integers(1, 4, num) / 8
    return merged(
        Tops(ts[~is_follower], bid[~is_follower], ask[~is_follower]),
        Tops(ts[is_follower], bid[is_follower], ask[is_follower]),
    )


def draw(seed: int, num: int) -> Any:
    rng = np.random.default_rng(seed)
    fractions = np.array([0.00125, 0.0025, 0.005, 0.01])
    return np.column_stack(
        [
            rng.choice([0.5, 1.0, 3.0], num),
            rng.choice(fractions, num),
            rng.choice(fractions, num),
            rng.choice([-0.0025, 0.00125, 0.0025], num),
            rng.choice([-0.0025, 0.00125, 0.0025], num),
            rng.choice(fractions, num),
            rng.choice(fractions, num),
            rng.choice([0.3, 2.0, 20.0, 60.0], num),
            rng.choice([-1.0, 0.0, 1.0], num),
        ]
    )


@pytest.mark.slow
@given(st.integers(0, 2**32), st.sampled_from([0.0, 137.0, 1000.0]), st.sampled_from([0.0, 0.001]))
@settings(deadline=None, max_examples=25)
def test_it_is_the_slow_reading_setting_by_setting(seed: int, latency_ms: float, basis: float) -> None:
    arrays = random_quotes(seed, 500)
    asked = draw(seed + 1, 12)
    period_ns = 10_000 * MS
    objective = TickFollow(fees_bps=5.0, latency_ms=latency_ms, basis=basis, period_ns=period_ns)
    found = objective.evaluate(arrays, FOLLOW_PATHS, asked)
    first = int(arrays["ts"][0]) // period_ns
    for one, pnl, num_trades in zip(asked.tolist(), *found, strict=True):
        names = [path.removeprefix("lead.") for path in FOLLOW_PATHS[:-1]]
        way: Any = {-1: "short", 0: "both", 1: "long"}[int(one[-1])]
        params = LeadParams(**dict(zip(names, one[:-1], strict=True)), direction=way)
        ends = Reading(arrays, params, round(latency_ms * MS), basis).read()
        sums = np.zeros(found.pnl.shape[1])
        for at, gross in ends:
            sums[at // period_ns - first] += gross - 5.0 / 1e4
        assert num_trades == len(ends)
        assert pnl.tolist() == sums.astype(np.float32).tolist()


def test_enough_is_traded_for_that_to_mean_something() -> None:
    found = TickFollow(latency_ms=137.0).evaluate(random_quotes(3, 5_000), FOLLOW_PATHS, draw(4, 60))
    assert np.median(found.num_trades) >= 10


def test_a_batch_is_what_its_settings_are_alone() -> None:
    arrays, asked = random_quotes(5, 3_000), draw(6, 40)
    whole = TickFollow().evaluate(arrays, FOLLOW_PATHS, asked)
    alone = [TickFollow().evaluate(arrays, FOLLOW_PATHS, one[None]).pnl[0] for one in asked]
    assert whole.pnl.tobytes() == np.array(alone).tobytes()


def test_a_follower_that_lags_can_be_followed_before_costs_and_one_that_does_not_cannot() -> None:
    rng = np.random.default_rng(1)
    num = 40_000
    ts = START + np.arange(num, dtype=np.int64) * 50 * MS
    mid = 100 * np.exp(np.cumsum(rng.normal(0, 1e-5, num)))
    rules = LeadParams(
        window_s=0.5,
        fall_frac=5e-5,
        rise_frac=5e-5,
        premium_frac=4e-5,
        discount_frac=4e-5,
        take_profit_frac=1e-4,
        stop_loss_frac=1e-4,
        horizon_s=3.0,
    )
    per_trade = {}
    for lag_ms in (0, 700):
        arrays = merged(Tops(ts, mid, mid), Tops(ts + lag_ms * MS, mid, mid))
        found = TickFollow(params=rules, fees_bps=0.0, latency_ms=50.0).evaluate(arrays, [], np.zeros((1, 0)))
        per_trade[lag_ms] = found.pnl.sum() / max(1, found.num_trades[0])
    assert per_trade[700] > 2e-5
    assert per_trade[0] < 1e-5


def test_a_market_without_quotes_of_its_follower_trades_nothing() -> None:
    nothing = np.zeros(0)
    arrays = merged(Tops(np.array([START]), np.ones(1), np.ones(1)), Tops(np.zeros(0, np.int64), nothing, nothing))
    assert TickFollow().evaluate(arrays, [], np.zeros((2, 0))).num_trades.tolist() == [0, 0]


def test_it_is_an_objective_that_travels_and_reads_what_cannot_be_written() -> None:
    objective: Objective = TickFollow(latency_ms=1)
    assert pickle.loads(pickle.dumps(objective)) == objective
    arrays = random_quotes(7, 500)
    before = objective.evaluate(arrays, [], np.zeros((1, 0)))
    for column in arrays.values():
        column.flags.writeable = False
    assert objective.evaluate(arrays, [], np.zeros((1, 0))).pnl.tobytes() == before.pnl.tobytes()


@pytest.mark.parametrize(
    ("name", "value"), [("lead.window_s", 0.0), ("lead.horizon_s", -1.0), ("lead.fall_frac", math.inf)]
)
def test_a_setting_that_is_none_is_said_in_a_sentence(name: str, value: float) -> None:
    with pytest.raises(UserError):
        TickFollow().evaluate(random_quotes(0, 50), [name], np.array([[value]]))
