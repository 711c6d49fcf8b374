"""The verdict is "no demonstrated edge" unless every test speaks; each one alone can say no."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from spyhop.reports.model import Interval
from spyhop.research.sweeps.model import Check, Deflated, Overfit, Score, Superior, Walk
from spyhop.research.sweeps.verdict import checks_of, judge

EARNED = Score(mean_bps=1.0, sharpe=0.4, total_bps=60.0, num_periods=60, num_active=50)
DEFLATED = Deflated(
    sharpe=0.5,
    expected_best=0.2,
    num_trials=1_000,
    num_measured=900,
    skewness=0.0,
    kurtosis=3.0,
    psr=0.999,
    dsr=0.97,
    min_track_record=12.0,
)
SUPERIOR = Superior(p=0.01, statistic=5.0, best=[1.0], block=5.0, num_draws=1_000, num_settings=900)
OVERFIT = Overfit(
    pbo=0.02,
    p=0.01,
    null_low=0.2,
    null_median=0.5,
    null_high=0.8,
    null=[0.5],
    logit_edges=[0.0, 1.0],
    logit_counts=[1],
    num_blocks=16,
    num_splits=12_870,
    num_settings=900,
    num_eligible=900,
)
WALK = Walk(folds=[], out_of_sample=EARNED, by_student=Interval(0.2, 1.8), by_bootstrap=Interval(0.1, 1.9), decay=0.8)
NUM = 900
ALL: dict[str, Any] = {"deflated": DEFLATED, "superior": SUPERIOR, "overfit": OVERFIT, "walk": WALK}


def _checks(final: Score | None = None, **changed: Any) -> list[Check]:
    interval = None if final is None else Interval(-1.0, 3.0)
    return checks_of(**{**ALL, **changed}, final=final, final_interval=interval)


def test_every_test_must_speak_for_an_edge() -> None:
    verdict = judge(_checks(), NUM, NUM, final_opened=False)
    assert verdict.has_edge
    assert "unopened" in verdict.headline
    assert any("has not been opened" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("what", "changed", "name"),
    [
        ("deflated", msgspec.structs.replace(DEFLATED, dsr=0.95), "deflated Sharpe ratio"),
        ("deflated", None, "deflated Sharpe ratio"),
        ("superior", msgspec.structs.replace(SUPERIOR, p=0.05), "superior ability"),
        ("superior", None, "superior ability"),
        ("overfit", msgspec.structs.replace(OVERFIT, p=0.05), "probability of overfitting"),
        ("overfit", None, "probability of overfitting"),
        ("walk", msgspec.structs.replace(WALK, by_student=Interval(0.0, 1.0)), "out of sample"),
        ("walk", msgspec.structs.replace(WALK, by_bootstrap=Interval(-0.1, 1.0)), "out of sample"),
        (
            "walk",
            msgspec.structs.replace(WALK, out_of_sample=msgspec.structs.replace(EARNED, num_active=9)),
            "out of sample",
        ),
    ],
)
def test_any_test_alone_says_no(what: str, changed: Any, name: str) -> None:
    verdict = judge(_checks(**{what: changed}), NUM, NUM, final_opened=False)
    assert not verdict.has_edge
    assert verdict.headline == f"no demonstrated edge: fails {name}"


def test_an_opened_final_period_that_loses_says_no_and_one_that_gains_ends_the_search() -> None:
    lost = msgspec.structs.replace(EARNED, mean_bps=-0.1)
    assert judge(_checks(lost), NUM, NUM, final_opened=True).headline.endswith("fails final period")
    verdict = judge(_checks(EARNED), NUM, NUM, final_opened=True)
    assert verdict.has_edge
    assert "final period" in verdict.headline


def test_how_many_earned_anything_is_said_first() -> None:
    verdict = judge(_checks(), 3, NUM, final_opened=False)
    assert verdict.reasons[0].startswith("3 of the 900 settings that traded often enough earned anything after costs")


def test_a_gain_on_simulated_data_is_no_edge_whatever_the_tests_say() -> None:
    for final_opened in (False, True):
        verdict = judge(_checks(), NUM, NUM, final_opened=final_opened, is_simulated=True)
        assert not verdict.has_edge
        assert verdict.headline == "no demonstrated edge: the gain was made on simulated data"


def test_without_a_setting_there_is_nothing_to_judge() -> None:
    verdict = judge(_checks(deflated=None), 0, 0, final_opened=False)
    assert not verdict.has_edge
    assert "no setting traded often enough" in verdict.headline


def test_every_test_is_said_with_its_number_and_its_bound() -> None:
    said = {check.name: check.said for check in _checks(EARNED)}
    assert "0.970 (needs more than 0.95)" in said["deflated Sharpe ratio"]
    assert "1,000 trials" in said["deflated Sharpe ratio"]
    assert "p = 0.010 (needs less than 0.05)" in said["superior ability"]
    assert "0.20 and 0.80" in said["probability of overfitting"]
    assert "+0.200 to +1.800" in said["out of sample"]
    assert "-1.000 to +3.000" in said["final period"]
