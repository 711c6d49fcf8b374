"""The page says the verdict first and needs nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_HOUR
from spyhop.research.sweeps.page import page
from spyhop.research.sweeps.result import AssessParams, SweepResult, assess

QUICK = AssessParams(pbo_splits=200, pbo_null_splits=50, pbo_null_draws=40, num_draws=200)


@pytest.fixture(scope="module")
def swept() -> SweepResult:
    return _swept()


def _swept(*, earns: bool = True, open_final: bool = False) -> SweepResult:
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(5.0), np.arange(3.0)), -1).reshape(-1, 3)
    pnl = np.random.default_rng(0).normal(size=(60, 120)) * 1e-3 * earns
    return assess(
        ["lead.a", "lead.b<i>", "lead.c"],
        grid,
        pnl.astype(np.float32),
        np.full(60, 90 * earns),
        np.arange(120) * NS_PER_HOUR,
        num_trials=4_321,
        params=QUICK,
        open_final=open_final,
    )


class _Balanced(HTMLParser):
    """Fails on a tag that is closed and not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_has_every_part(swept: SweepResult) -> None:
    made = page(swept, title="Lead & follow")
    parser = _Balanced()
    parser.feed(made)
    assert parser.open == []
    assert "script" not in parser.seen
    assert not re.search(r"(src|href|url)\s*[=(]", made)
    headings = re.findall("<h2>(.*?)</h2>", made)
    assert headings == [
        "Tests",
        "The setting that goes forward",
        "Walk-forward",
        "Ranked",
        "Does it last?",
        "Heat map",
        "Parallel coordinates",
        "Overfitting",
        "Notes",
    ]
    assert "Lead &amp; follow" in made
    assert "lead.b&lt;i&gt;" in made
    assert "<i>," not in made


def test_the_verdict_comes_before_any_number_of_a_setting(swept: SweepResult) -> None:
    made = page(swept)
    assert made.index("no demonstrated edge") < made.index("<table>")
    assert "4,321" in made
    for check in swept.checks:
        assert check.name in made


def test_the_axes_of_the_heat_map_can_be_chosen(swept: SweepResult) -> None:
    assert page(swept).split("<h2>Heat map</h2>")[1].startswith('<figure><svg viewBox="0 0 720 194"')
    chosen = page(swept, axes=("lead.c", "lead.b<i>")).split("<h2>Heat map</h2>")[1]
    assert 'aria-label="lead.b&lt;i&gt; and lead.c"' in chosen.split("</svg>")[0]


def test_final_columns_are_there_only_when_it_was_opened(swept: SweepResult) -> None:
    assert "Sharpe, final" not in page(swept)
    assert "Sharpe, final" in page(_swept(open_final=True))


def test_simulated_data_is_said_and_nothing_traded_is_a_page_too(swept: SweepResult) -> None:
    assert "SIMULATED DATA" not in page(swept)
    assert "SIMULATED DATA" in page(msgspec.structs.replace(swept, is_simulated=True))
    nothing = page(_swept(earns=False))
    assert "no setting traded often enough" in nothing
    assert "None traded often enough to be chosen." in nothing
