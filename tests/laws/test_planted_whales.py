"""Whales that the generative market planted, met by detectors and strategies: the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.model.decisions import STRATEGIES
from spyhop.model.rows import Rows
from spyhop.model.tape import Side
from spyhop.simulation.episodes import Episode, EpisodeKind
from spyhop.simulation.feed import GenerativeFeed, usual_instrument
from spyhop.strategies.ensemble import Ensemble, EnsembleParams, Judgement
from spyhop.strategies.weights import load

START = 1_764_288_000 * NS_PER_S
WARM_S, LAG_S = 480, 15  # of history before the episode, and of the episode before it is judged
KINDS = {
    EpisodeKind.WHALE_PUMP: ("WHALE_PUMP", Side.BUY, 60),
    EpisodeKind.WHALE_DUMP: ("WHALE_DUMP", Side.SELL, 60),
    EpisodeKind.WHALE_ACCUMULATE: ("WHALE_ACCUMULATE", Side.BUY, 120),
    EpisodeKind.WHALE_DISTRIBUTE: ("WHALE_DISTRIBUTE", Side.SELL, 120),
    EpisodeKind.CASCADE_LONG: ("LIQUIDATION_CASCADE", Side.SELL, 45),
    EpisodeKind.CASCADE_SHORT: ("LIQUIDATION_CASCADE", Side.BUY, 45),
}


def rows_of(seed: int, *planted: Episode) -> Rows:
    instrument = usual_instrument("BTCUSDT").numbered(0)
    feed = GenerativeFeed(instrument, seed=seed, start_ts=START, hours=0.17, planted=planted)
    stage = DetectionStage(instrument, DetectionParams())
    batches = []
    while (events := feed.next_batch()) is not None:
        batches.append(stage.on(events))
    return np.concatenate(batches)


def judged(rows: Rows, start_s: float, end_s: float) -> list[Judgement]:
    ensemble = Ensemble(EnsembleParams(), load())
    inside = (rows["ts"] >= START + start_s * NS_PER_S) & (rows["ts"] < START + end_s * NS_PER_S)
    return [ensemble.judge(row) for row in rows[inside]]


def meeting(kind: EpisodeKind, seed: int) -> tuple[str, float]:
    """Return the strategy that fits an episode best on average, and how often its clear winners told the right side."""
    name, side, length_s = KINDS[kind]
    episode = Episode(
        kind=kind, start=START + WARM_S * NS_PER_S, end=START + (WARM_S + length_s) * NS_PER_S, strength=1.2
    )
    rows = rows_of(seed, episode)
    k = STRATEGIES.index(name)
    during = judged(rows, WARM_S + LAG_S, WARM_S + length_s)
    mean = np.mean([judgement.probabilities for judgement in during], axis=0)
    before = np.mean([judgement.probabilities[k] for judgement in judged(rows, WARM_S - 120, WARM_S)])
    assert mean[k] > 2 * before
    ensemble = Ensemble(EnsembleParams(), load())
    clear = [judgement for judgement in during if judgement.probabilities.max() > 0.5]
    right = sum(ensemble.side(judgement, judgement.winner) is side for judgement in clear)
    return STRATEGIES[int(np.argmax(mean))], right / len(clear)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_whale_is_mostly_named_and_its_side_told(kind: EpisodeKind) -> None:
    met = [meeting(kind, seed) for seed in (11, 12, 13)]
    assert [named for named, _ in met].count(KINDS[kind][0]) >= 2
    assert all(share > 0.85 for _, share in met)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_where_no_whale_was_planted_none_is_certain(seed: int) -> None:
    quiet = judged(rows_of(seed), 300, 600)
    whales = [STRATEGIES.index(name) for name, _, _ in KINDS.values()]
    sure = [judgement for judgement in quiet if judgement.probabilities[whales].max() > 0.70]
    assert len(sure) < 0.02 * len(quiet)
