"""What the leader's word changes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.observations import LeadFeatures
from spyhop.model.tape import Side
from spyhop.strategies.lead import LeadParams, contributions, side_of, staleness, vote

FEATURES = LeadFeatures(
    spread=0.001, basis=0.0, is_basis_known=True, leader_return=-0.003, window_ns=300 * NS_PER_S, age_ns=0, side=-1
)
GATE, WEIGHT = LeadParams(mode="gate"), LeadParams(mode="weight", weight=0.15)


def features(**given: Any) -> LeadFeatures:
    return msgspec.structs.replace(FEATURES, **given)


@pytest.mark.parametrize(
    ("leader_return", "spread", "direction", "side"),
    [
        (-0.0015, 0.0008, "both", Side.SELL),
        (-0.0014, 0.0008, "both", Side.NONE),
        (-0.0015, 0.0007, "both", Side.NONE),
        (0.0015, -0.0003, "both", Side.BUY),
        (0.0014, -0.0003, "both", Side.NONE),
        (0.0015, -0.0002, "both", Side.NONE),
        (-0.0015, 0.0008, "long", Side.NONE),
        (-0.0015, 0.0008, "short", Side.SELL),
        (0.0015, -0.0003, "short", Side.NONE),
        (0.0015, -0.0003, "long", Side.BUY),
    ],
)
def test_the_seed_s_two_ways_in(leader_return: float, spread: float, direction: Any, side: Side) -> None:
    assert side_of(leader_return, spread, LeadParams(direction=direction)) is side


def test_off_says_nothing_whatever_is_known() -> None:
    for known in (None, FEATURES, features(age_ns=99 * NS_PER_S)):
        assert vote(Side.BUY, known, LeadParams()) == (0.0, ())


def test_a_gate_opens_to_the_leader_s_side_alone() -> None:
    assert vote(Side.SELL, FEATURES, GATE) == (0.0, ())
    assert vote(Side.BUY, FEATURES, GATE) == (0.0, ("the leader speaks against it",))
    assert vote(Side.BUY, features(side=0), GATE) == (0.0, ("the leader says nothing",))


def test_a_weight_is_added_for_and_taken_against_and_closes_nothing() -> None:
    assert vote(Side.SELL, FEATURES, WEIGHT) == (0.15, ())
    assert vote(Side.BUY, FEATURES, WEIGHT) == (-0.15, ())
    assert vote(Side.BUY, features(side=0), WEIGHT) == (0.0, ())


@pytest.mark.parametrize("params", [GATE, WEIGHT])
def test_old_prices_and_too_little_history_are_reasons_in_every_mode_but_off(params: LeadParams) -> None:
    old = features(age_ns=round(2.1 * NS_PER_S))
    said = "prices of leader and follower are 2.1 s old, above 2.0 s"
    assert vote(Side.SELL, old, params) == (0.0, (said,))
    assert vote(Side.SELL, None, params) == (0.0, ("too little is known of the leader",))


def test_what_has_no_direction_asks_no_leader() -> None:
    assert vote(Side.NONE, None, GATE) == (0.0, ())


def test_the_bound_of_the_age_itself_passes() -> None:
    assert staleness(features(age_ns=2 * NS_PER_S), LeadParams()) == ()


@pytest.mark.parametrize(
    ("known", "scores"),
    [(FEATURES, (2.0, 1.25)), (features(side=1, leader_return=0.0045, spread=-0.0006), (3.0, 2.0))],
)
def test_scores_are_multiples_of_the_thresholds(known: LeadFeatures, scores: tuple[float, float]) -> None:
    found = contributions(known, LeadParams())
    assert [one.name for one in found] == ["leader_return", "leader_spread"]
    assert [one.score for one in found] == pytest.approx(scores)
    for one in found:
        assert one.score == one.weight * one.evidence


def test_a_threshold_of_nothing_weighs_nothing() -> None:
    assert contributions(FEATURES, LeadParams(premium_frac=0.0))[1].score == 0.0


@pytest.mark.parametrize(
    "wrong",
    [{"window_s": 0.5}, {"window_s": 3_601.0}, {"weight": 1.5}, {"horizon_s": 0.0}, {"mode": "on"}, {"fall_frac": 0.0}],
)
def test_settings_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, LeadParams)
