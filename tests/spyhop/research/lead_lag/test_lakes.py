"""The table of docs/studies/lead-lag.md, loosely: what five minutes of three markets of one exchange say."""

from __future__ import annotations

from pathlib import Path

import pytest

from spyhop.errors import MissingInput, UserError
from spyhop.research.lead_lag.estimate import LeadLagParams
from spyhop.research.lead_lag.lakes import lead_lag_of_lake
from spyhop.storage.lake import Lake

PARAMS = LeadLagParams(max_lag_s=0.5, step_s=0.005, placebos=39)


@pytest.fixture(scope="module")
def lake(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    from spyhop.wiring import data

    root = str(tmp_path_factory.mktemp("lake"))
    names = ("usdm_btcusdt_20240808.gz", "cm_btcusd_perp_20240808.gz", "spot_btcusdt_20240808.gz")
    data.import_data([recordings / "binance_raw" / name for name in names], root)
    return Lake(root)


@pytest.mark.slow
def test_the_large_perpetual_leads_the_inverse_one_by_tens_of_milliseconds(lake: Lake) -> None:
    both = lead_lag_of_lake(lake, "binance-usdm:BTCUSDT", "BTCUSD_PERP", PARAMS)
    assert both.structural is not None
    for study in (both.structural, both.actionable):
        assert study.has_lag
        assert 0.005 <= study.lag_s <= 0.08
        assert study.rho > 3 * study.null_95
        assert study.lead_lag_ratio is not None
        assert study.lead_lag_ratio > 2.0
        assert study.shares is not None
    assert (both.structural.clock, both.actionable.clock) == ("exchange", "receive")


@pytest.mark.slow
def test_a_rhythm_of_100_ms_hides_what_is_shorter(lake: Lake) -> None:
    both = lead_lag_of_lake(lake, "binance-usdm:BTCUSDT", "binance-spot:BTCUSDT", PARAMS)
    assert both.structural is not None
    assert both.structural.follower.resolution_s == pytest.approx(0.1, abs=0.01)
    assert not both.structural.has_lag
    assert abs(both.actionable.lag_s) < 0.06


@pytest.mark.slow
def test_mistakes_are_one_sentence(lake: Lake) -> None:
    with pytest.raises(UserError, match="cannot lead itself"):
        lead_lag_of_lake(lake, "BTCUSD_PERP", "BTCUSD_PERP", PARAMS)
    with pytest.raises(UserError, match="do not both have bars"):
        lead_lag_of_lake(lake, "binance-usdm:BTCUSDT", "BTCUSD_PERP", PARAMS, source="bars")
    with pytest.raises(MissingInput, match="there is no DOGE"):
        lead_lag_of_lake(lake, "DOGE", "BTCUSD_PERP", PARAMS)
