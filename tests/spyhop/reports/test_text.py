from __future__ import annotations

from collections.abc import Callable

import pytest

from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.reports import text
from spyhop.reports.build import build
from spyhop.reports.model import Interval


def test_numbers_are_said_with_their_units_and_unknown_ones_as_such() -> None:
    assert text.amount(1234.5, "USDT") == "1,234.50 USDT"
    assert text.amount(None) == "not known"
    assert text.signed(0.5) == "+0.50"
    assert text.signed(-0.001) == "+0.00"
    assert text.signed(None) == "not known"
    assert text.percent(0.7204) == "72.0 %"
    assert text.bounds(Interval(-1.0, 2.0), "bp") == "-1.00 to +2.00 bp"
    assert text.counts({"a": 1, "b": 3}) == "b 3 (75 %), a 1 (25 %)"
    assert text.counts({}) == "none"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "not known"), (5.25, "5.2 s"), (60, "1 min 0 s"), (3_599.6, "1 h 0 min"), (7_260, "2 h 1 min")],
)
def test_durations_read_naturally(seconds: float | None, said: str) -> None:
    assert text.duration(seconds) == said


def test_the_summary_begins_with_the_warning_and_the_verdict_and_has_the_numbers(
    make_story: Callable[[list[float]], list[Entry]], make_session: Callable[..., Session]
) -> None:
    said = text.summary(build(make_session(is_simulated=True), make_story([7.0, -18.0])))
    lines = said.splitlines()
    assert "SIMULATED DATA" in lines[1]
    assert "VERDICT: no demonstrated edge" in said
    for expected in ("-11.00", "-16.00", "50.0 % of 2", "72.0 % planned", "min_interval", "take_profit 1 (50 %)"):
        assert expected in said
    assert "SIMULATED" not in text.summary(build(make_session(), make_story([7.0])))


def test_a_session_without_anything_can_be_summed_up(make_session: Callable[..., Session]) -> None:
    said = text.summary(build(make_session(settings={}), []))
    assert "not known" in said
    assert "Events: none" in said
