from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from spyhop.research.studies.bar_trips import TRIP, Trips
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.outcomes import Exits
from spyhop.research.studies.study import Outcome, Rule, about, outcome

NUM = 2_000
ALIKE = np.random.default_rng(1).normal(0.0, 5.0, NUM)


def tried(
    make_pair: Any, gross_bps: Any, later_bps: float = 0.0, paid: Costs | None = None, chance_bps: Any = ALIKE
) -> Outcome:
    """Return the outcome of trades with these results, which make less by `later_bps` a minute."""
    gross = np.asarray(gross_bps, np.float64)
    bars = make_pair(np.full(NUM, 100.0), np.linspace(100.0, 101.0, NUM))

    def walk(later: int) -> Trips:
        rows = np.zeros(len(gross), TRIP)
        rows["i_signal"] = 20 * np.arange(len(gross))
        rows["i_exit"] = rows["i_signal"] + 5
        rows["entered_at"], rows["left_at"] = bars.ts[rows["i_signal"]], bars.ts[rows["i_exit"]]
        rows["side"], rows["reason"], rows["entry"], rows["exit"] = 1, 3, 100.0, 100.0
        rows["gross"] = (gross - later * later_bps) / 1e4
        return Trips(rows, len(gross) + 2, 1, 1)

    rule = Rule("a rule", "alike", 60, 1, Exits(0.004, 0.006), walk, lambda trips: lambda at: chance_bps[at] / 1e4)
    return outcome(bars, rule, paid or Costs(fees_bps=8), seed=3)


def gains(mean: float, num: int = 60) -> Any:
    return mean + np.tile([-6.0, 6.0], num // 2)


def test_an_edge_that_passes_every_test_is_told(make_pair: Any) -> None:
    told = tried(make_pair, gains(20.0))
    assert told.verdict.has_edge
    assert told.verdict.headline == "positive after costs in this sample"
    assert "Before costs a trade made +20.00 bp; its costs are 8.00 bp." in told.verdict.reasons
    assert any(reason.startswith("Random entries alike make") for reason in told.verdict.reasons)


@pytest.mark.parametrize(
    ("gross", "more", "said"),
    [
        ([], {}, "no trade was closed"),
        (gains(20.0, 28), {}, "not enough trades to tell"),
        (gains(8.5), {}, "the interval holds zero"),
        (gains(2.0), {}, "these trades lose after costs"),
        (gains(20.0), {"later_bps": 13.0}, "nothing is left when it is entered a minute later"),
        (gains(11.0), {}, "nothing is left when fees are half as much again"),
        (gains(20.0), {"chance_bps": np.full(NUM, 20.0)}, "entries that know nothing do as well too often"),
    ],
)
def test_by_default_no_edge_was_shown(make_pair: Any, gross: Any, more: Any, said: str) -> None:
    verdict = tried(make_pair, gross, **more).verdict
    assert not verdict.has_edge
    assert verdict.headline == f"no demonstrated edge: {said}"


def test_the_same_trades_under_other_costs(make_pair: Any) -> None:
    told = tried(make_pair, [10.0, 20.0, 30.0], later_bps=3.0, paid=Costs(fees_bps=8, slippage_bps=0.5))
    found = {one.name: one.net for one in told.sensitivities}
    assert found == pytest.approx(
        {
            "without any cost": 60.0,
            "as it was": 33.0,
            "fees x 1.25": 27.0,
            "fees x 1.5": 21.0,
            "slippage + 1 bp a side": 27.0,
            "slippage + 2 bp a side": 21.0,
            "entered 1 min later (3 trades)": 24.0,
            "entered 2 min later (3 trades)": 15.0,
            "entered 5 min later (3 trades)": -12.0,
        }
    )
    assert told.cost_at_zero_bps == pytest.approx(20.0)
    assert told.later_at_zero_min == 5
    assert tried(make_pair, gains(2.0)).later_at_zero_min == 0
    assert tried(make_pair, []).later_at_zero_min is None


def test_something_simpler_stands_beside_it(make_pair: Any) -> None:
    told = tried(make_pair, gains(20.0), paid=Costs(fees_bps=8, slippage_bps=1))
    none, luck, held = told.benchmarks
    assert (none.name, none.net_bps) == ("no trade", 0.0)
    assert luck.name == "random entry, alike"
    assert luck.net_bps == pytest.approx(luck.gross_bps - 10.0)
    assert held.gross_bps == pytest.approx(100.0)
    assert held.net_bps == pytest.approx(90.0)
    assert [one.name for one in tried(make_pair, []).benchmarks] == ["no trade", "buy and hold the follower"]


def test_the_other_tests_that_failed_are_told_too(make_pair: Any) -> None:
    verdict = tried(make_pair, gains(11.0), later_bps=13.0).verdict
    assert verdict.headline.endswith("nothing is left when it is entered a minute later")
    assert verdict.reasons[-1] == "Nothing is left when fees are half as much again."
    # all of these trades ended by time, so that the planned exits say little
    assert any(reason.startswith("100 % of the trades ended by time") for reason in verdict.reasons)


def test_what_was_left_out_is_counted(make_pair: Any) -> None:
    told = tried(make_pair, gains(20.0))
    assert (told.num_events, told.num_missed, told.num_unfinished) == (60, 1, 1)
    assert len(told.trades) == told.result.trades == 60
    for regimes in (told.by_range, told.by_session, told.by_side):
        assert sum(one.trades for one in regimes) in (59, 60)  # the first trade's range is not known yet
    assert told.trades[0].entered == "2025-12-26T18:01:00.000"
    assert told.trades[0].net_bps == pytest.approx(told.trades[0].gross_bps - 8.0)


def test_a_simulated_market_never_shows_an_edge(make_pair: Any) -> None:
    bars = make_pair([1.0, 1.0], [1.0, 1.0], is_simulated=True)
    assert about(bars).is_simulated
    verdict = tried(partial(make_pair, is_simulated=True), gains(20.0)).verdict
    assert not verdict.has_edge
    assert "simulated" in verdict.headline
