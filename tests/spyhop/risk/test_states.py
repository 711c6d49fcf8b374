"""States: bounds, hysteresis, and the table of what may follow what."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.errors import InvalidSetting
from spyhop.model.verdicts import RiskState
from spyhop.risk.states import (
    NEVER,
    NEXT,
    RANK,
    RULES,
    StateParams,
    Watch,
    bounds_of,
    gravest,
    level,
    permits_entry,
    permits_exit,
    size_frac,
    wants_flat,
)

CAN_TRADE, SUSPECT, HALT, ESCAPE = RiskState
PARAMS = StateParams(clear_s=60.0)


def stepped(watch: Watch, second: float, **measured: float) -> RiskState:
    watch.step(round(second * NS_PER_S), measured, PARAMS)
    return watch.state


def test_states_are_ordered_by_gravity() -> None:
    assert [RANK[state] for state in (CAN_TRADE, SUSPECT, HALT, ESCAPE)] == [0, 1, 2, 3]
    assert gravest() is CAN_TRADE
    assert gravest(SUSPECT, ESCAPE, HALT) is ESCAPE


def test_what_each_state_permits() -> None:
    assert [permits_entry(state) for state in RiskState] == [True, True, False, False]
    assert [size_frac(state, PARAMS) for state in RiskState] == [1.0, 0.5, 0.0, 0.0]
    assert [wants_flat(state) for state in RiskState] == [False, False, False, True]


def test_exits_pass_in_every_state() -> None:
    assert all(permits_exit(state) for state in RiskState)


def test_every_state_can_be_left_and_none_follows_itself() -> None:
    assert set(NEXT) == set(RiskState)
    assert all(after and state not in after for state, after in NEXT.items())
    assert NEXT[ESCAPE] == {HALT}


@pytest.mark.parametrize(
    ("measured", "state", "limit"),
    [
        (0.05, CAN_TRADE, 0.05),  # at its bound nothing begins
        (0.051, SUSPECT, 0.05),
        (0.081, HALT, 0.08),
        (0.101, ESCAPE, 0.10),
        (math.nan, HALT, 0.08),
        (math.inf, ESCAPE, 0.10),
    ],
)
def test_a_measurement_has_the_gravest_state_it_is_past(measured: float, state: RiskState, limit: float) -> None:
    assert level(measured, RULES["daily_drawdown"].bounds(PARAMS)) == (state, limit)


def test_a_cause_enters_at_once_and_says_why() -> None:
    watch = Watch()
    assert stepped(watch, 0, data_age=1.0) is CAN_TRADE
    assert stepped(watch, 1, data_age=3.0, clock_skew=9.0) is HALT
    assert watch.reasons == ("clock_skew: 9 against 2", "data_age: 3 against 2")


def test_a_cause_leaves_only_after_a_whole_time_of_good_measurements() -> None:
    watch = Watch()
    stepped(watch, 0, data_age=9.0)
    assert stepped(watch, 10, data_age=1.0) is HALT
    assert stepped(watch, 69.9, data_age=1.0) is HALT
    assert stepped(watch, 70, data_age=1.0) is CAN_TRADE


def test_a_bad_measurement_begins_the_wait_anew() -> None:
    watch = Watch()
    stepped(watch, 0, data_age=9.0)
    stepped(watch, 10, data_age=1.0)
    stepped(watch, 60, data_age=6.0)
    stepped(watch, 61, data_age=1.0)
    assert stepped(watch, 120, data_age=1.0) is HALT
    assert stepped(watch, 121, data_age=1.0) is CAN_TRADE


def test_a_cause_weakens_to_the_worst_of_its_better_time() -> None:
    watch = Watch()
    stepped(watch, 0, data_age=9.0)
    stepped(watch, 10, data_age=1.0)
    stepped(watch, 40, data_age=3.0)
    assert stepped(watch, 70, data_age=1.0) is SUSPECT
    assert stepped(watch, 129, data_age=1.0) is SUSPECT
    assert stepped(watch, 130, data_age=1.0) is CAN_TRADE


def test_who_escaped_rests_in_halt_first() -> None:
    watch = Watch()
    assert stepped(watch, 0, daily_drawdown=0.2) is ESCAPE
    assert stepped(watch, 10, daily_drawdown=0.0) is ESCAPE
    assert stepped(watch, 70, daily_drawdown=0.0) is HALT
    assert stepped(watch, 129, daily_drawdown=0.0) is HALT
    assert stepped(watch, 130, daily_drawdown=0.0) is CAN_TRADE


def test_an_operators_word_ends_at_once() -> None:
    watch = Watch()
    assert stepped(watch, 0, paused=1.0) is HALT
    assert stepped(watch, 0, paused=0.0) is CAN_TRADE
    assert stepped(watch, 1, killed=1.0) is ESCAPE


def test_silence_does_not_heal() -> None:
    watch = Watch()
    stepped(watch, 0, data_age=9.0)
    stepped(watch, 10, data_age=1.0)
    assert stepped(watch, 10_000, clock_skew=0.0) is HALT


@given(
    st.lists(
        st.tuples(st.floats(0, 200), st.sampled_from(sorted(RULES)), st.floats(0, 400) | st.just(math.nan)), max_size=60
    )
)
def test_states_follow_their_table_and_are_never_left_early(steps: list[tuple[float, str, float]]) -> None:
    watch, now, seen = Watch(), 0.0, [CAN_TRADE]
    bad: dict[str, float] = {}
    for wait, code, value in steps:
        now += wait
        held = watch.causes.get(code)
        before = held.state if held else CAN_TRADE
        seen.append(stepped(watch, now, **{code: value}))
        measured, _ = level(value, RULES[code].bounds(PARAMS))
        after = watch.causes[code].state if code in watch.causes else CAN_TRADE
        assert after is before or after in NEXT[before]
        assert RANK[after] >= RANK[measured]
        if RANK[measured] >= RANK[before]:
            bad[code] = now
        elif after is not before and not RULES[code].clears_at_once:
            assert now - bad[code] >= PARAMS.clear_s - 1e-6
            bad[code] = now
    for before, after in pairwise(seen):
        assert after is before or after in NEXT[before]


def test_a_watch_survives_its_encoding_anywhere() -> None:
    whole, cut = Watch(), Watch()
    for second in range(0, 600, 7):
        measured = {"data_age": 9.0 if second % 91 == 0 else 1.0, "killed": float(second > 500)}
        whole.step(second * NS_PER_S, measured, PARAMS)
        cut = msgspec.msgpack.decode(msgspec.msgpack.encode(cut), type=Watch)
        cut.step(second * NS_PER_S, measured, PARAMS)
        assert cut == whole


def test_the_bounds_in_force_can_be_told() -> None:
    told = bounds_of(PARAMS)
    assert told["data_age.halt"] == 5.0
    assert told["daily_drawdown.escape"] == 0.10
    assert max(told.values()) < NEVER


def test_a_halt_before_its_suspicion_is_refused_as_a_setting() -> None:
    with pytest.raises(InvalidSetting, match="data_age"):
        StateParams(suspect_data_age_s=9.0, halt_data_age_s=5.0)
    assert StateParams(halt_when_unclean=False).halt_when_unclean is False
