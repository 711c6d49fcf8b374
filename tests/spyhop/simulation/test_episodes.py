"""The plan of episodes is the truth that detectors are measured against."""

from __future__ import annotations

import itertools

import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_S
from spyhop.simulation import episodes
from spyhop.simulation.episodes import EpisodeKind

HOUR = NS_PER_HOUR


def test_a_longer_plan_begins_with_the_shorter_one() -> None:
    short = episodes.planned(9, 0, 5 * HOUR, 300.0)
    long = episodes.planned(9, 0, 24 * HOUR, 300.0)
    assert long[: len(short)] == short
    assert len(long) > len(short) > 10


def test_every_kind_occurs() -> None:
    assert {e.kind for e in episodes.planned(1, 0, 48 * HOUR, 300.0)} == set(EpisodeKind)


def test_gap_zero_plants_nothing() -> None:
    assert episodes.planned(1, 0, 48 * HOUR, 0.0) == []


def test_mean_gap_is_as_asked() -> None:
    plan = episodes.planned(2, 0, 500 * HOUR, 300.0)
    gaps = [(b.start - a.end) / NS_PER_S for a, b in itertools.pairwise(plan)]
    assert min(gaps) >= 20.0
    assert sum(gaps) / len(gaps) == pytest.approx(320.0, rel=0.06)


@pytest.mark.parametrize("kind", EpisodeKind)
def test_phases_cover_the_episode(kind: EpisodeKind) -> None:
    until = episodes.script(kind)["until"]
    assert until[-1] == 1.0
    assert all(a <= b for a, b in itertools.pairwise(until))


def test_mirrored_kinds_are_mirrored() -> None:
    pump, dump = episodes.script(EpisodeKind.WHALE_PUMP), episodes.script(EpisodeKind.WHALE_DUMP)
    assert (pump["drift_bps"] == -dump["drift_bps"]).all()
    assert (pump["whale_side"] == -dump["whale_side"]).all()
    assert (pump["whale_size"] == dump["whale_size"]).all()


def test_flow_sign_is_that_of_the_script() -> None:
    for kind in EpisodeKind:
        phases = episodes.script(kind)
        signs = {int(p["whale_side"]) for p in phases if p["whale_rate"] > 0.0}
        episode = episodes.episode(kind, 0)
        if episode.flow_sign:
            assert signs == {episode.flow_sign}
        else:
            assert signs == {1, -1}


def test_overlapping_episodes_are_refused() -> None:
    a = episodes.episode(EpisodeKind.WHALE_PUMP, 0)
    b = episodes.episode(EpisodeKind.WHALE_DUMP, a.end - 1)
    with pytest.raises(ValueError, match="follow one another"):
        episodes.plan([a, b])
