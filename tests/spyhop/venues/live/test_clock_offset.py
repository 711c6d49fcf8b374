from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.venues.adapter import VenueTime
from spyhop.venues.live.clock_offset import ClockOffset

MS = NS_PER_MS
T0 = 1_700_000_000 * NS_PER_S


def asked(at: int, offset: int, *, there: int, back: int, cut_to: int = MS) -> VenueTime:
    """A question sent `at` our clock to a venue `offset` ahead; delays in ns."""
    venue = at + there + offset
    return VenueTime(at, at + there + back, venue - venue % cut_to)


def test_nothing_is_known_before_the_first_answer() -> None:
    clock = ClockOffset()
    assert (clock.is_known, clock.offset_ns, clock.uncertainty_ns, clock.news()) == (False, 0, None, None)


def test_equal_delays_give_the_offset_and_their_half_as_uncertainty() -> None:
    clock = ClockOffset(resolution_ns=0, max_drift_ppm=0)
    clock.on_answer(asked(T0, 250 * MS, there=20 * MS, back=20 * MS, cut_to=1))
    assert (clock.is_known, clock.offset_ns, clock.uncertainty_ns) == (True, 250 * MS, 20 * MS)
    assert clock.skew_ms == 250.0


def test_unequal_delays_err_by_half_their_difference() -> None:
    clock = ClockOffset(resolution_ns=0, max_drift_ppm=0)
    clock.on_answer(asked(T0, 0, there=10 * MS, back=50 * MS, cut_to=1))
    assert clock.offset_ns == -20 * MS
    assert clock.uncertainty_ns == 30 * MS


def test_a_young_frame_mends_what_a_slow_way_back_spoiled() -> None:
    clock = ClockOffset(resolution_ns=0, max_drift_ppm=0)
    clock.on_answer(asked(T0, 0, there=10 * MS, back=50 * MS, cut_to=1))  # -50 .. 10
    clock.on_frame(T0 + NS_PER_S, T0 + NS_PER_S + 4 * MS)  # at least -4
    assert clock.offset_ns == 3 * MS
    assert clock.uncertainty_ns == 7 * MS


def test_an_answer_that_took_long_allows_for_drift_on_its_way_back() -> None:
    clock = ClockOffset(resolution_ns=0, max_drift_ppm=100)
    clock.on_answer(asked(T0, 0, there=0, back=4 * NS_PER_S, cut_to=1))
    ahead_by_now = 4 * NS_PER_S * 100 // 1_000_000
    assert clock.uncertainty_ns is not None
    assert clock.offset_ns + clock.uncertainty_ns == ahead_by_now


def test_the_quickest_answer_wins_whenever_it_came() -> None:
    clock = ClockOffset(resolution_ns=0, max_drift_ppm=0)
    for k, delay in enumerate([80, 5, 120, 60]):
        clock.on_answer(asked(T0 + k * NS_PER_S, 7 * MS, there=delay * MS, back=delay * MS, cut_to=1))
    assert (clock.offset_ns, clock.uncertainty_ns) == (7 * MS, 5 * MS)


def test_ages_are_those_of_one_clock() -> None:
    clock = ClockOffset(resolution_ns=0, max_drift_ppm=0)
    clock.on_answer(asked(T0, 900 * MS, there=MS, back=MS, cut_to=1))
    happened = T0 + NS_PER_S + 900 * MS  # by the venue's clock
    assert clock.age_ns(happened, T0 + NS_PER_S + 30 * MS) == 30 * MS


def test_before_an_answer_frames_prove_at_least_that_we_are_behind() -> None:
    clock = ClockOffset()
    clock.on_frame(T0 - 40 * MS, T0)
    assert clock.offset_ns == 0
    clock.on_frame(T0 + 400 * MS, T0)
    clock.on_frame(T0 + 100 * MS, T0)
    assert (clock.offset_ns, clock.is_known, clock.is_doubted) == (400 * MS, False, False)
    clock.on_answer(asked(T0, 430 * MS, there=50 * MS, back=150 * MS))
    assert clock.offset_ns == pytest.approx(430 * MS, abs=41 * MS)
    assert clock.uncertainty_ns is not None
    assert clock.uncertainty_ns <= 41 * MS


def test_slow_drift_is_followed() -> None:
    clock = ClockOffset(max_drift_ppm=100)
    rng = np.random.default_rng(3)
    for second in range(0, 3_600, 30):
        at = T0 + second * NS_PER_S
        offset = second * 50_000  # 50 parts in a million
        there, back = (int(delay) for delay in rng.exponential(20 * MS, 2) + 2 * MS)
        clock.on_answer(asked(at, offset, there=there, back=back))
        assert clock.uncertainty_ns is not None
        now = at + there + back
        assert abs(clock.offset_ns - (now - T0) * 50 // 1_000_000) <= clock.uncertainty_ns
    assert clock.num_steps == 0
    assert clock.offset_ns == pytest.approx(3_570 * 50_000, abs=15 * MS)


def test_a_step_is_taken_when_a_second_answer_agrees() -> None:
    clock = ClockOffset()
    clock.on_answer(asked(T0, 0, there=5 * MS, back=5 * MS))
    clock.on_answer(asked(T0 + 30 * NS_PER_S, 2 * NS_PER_S, there=5 * MS, back=5 * MS))
    assert clock.is_doubted
    assert abs(clock.offset_ns) < 6 * MS
    clock.on_answer(asked(T0 + 31 * NS_PER_S, 2 * NS_PER_S, there=5 * MS, back=5 * MS))
    assert not clock.is_doubted
    assert clock.num_steps == 1
    assert clock.offset_ns == pytest.approx(2 * NS_PER_S, abs=6 * MS)


def test_one_false_answer_changes_nothing() -> None:
    clock = ClockOffset()
    for k, lie in enumerate([0, 0, 5 * NS_PER_S, 0, 0, -3 * NS_PER_S, 0]):
        clock.on_answer(asked(T0 + k * 30 * NS_PER_S, lie, there=5 * MS, back=5 * MS))
    assert abs(clock.offset_ns) < 6 * MS
    assert (clock.num_steps, clock.num_contradictions, clock.is_doubted) == (0, 2, False)


def test_a_frame_from_the_future_is_doubted_and_an_answer_decides() -> None:
    clock = ClockOffset()
    clock.on_answer(asked(T0, 0, there=5 * MS, back=5 * MS))
    clock.on_frame(T0 + 2 * NS_PER_S, T0 + NS_PER_S)
    assert clock.is_doubted
    assert abs(clock.offset_ns) < 6 * MS
    stepped, lied_to = clock, ClockOffset()
    stepped.on_answer(asked(T0 + 2 * NS_PER_S, NS_PER_S + 3 * MS, there=5 * MS, back=5 * MS))
    assert stepped.num_steps == 1
    assert stepped.offset_ns == pytest.approx(NS_PER_S + 3 * MS, abs=6 * MS)

    lied_to.on_answer(asked(T0, 0, there=5 * MS, back=5 * MS))
    lied_to.on_frame(T0 + 2 * NS_PER_S, T0 + NS_PER_S)
    lied_to.on_answer(asked(T0 + 2 * NS_PER_S, 0, there=5 * MS, back=5 * MS))
    assert (lied_to.num_steps, lied_to.is_doubted) == (0, False)


def test_an_answer_that_came_before_the_question_is_ignored() -> None:
    clock = ClockOffset()
    clock.on_answer(VenueTime(T0, T0 - 1, T0))
    assert (clock.is_known, clock.num_samples) == (False, 0)


def test_news_is_told_once_and_only_when_it_is_large() -> None:
    clock = ClockOffset(resolution_ns=0, max_drift_ppm=0)
    clock.on_answer(asked(T0, 4 * MS, there=MS, back=MS, cut_to=1))
    assert clock.news() is None
    clock.on_answer(asked(T0, 4 * MS, there=MS, back=MS, cut_to=1))
    assert clock.news(threshold_ns=3 * MS) == 4 * MS
    assert clock.news(threshold_ns=3 * MS) is None

    unsure = ClockOffset(resolution_ns=0, max_drift_ppm=0)
    unsure.on_answer(asked(T0, 40 * MS, there=50 * MS, back=50 * MS, cut_to=1))
    assert unsure.news() is None  # 40 ms, give or take 50


DELAYS = st.integers(0, 2 * NS_PER_S)
Told = tuple[int, int, int, bool]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    start=st.integers(-10 * NS_PER_S, 10 * NS_PER_S),
    drift_ppm=st.integers(-100, 100),
    told=st.lists(
        st.tuples(st.integers(0, 600 * NS_PER_S), DELAYS, DELAYS, st.booleans()),
        min_size=1,
        max_size=40,
    ),
)
def test_the_true_offset_is_within_the_stated_uncertainty(start: int, drift_ppm: int, told: list[Told]) -> None:
    clock = ClockOffset()
    now = T0

    def offset(at: int) -> int:
        return start + (at - T0) * drift_ppm // 1_000_000

    def venue_ms(at: int) -> int:
        return (at + offset(at)) // MS * MS

    for pause, there, back, is_answer in told:
        sent = now + pause
        now = sent + there + back
        if is_answer:
            clock.on_answer(VenueTime(sent, now, venue_ms(sent + there)))
        else:
            clock.on_frame(venue_ms(sent), now)
        assert clock.num_contradictions == 0
        if clock.uncertainty_ns is not None:
            assert abs(clock.offset_ns - offset(now)) <= clock.uncertainty_ns
