from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.research.studies import following, spreads, week
from spyhop.research.studies.bar_trips import ReversionParams
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.pages import page
from spyhop.strategies.lead import LeadParams

VOID = {"meta", "br", "hr", "img", "input", "link"}
SEEDS = LeadParams(premium_frac=0.0008, discount_frac=0.0008)


class Reader(HTMLParser):
    """Collects text and addresses, and notes tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def read(html: str) -> str:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert reader.addresses == []
    assert not re.search(r"\b(nan|NaN|inf|None)\b", html)
    return " ".join(" ".join(reader.text).split())


def wide(make_pair: Any, num: int = 3_000) -> Any:
    rng = np.random.default_rng(9)
    leader = 10_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, num)))
    return make_pair(leader, leader * (1 + rng.normal(0, 8e-4, num)))


def test_a_spread_says_everything_that_it_must(make_pair: Any) -> None:
    text = read(page(spreads.study(wide(make_pair), ReversionParams(), Costs(fees_bps=20, slippage_bps=1))))
    for said in (
        "no demonstrated edge", "dydx:BTC-USD after binance-spot:BTCUSDT", "gross", "fees", "slippage", "funding",
        "NET",
        "Wilson", "break-even", "Student", "bootstrap", "random entry, held as long", "buy and hold", "no trade",
        "p = ",
        "calm third", "Asia", "Europe", "America", "fees x 1.5", "slippage + 2 bp", "entered 1 min later",
        "Net is zero where", "half-life", "most losses in a row", "five best", "Bars of a minute",
        "minutes without a trade", "entry_frac", "After the excursions", "bp off at once",
    ):  # fmt: skip
        assert said in text, said


def test_following_says_what_came_after_the_events(planted: Any) -> None:
    text = read(page(following.study(planted(3), SEEDS, Costs())))
    for said in ("long and short", "take profit", "timeout", "After the events", "the spread closed", "stop_loss_frac"):
        assert said in text, said
    assert "SIMULATED" not in text


def test_no_trade_still_makes_a_page(make_pair: Any) -> None:
    flat = make_pair(np.full(50, 100.0), np.full(50, 100.0))
    assert "no trade was closed" in read(page(following.study(flat, SEEDS, Costs())))
    assert "no trade was closed" in read(page(spreads.study(flat, ReversionParams(), Costs())))
    unknown = make_pair(np.full(50, 100.0), np.full(50, np.nan))
    assert "nothing to draw" in read(page(spreads.study(unknown, ReversionParams(), Costs())))


def test_a_simulated_market_is_told_in_large_type(planted: Any) -> None:
    bars = msgspec.structs.replace(planted(3, num=500), is_simulated=True)
    assert "SIMULATED DATA" in read(page(following.study(bars, SEEDS, Costs())))


def test_names_are_escaped(planted: Any) -> None:
    bars = msgspec.structs.replace(planted(3, num=500), leader="<script>alert(1)</script>")
    assert "<script>" in read(page(following.study(bars, SEEDS, Costs())))


@pytest.mark.slow
def test_a_week_holds_every_study(planted: Any) -> None:
    each = [msgspec.structs.replace(SEEDS, direction=one) for one in ("short", "long")]
    text = read(page(week.study(planted(3, num=2_000), ReversionParams(), each, Costs())))
    for said in (
        "Spread reversion",
        "Lead/follow, short",
        "Lead/follow, long",
        "Lag",
        "In all",
        "rules were looked at",
    ):
        assert said in text, said
