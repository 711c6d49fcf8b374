from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.reports.build import build
from spyhop.reports.model import Verdict

MakeStory = Callable[[list[float]], list[Entry]]
MakeSession = Callable[..., Session]


@pytest.fixture
def verdict_of(make_story: MakeStory, make_session: MakeSession) -> Callable[..., Verdict]:
    def judge(nets: list[float], *, is_simulated: bool = False) -> Verdict:
        return build(make_session(is_simulated=is_simulated), make_story(nets)).verdict

    return judge


def spread(mean: float, count: int) -> list[float]:
    return (mean + np.linspace(-10, 10, count)).tolist()


def test_without_trades_there_is_no_edge(verdict_of: Callable[..., Verdict]) -> None:
    verdict = verdict_of([])
    assert verdict.headline == "no demonstrated edge: no trade was closed"
    assert not verdict.has_edge


def test_one_trade_is_not_enough_and_has_no_interval(verdict_of: Callable[..., Verdict]) -> None:
    verdict = verdict_of([50.0])
    assert verdict.headline == "no demonstrated edge: not enough trades to tell"
    assert "a single trade has no interval" in verdict.reasons[0]
    assert "over 1 trade;" in verdict.reasons[0]


def test_a_few_trades_are_not_enough_however_good(verdict_of: Callable[..., Verdict]) -> None:
    verdict = verdict_of([50.0 + n for n in range(29)])
    assert not verdict.has_edge
    assert "not enough trades to tell" in verdict.headline
    assert any("29 trades are fewer than the 30" in reason for reason in verdict.reasons)


def test_an_interval_that_holds_zero_shows_no_edge(verdict_of: Callable[..., Verdict]) -> None:
    verdict = verdict_of(spread(0.3, 60))
    assert verdict.headline == "no demonstrated edge: the interval holds zero"
    assert not verdict.has_edge


def test_a_loss_beyond_doubt_is_called_one(verdict_of: Callable[..., Verdict]) -> None:
    assert verdict_of(spread(-8.0, 60)).headline == "no demonstrated edge: these trades lose after costs"


def test_a_gain_beyond_doubt_is_said_with_its_caveat(verdict_of: Callable[..., Verdict]) -> None:
    verdict = verdict_of(spread(8.0, 60))
    assert verdict.has_edge
    assert "in this sample" in verdict.headline
    assert "nobody saw" in verdict.reasons[-1]


def test_simulated_data_never_shows_an_edge(verdict_of: Callable[..., Verdict]) -> None:
    verdict = verdict_of(spread(8.0, 60), is_simulated=True)
    assert not verdict.has_edge
    assert "simulated" in verdict.headline
    assert any("nothing about any real market" in reason for reason in verdict.reasons)


def test_break_even_and_the_trades_it_would_take_are_said(verdict_of: Callable[..., Verdict]) -> None:
    told = " ".join(verdict_of(spread(0.3, 60)).reasons)
    assert "break-even needs 72.0 %" in told
    assert "Won 31 of 60" in told
