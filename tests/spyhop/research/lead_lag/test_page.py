from __future__ import annotations

import msgspec
import pytest

from spyhop.research.lead_lag.estimate import Curve, LeadLagStudy, Side
from spyhop.research.lead_lag.page import page, words
from spyhop.research.lead_lag.shares import PriceShares

SHARES = PriceShares(
    component=0.97, information_low=0.96, information_high=0.99, information_mid=0.975, information_leadership=0.98,
    alpha_leader=-0.01, alpha_follower=0.3, p_leader=0.4, p_follower=0.0, trace=50.0, trace_95=15.5, beta=-1.0,
    error_correlation=0.1, grid_s=0.1, num_rows=5_000, verdict="the leader finds most of the price",
)  # fmt: skip


def side(name: str) -> Side:
    return Side(
        name=name, what="mids", num_ticks=1_234, num_moves=1_000, num_unsorted=1, num_missing=2, num_repeated=3,
        resolution_s=0.001,
    )  # fmt: skip


STUDY = LeadLagStudy(
    lag_s=0.7, lag_low_s=0.65, lag_high_s=0.75, rho=0.5, lead_lag_ratio=12.0, null_95=0.1, null_p=0.005, has_lag=True,
    verdict="<BTC> leads", clock="receive", is_simulated=False, span_s=3_600.0, step_s=0.1, block_s=180.0,
    num_blocks=20, num_placebos=199, leader=side("BTC&co"), follower=side("dydx"), shares=SHARES,
    curve=Curve(shift_s=(-1.0, 0.0, 1.0), rho=(0.0, 0.1, 0.5)), warnings=("a <short> recording",),
)  # fmt: skip


def test_the_page_shows_both_clocks_the_band_and_what_it_does_not_say() -> None:
    text = page([STUDY, msgspec.structs.replace(STUDY, clock="exchange", has_lag=False, shares=None)])
    for said in (
        "&lt;BTC&gt; leads", "a &lt;short&gt; recording", "BTC&amp;co", "Actionable", "Structural", "0.65 to 0.75 s",
        "0.1000 (199 placebos)", "Hasbrouck", "0.960 to 0.990", "1,234 prices",
        "statement about prices, not about money",
    ):  # fmt: skip
        assert said in text, said
    assert text.count("<svg") == 2
    assert text.count('class="verdict edge"') == 1
    assert "SIMULATED" not in text
    assert "<script" not in text
    assert "http" not in text


def test_simulated_data_bears_its_banner() -> None:
    simulated = msgspec.structs.replace(STUDY, is_simulated=True)
    assert 'class="simulated"' in page([simulated])
    assert "SIMULATED DATA" in words([simulated])


@pytest.mark.parametrize("clock", ["receive", "exchange", "unknown"])
def test_the_words_say_the_verdict_first(clock: str) -> None:
    study = msgspec.structs.replace(STUDY, clock=clock, lag_low_s=None, lag_high_s=None, lead_lag_ratio=None)
    lines = words([study]).splitlines()
    assert lines[1] == "  VERDICT: <BTC> leads"
    assert sum("not known" in line for line in lines) == 2
    assert "not about money" in lines[-1]
