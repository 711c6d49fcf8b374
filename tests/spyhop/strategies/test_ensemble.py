"""Scores, probabilities, direction, confidence and what a person reads of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spyhop.model.decisions import STRATEGIES, Contribution, Decision, Trigger
from spyhop.model.rows import Health, empty
from spyhop.model.tape import Side
from spyhop.strategies.ensemble import Ensemble, EnsembleParams, explain
from spyhop.strategies.weights import load

MakeRow = Callable[..., np.void]
WAIT = STRATEGIES.index("WAIT_AND_SEE")
MIRROR = {
    "WHALE_PUMP": "WHALE_DUMP",
    "WHALE_ACCUMULATE": "WHALE_DISTRIBUTE",
    "STOP_HUNT_LONG": "STOP_HUNT_SHORT",
    "RANGE_SUPPORT": "RANGE_RESISTANCE",
}
MIRROR |= {other: one for one, other in MIRROR.items()}
# what a person would call each strategy's textbook moment; every detector is certain
TEXTBOOK = {
    "WHALE_PUMP": ({"wpi": 0.9, "momentum": 0.9, "trend": 0.2, "oi_change": 0.6}, {"ofi_z": 4.0}, Side.BUY),
    "WHALE_DUMP": ({"wpi": -0.9, "momentum": -0.9, "trend": -0.2, "oi_change": 0.6}, {"ofi_z": -4.0}, Side.SELL),
    "MOMENTUM_SURGE": ({"momentum": 0.95, "trend": 0.95}, {"volume_z": 3.0, "burst": 4.0}, Side.BUY),
    "WHALE_ACCUMULATE": ({"wpi": 0.9, "oi_change": 0.6}, {"absorption": 0.5}, Side.BUY),
    "WHALE_DISTRIBUTE": ({"wpi": -0.9, "oi_change": 0.6}, {"absorption": 0.5}, Side.SELL),
    "STEALTH_ACCUMULATE": ({}, {"small_flow": 1.0, "sign_autocorr": 0.4, "tfi": 0.6}, Side.BUY),
    "STOP_HUNT_LONG": ({"oi_change": -0.8, "momentum": 0.3}, {"swept_low": 1.0, "ofi_z": 3.0, "tfi": 0.5}, Side.BUY),
    "STOP_HUNT_SHORT": (
        {"oi_change": -0.8, "momentum": -0.3},
        {"swept_high": 1.0, "ofi_z": -3.0, "tfi": -0.5},
        Side.SELL,
    ),
    "LIQUIDATION_CASCADE": (
        {"oi_change": -0.9, "momentum": -0.7},
        {"liq_long": 98.0, "liq_realised_long": 0.95, "vol_pct": 0.97, "jump_ratio": 0.3},
        Side.SELL,
    ),
    "BREAKOUT_REAL": (
        {"momentum": 0.6, "oi_change": 0.8},
        {"va_pos": 1.0, "poc_dist": 0.97, "ofi_z": 5.0, "volume_z": 3.0},
        Side.BUY,
    ),
    "BREAKOUT_FAKE": (
        {"momentum": 0.3, "divergence": -0.8, "trend": 0.5},
        {"va_pos": 1.0, "poc_dist": 0.97, "ofi_z": -3.0, "volume_z": -2.5},
        Side.SELL,
    ),
    "REVERSAL_SIGNAL": ({"divergence": 0.8, "trend": -0.9, "momentum": -0.6}, {"structure_shift": 0.9}, Side.BUY),
    "RANGE_SUPPORT": ({"obi": 0.9}, {"va_pos": 0.0, "node": 0.8, "poc_dist": -0.3, "tfi": 0.4}, Side.BUY),
    "RANGE_RESISTANCE": ({"obi": -0.9}, {"va_pos": 1.0, "node": 0.8, "poc_dist": 0.3, "tfi": -0.4}, Side.SELL),
    "CONSOLIDATION": ({}, {"volume_z": -2.0}, Side.NONE),
    "HIGH_VOLATILITY": ({"momentum": 0.4, "trend": 0.4}, {"vol_pct": 1.0, "jump_ratio": 0.6}, Side.NONE),
    "NEWS_DRIVEN": ({"momentum": 0.6}, {"news_window": 1.0, "burst": 5.0, "tfi": 0.6}, Side.BUY),
    "FUNDING_ARBITRAGE": ({"momentum": 0.2}, {"funding_apr": -0.9}, Side.NONE),
    "MARKET_MAKING": ({"momentum": 0.3}, {"spread_pct": 1.0, "vpin_cdf": 0.05}, Side.NONE),
    "LIQUIDITY_PROVISION": (
        {"momentum": 0.7, "trend": 0.7},
        {"depth_bid": 10.0, "depth_ask": 10.0, "whale_threshold": 1e6, "vpin_cdf": 0.05},
        Side.NONE,
    ),
    "REBALANCING": ({"trend": 0.7, "momentum": 0.4}, {"poc_dist": 0.0}, Side.NONE),
    "ORDER_ABSORPTION": ({"momentum": 0.5, "trend": 0.5, "wpi": -0.4}, {"absorption": 1.0, "iceberg": 1.0}, Side.NONE),
}


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble(EnsembleParams(), load())


def textbook_row(make_row: MakeRow, name: str) -> np.void:
    detectors, evidence, _ = TEXTBOOK[name]
    middle = {"va_pos": 0.5, "poc_dist": 0.9, "vol_pct": 0.7, "vpin_cdf": 0.9}
    return make_row(**detectors, evidence=middle | evidence)


def test_with_no_evidence_waiting_wins(ensemble: Ensemble, make_row: MakeRow) -> None:
    judgement = ensemble.judge(make_row(confidence=0.0))
    assert judgement.winner == WAIT
    assert judgement.probabilities[WAIT] > 0.5
    assert ensemble.side(judgement, WAIT) is Side.NONE


def test_before_any_data_waiting_is_certain(ensemble: Ensemble) -> None:
    judgement = ensemble.judge(empty(1)[0])
    assert judgement.probabilities[WAIT] == 1.0
    assert judgement.shut == ("no two-sided book",)


@pytest.mark.parametrize("seed", range(10))
def test_when_no_detector_is_confident_waiting_wins_whatever_they_say(
    ensemble: Ensemble, random_row: Callable[[int], np.void], seed: int
) -> None:
    row = random_row(seed)
    row["detections"]["confidence"] = 0.0
    row["detections"]["ready"] = 0
    row["evidence"]["funding_apr"] = row["evidence"]["news_window"] = 0.0
    assert ensemble.judge(row).winner == WAIT


@pytest.mark.parametrize("name", TEXTBOOK)
def test_each_strategy_wins_its_textbook_moment(ensemble: Ensemble, make_row: MakeRow, name: str) -> None:
    judgement = ensemble.judge(textbook_row(make_row, name))
    ranked = [STRATEGIES[k] for k in np.argsort(-judgement.probabilities)]
    assert ranked[0] == name, ranked[:3]
    assert ensemble.side(judgement, judgement.winner) is TEXTBOOK[name][2]


@pytest.mark.parametrize("name", ["WHALE_PUMP", "WHALE_DUMP", "STOP_HUNT_LONG", "LIQUIDATION_CASCADE", "BREAKOUT_REAL"])
def test_a_textbook_moment_can_pass_the_probability_of_the_filter(
    ensemble: Ensemble, make_row: MakeRow, name: str
) -> None:
    assert ensemble.judge(textbook_row(make_row, name)).probabilities.max() > 0.70


@pytest.mark.parametrize("seed", range(40))
def test_probabilities_sum_to_one(ensemble: Ensemble, random_row: Callable[[int], np.void], seed: int) -> None:
    probabilities = ensemble.judge(random_row(seed)).probabilities
    assert abs(sum(probabilities.tolist()) - 1.0) < 1e-12
    assert (probabilities >= 0.0).all()


@pytest.mark.parametrize("seed", range(40))
def test_the_mirrored_market_swaps_pairs_and_turns_directions(
    ensemble: Ensemble,
    random_row: Callable[[int], np.void],
    mirrored: Callable[[np.void], np.void],
    seed: int,
) -> None:
    row = random_row(seed)
    seen, other = ensemble.judge(row), ensemble.judge(mirrored(row))
    for k, name in enumerate(STRATEGIES):
        if name == "STEALTH_ACCUMULATE":  # nobody has named stealthy selling
            continue
        pair = STRATEGIES.index(MIRROR.get(name, name))
        assert other.scores[pair] == pytest.approx(seen.scores[k], abs=1e-12), name
        assert ensemble.side(other, pair) == -ensemble.side(seen, k), name


@pytest.mark.parametrize("seed", range(40))
def test_contributions_add_up_to_the_score(ensemble: Ensemble, random_row: Callable[[int], np.void], seed: int) -> None:
    judgement = ensemble.judge(random_row(seed))
    for k in range(23):
        told = sum(one.score for one in ensemble.contributions(judgement, k)) + ensemble.weights.biases[k]
        if np.isfinite(judgement.scores[k]):
            assert told == pytest.approx(judgement.scores[k], abs=1e-12)


def test_contributions_come_strongest_first(ensemble: Ensemble, make_row: MakeRow) -> None:
    told = ensemble.contributions(ensemble.judge(textbook_row(make_row, "WHALE_PUMP")), 0)
    assert [one.name for one in told][:2] == ["whale_pressure", "pushed_up"]
    assert [abs(one.score) for one in told] == sorted((abs(one.score) for one in told), reverse=True)


@pytest.mark.parametrize("seed", range(40))
def test_confidence_lies_in_0_to_1(ensemble: Ensemble, random_row: Callable[[int], np.void], seed: int) -> None:
    row = random_row(seed)
    judgement = ensemble.judge(row)
    assert all(0.0 <= ensemble.confidence(judgement, k, row) <= 1.0 for k in range(23))


def test_confidence_is_coverage_times_agreement(ensemble: Ensemble, make_row: MakeRow) -> None:
    row = make_row(wpi=1.0, momentum=-0.5, confidence=0.8)
    judgement = ensemble.judge(row)
    # of WHALE_PUMP: 1.5 x 0.8 speaks for it, 0.8 x 0.4 against it; the rest is silent
    assert ensemble.confidence(judgement, 0, row) == pytest.approx(0.8 * 1.2 / (1.2 + 0.32))


def test_confidence_in_waiting_is_that_of_the_detectors(ensemble: Ensemble, make_row: MakeRow) -> None:
    row = make_row(confidence=0.4)
    assert ensemble.confidence(ensemble.judge(row), WAIT, row) == pytest.approx(0.4)


def test_less_confidence_moves_probability_to_waiting(ensemble: Ensemble, make_row: MakeRow) -> None:
    row = textbook_row(make_row, "WHALE_PUMP")
    shares = []
    for confidence in (1.0, 0.75, 0.5, 0.25, 0.0):
        row["detections"]["confidence"] = confidence
        shares.append(float(ensemble.judge(row).probabilities[WAIT]))
    assert shares == sorted(shares)
    assert shares[0] < 0.05


def test_a_shut_gate_is_said_and_leaves_nothing(ensemble: Ensemble, make_row: MakeRow) -> None:
    row = textbook_row(make_row, "WHALE_PUMP")
    row["health"] = Health.STALE_BOOK
    judgement = ensemble.judge(row)
    assert judgement.probabilities[WAIT] == 1.0
    assert judgement.shut == ("the book is stale",)


def test_news_without_a_calendar_has_no_probability(ensemble: Ensemble, make_row: MakeRow) -> None:
    row = textbook_row(make_row, "NEWS_DRIVEN")
    row["evidence"]["news_window"] = 0.0
    assert ensemble.judge(row).probabilities[STRATEGIES.index("NEWS_DRIVEN")] == 0.0


def test_a_lower_temperature_makes_the_winner_more_certain(make_row: MakeRow) -> None:
    row = textbook_row(make_row, "WHALE_PUMP")
    hot, cold = (Ensemble(EnsembleParams(temperature=t), load()).judge(row) for t in (1.0, 0.2))
    assert cold.probabilities[0] > hot.probabilities[0]


def test_judging_twice_gives_the_same_bits(ensemble: Ensemble, random_row: Callable[[int], np.void]) -> None:
    one, other = ensemble.judge(random_row(7)), ensemble.judge(random_row(7).copy())
    assert one.probabilities.tobytes() == other.probabilities.tobytes()


def test_an_explanation_names_the_winner_its_evidence_and_why_no_trade() -> None:
    decision = Decision(
        seq=0,
        ts=1,
        instrument=0,
        trigger=Trigger.SHARP,
        price=91_500.05,
        probabilities=(1.0,) + (0.0,) * 22,
        strategy="WHALE_PUMP",
        probability=0.43,
        confidence=0.72,
        side=Side.BUY,
        evidence=(Contribution("whale_pressure", 0.5, 1.5, 0.75), Contribution("opening", 0.0, 0.4, 0.0)),
        reasons=("probability 0.43 is not above 0.70",),
    )
    assert explain(decision).splitlines() == [
        "WHALE_PUMP BUY at 91500.1: probability 0.43, confidence 0.72 (sharp)",
        "  +0.750 = +1.5 x whale_pressure +0.500",
        "  no trade: probability 0.43 is not above 0.70",
    ]
