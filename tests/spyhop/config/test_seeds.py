import pytest

from spyhop.config import seeds, tree
from spyhop.config.settings import Settings
from spyhop.errors import InvalidSetting


@pytest.mark.parametrize("name", sorted(seeds.SEED_NAMES))
def test_every_seed_name_sets_settings_that_exist(name: str) -> None:
    known = tree.leaves(Settings)
    assert all(path in known for path in seeds.SEED_NAMES[name].paths)
    assert name == name.lower()
    assert name not in seeds.LATER


@pytest.mark.parametrize(
    ("name", "written", "path", "value"),
    [
        ("target_profit_pct", "0.15", "decision.exits.take_profit_frac", 0.0015),
        ("stop_loss_pct", 0.10, "decision.exits.stop_loss_frac", 0.001),
        ("stop_loss_pct", "1e-1", "decision.exits.stop_loss_frac", 0.001),
        ("max_hold_minutes", 30, "decision.exits.max_hold_s", 1800),
        ("max_hold_minutes", "0.5", "decision.exits.max_hold_s", 30),
        ("analysis_interval_sec", "30.0", "detection.interval_s", 30),
        ("symbols", "BTCUSDT,ETHUSDT", "session.symbols", "BTCUSDT,ETHUSDT"),
    ],
)
def test_a_seed_name_is_turned_into_our_unit_without_rounding(
    name: str, written: object, path: str, value: object
) -> None:
    assert (path, value) in seeds.translated(name, written, "here")


@pytest.mark.parametrize("written", ["ten", True, None, "nan", "inf", ""])
def test_what_is_no_number_is_refused_under_the_name_that_was_written(written: object) -> None:
    with pytest.raises(InvalidSetting, match=r"setting 'target_profit_pct' \(from here\)"):
        seeds.translated("target_profit_pct", written, "here")


def test_the_seed_values_are_the_defaults() -> None:
    defaults = Settings()
    for name, written in (
        ("leverage", 100),
        ("position_size_usdt", 100),
        ("ws_interval_sec", 1),
        ("analysis_interval_sec", 30),
        ("min_trade_interval_sec", 60),
        ("target_profit_pct", "0.15"),
        ("stop_loss_pct", "0.10"),
        ("max_hold_minutes", 30),
    ):
        for path, value in seeds.translated(name, written, "seed"):
            assert tree.value_at(defaults, path) == value


def test_an_interval_between_trades_holds_for_the_filter_and_for_the_risk() -> None:
    paths = [path for path, _ in seeds.translated("min_trade_interval_sec", 90, "here")]
    assert paths == ["decision.filter.min_trade_interval_s", "risk.limits.min_trade_interval_s"]
