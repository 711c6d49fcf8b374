from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_S
from spyhop.engine.streams import END_OF_TIME
from spyhop.errors import MissingInput, UserError
from spyhop.model.tape import Venue
from spyhop.storage.journal import read_session
from spyhop.storage.lake import Lake
from spyhop.wiring.plan import GeneratedSource, JournalSource, LakeSource, Pacing, SessionPlan, plan_replay, span_ns

STARTED = 1_764_350_100_000_000_000
MIDNIGHT = 1_764_288_000_000_000_000

Planned = Callable[..., SessionPlan]


def test_without_a_lake_the_market_is_generated_and_says_so(tmp_path: Path, planned: Planned) -> None:
    plan = planned(tmp_path, symbols=("ETHUSDT", "BTCUSDT"), seed=5)
    assert plan.source == GeneratedSource(5, MIDNIGHT)
    assert plan.session.is_simulated
    assert "seed 5" in plan.session.source
    assert plan.feed_names == ("ETHUSDT", "BTCUSDT")
    assert [instrument.id for instrument in plan.session.instruments] == [0, 1]
    assert plan.instrument("BTCUSDT").id == 1
    assert {instrument.venue for instrument in plan.session.instruments} == {Venue.SIMULATED}


def test_a_plan_writes_the_head_that_a_replay_builds_the_same_plan_from(tmp_path: Path, planned: Planned) -> None:
    plan = planned(tmp_path)
    assert plan.folder == tmp_path / plan.session.id
    again = plan_replay(plan.folder)
    assert msgspec.json.encode(read_session(plan.folder)) == msgspec.json.encode(plan.session)
    assert again.session.instruments == plan.session.instruments
    assert again.settings == plan.settings
    assert again.source == JournalSource(str(plan.folder))


def test_a_lake_is_read_from_its_first_event_and_is_not_called_simulated(
    tmp_path: Path, planned: Planned, small_lake: Path
) -> None:
    plan = planned(tmp_path, lake=small_lake, symbols=("BTCUSDT", "SOLUSDT"))
    first = Lake(small_lake).span("dydx:SOLUSDT")[0]
    assert first < Lake(small_lake).span("binance-usdm:BTCUSDT")[0]
    assert plan.source == LakeSource(str(small_lake), first, END_OF_TIME)
    assert not plan.session.is_simulated
    assert str(small_lake) in plan.session.source
    assert [instrument.id for instrument in plan.session.instruments] == [0, 1]


def test_a_bare_symbol_means_the_preferred_venue_and_a_key_the_one_it_names(
    tmp_path: Path, planned: Planned, small_lake: Path
) -> None:
    bare = planned(tmp_path / "1", lake=small_lake, symbols=("BTCUSDT",))
    assert bare.session.instruments[0].key == "binance-usdm:BTCUSDT"
    assert bare.feed_names == ("BTCUSDT",)
    named = planned(tmp_path / "2", lake=small_lake, symbols=("binance-spot:BTCUSDT",))
    assert named.session.instruments[0].key == "binance-spot:BTCUSDT"
    only = planned(tmp_path / "3", lake=small_lake, symbols=("SOLUSDT",))
    assert only.session.instruments[0].key == "dydx:SOLUSDT"


def test_two_venues_of_a_symbol_are_told_apart_by_their_keys(
    tmp_path: Path, planned: Planned, small_lake: Path
) -> None:
    plan = planned(tmp_path, lake=small_lake, symbols=("binance-spot:BTCUSDT", "SOLUSDT", "BTCUSDT"))
    assert plan.feed_names == ("binance-spot:BTCUSDT", "SOLUSDT", "binance-usdm:BTCUSDT")
    assert plan.instrument("binance-usdm:BTCUSDT").id == 2


def test_a_symbol_that_a_lake_lacks_is_answered_in_a_sentence_with_what_it_has(
    tmp_path: Path, planned: Planned, small_lake: Path
) -> None:
    with pytest.raises(MissingInput) as caught:
        planned(tmp_path, lake=small_lake, symbols=("BTCUSDT", "DOGEUSDT"))
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in ("DOGEUSDT", "binance-usdm:BTCUSDT", "binance-spot:BTCUSDT", "dydx:SOLUSDT"):
        assert word in sentence
    assert list(tmp_path.iterdir()) == []


def test_a_lake_that_holds_nothing_says_what_to_do(tmp_path: Path, planned: Planned) -> None:
    with pytest.raises(MissingInput, match="import"):
        planned(tmp_path / "runs", lake=tmp_path / "nothing")
    assert not (tmp_path / "runs").exists()


def test_live_trading_is_refused_before_anything_is_written(tmp_path: Path, planned: Planned) -> None:
    with pytest.raises(UserError, match="it needs --venues"):
        planned(tmp_path, mode="live")
    assert list(tmp_path.iterdir()) == []


def test_hours_are_a_span_of_event_time_and_a_journal_is_taken_whole(tmp_path: Path, planned: Planned) -> None:
    plan = planned(tmp_path, hours=0.25)
    assert span_ns(plan) == NS_PER_HOUR // 4
    assert span_ns(plan_replay(plan.folder)) == 0


@pytest.mark.parametrize(
    ("speed", "event_s", "wall_s", "expected_s"),
    [
        (1.0, 5, 0, 5.0),  # five seconds of events are due five seconds after the start
        (10.0, 5, 0, 0.5),
        (10.0, 5, 2, -1.5),  # late
        (0.5, 3, 1, 5.0),
        (0.0, 3, 0, 0.0),  # not paced
    ],
)
def test_a_pace_is_event_time_over_wall_time(speed: float, event_s: int, wall_s: int, expected_s: float) -> None:
    pace = Pacing(speed, MIDNIGHT, STARTED)
    waited = pace.wait_s(MIDNIGHT + event_s * NS_PER_S, STARTED + wall_s * NS_PER_S)
    assert waited == pytest.approx(expected_s, abs=1e-6)


def test_what_has_no_start_is_not_paced() -> None:
    assert Pacing(1.0, 0, STARTED).wait_s(MIDNIGHT, STARTED) == 0.0
