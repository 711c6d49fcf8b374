from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_MS, EventClock
from spyhop.config.loading import Sources, load
from spyhop.config.settings import Settings, decoded, encoded
from spyhop.errors import MissingInput
from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.model.observations import Leader, LeadFeatures, LeadLag, Observation
from spyhop.risk.comparisons import compared
from spyhop.storage.journal import FactWriter, write_session
from spyhop.venues.doctor import Finding, Level
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import SessionPlan
from spyhop.wiring.preflight import BOUNDS, Check, of_accounts, passes, preflight
from spyhop.wiring.trading import Examined

NOW = 1_764_350_100_000_000_000
SOUND: dict[str, object] = {
    "session.symbols": ["BTCUSDT", "BTC-USD"],
    "risk.limits.max_losses_in_row": 5,
    "risk.sizing.fee_frac": 0.0005,
    "risk.sizing.slippage_bps": 1.0,
    "venue.taker_fee_frac": 0.0005,
}
OFF: dict[str, dict[str, object]] = {
    "risk.limits.max_losses_in_row": {"risk.limits.max_losses_in_row": 1_000_000},
    "risk.health.min_volatility": {"risk.health.min_volatility": 1_000_000},
    "risk.limits.max_daily_loss_frac": {"risk.limits.max_daily_loss_frac": 1.0},
    "risk.limits.max_daily_drawdown_frac": {"risk.limits.max_daily_drawdown_frac": 1.0},
    "decision.exits.take_profit_frac": {"decision.exits.take_profit_frac": 0.99},
    "decision.exits.stop_loss_frac": {"decision.exits.stop_loss_frac": 0.99},
    "lead.take_profit_frac": {"lead.take_profit_frac": 0.99},
    "lead.stop_loss_frac": {"lead.stop_loss_frac": 0.99},
    # states come in an order, so those behind have to go as well
    "risk.states.suspect_effective_diff_frac": {
        "risk.states.suspect_effective_diff_frac": 1e18,
        "risk.states.halt_effective_diff_frac": 1e18,
    },
    "risk.states.halt_drawdown_frac": {
        "risk.states.halt_drawdown_frac": 1e18,
        "risk.states.escape_drawdown_frac": 1e18,
    },
}
"""How a guard is switched off where 1e18 alone does not."""


def changed(runs: Path, changes: dict[str, object]) -> Settings:
    tables: dict[str, Any] = encoded(Settings())
    for path, value in {**SOUND, "session.runs": str(runs), **changes}.items():
        *names, last = path.split(".")
        table = tables
        for name in names:
            table = table[name]
        table[last] = value
    return decoded(tables)


def missing(settings: Settings) -> list[Check]:
    return [check for check in preflight(settings, NOW) if not check.passes]


def test_settings_with_every_guard_pass(tmp_path: Path) -> None:
    checks = preflight(changed(tmp_path, {}), NOW)
    assert [check.name for check in checks if not check.passes] == []
    assert passes(checks)
    assert not passes([])


def test_the_guarded_profile_is_one_sentence_of_symbols_away_from_fit() -> None:
    asked = Sources(profile="guarded", environment={}, overrides=[("test", "session.symbols", "BTCUSDT,BTC-USD")])
    assert passes(preflight(load(asked)[0].settings, NOW))


def test_the_defaults_say_what_they_lack(tmp_path: Path) -> None:
    assert [check.name for check in missing(changed(tmp_path, dict(ORIGINAL)))] == list(ORIGINAL)


ORIGINAL = {
    "risk.limits.max_losses_in_row": 100,
    "venue.taker_fee_frac": 0.0004,
    "risk.sizing.fee_frac": 0.0004,
    "risk.sizing.slippage_bps": 0.0,
}


@pytest.mark.parametrize("path", [bound.path for bound in BOUNDS])
def test_a_guard_that_is_switched_off_is_missed(path: str, tmp_path: Path) -> None:
    off = OFF.get(path, {path: 1e18})
    found = missing(changed(tmp_path, off))
    assert {check.name for check in found} == set(off)
    # what is said to put it right does
    mends = [check.mend.removeprefix("--set ").split("=") for check in found]
    mended = {name: float(value) if "." in value else int(value) for name, value in mends}
    assert missing(changed(tmp_path, off | mended)) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"venue.taker_fee_frac": 0.0004}, "venue.taker_fee_frac"),
        ({"venue.taker_fee_frac": 0.0004, "risk.sizing.fee_frac": 0.0004}, "risk.sizing.fee_frac"),
        ({"session.symbols": ["binance-spot:BTCUSDT"]}, "venue.taker_fee_frac"),
        ({"risk.sizing.slippage_bps": 0.0}, "risk.sizing.slippage_bps"),
        ({"session.symbols": ["BTCUSDT", "dydx-v3:BTC-USD"]}, "funding"),
        ({"risk.limits.kill_switch": True}, "not pulled"),
        ({"session.symbols": ["BTC-USD"]}, "dydx:BTC-USD"),
        ({"session.symbols": ["ETHUSDT", "BTC-USD"]}, "dydx:BTC-USD"),
        ({"session.symbols": ["BTCUSDT"], "lead.enters": True}, "followers"),
        ({"session.symbols": ["BTCUSDT"], "lead.mode": "gate"}, "followers"),
    ],
)
def test_what_else_can_be_missing(changes: dict[str, object], name: str, tmp_path: Path) -> None:
    assert name in [check.name for check in missing(changed(tmp_path, changes))]


def test_who_follows_nobody_needs_no_leader(tmp_path: Path) -> None:
    assert missing(changed(tmp_path, {"session.symbols": ["BTCUSDT"]})) == []


def test_a_switch_that_is_pulled_or_out_of_reach_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KillSwitch(tmp_path).pull(EventClock(NOW), "drill")
    (check,) = missing(changed(tmp_path, {}))
    assert (check.name, "drill" in check.found) == ("not pulled", True)
    KillSwitch(tmp_path).lift()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert [check.name for check in missing(changed(tmp_path / "new", {}))] == ["reachable"]


def test_a_venue_that_nobody_knows_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no venue is called"):
        preflight(changed(tmp_path, {"session.symbols": ["atlantis:BTCUSDT"]}), NOW)


@pytest.fixture
def measured(planned: Callable[..., SessionPlan], tmp_path: Path) -> Callable[..., None]:
    """Write a session that measured a lag, or none, so many hours ago."""

    def write(lag_ms: float | None, *, rho: float = 0.5, hours_ago: float = 1.0, mode: str = "paper") -> None:
        head = planned(tmp_path / "elsewhere", symbols=("BTCUSDT", "ETHUSDT")).session
        started = NOW - round(hours_ago * NS_PER_HOUR)
        session: Session = msgspec.structs.replace(head, id=f"s{started}", started=started, mode=mode)
        write_session(tmp_path / session.id, session)
        lag = None
        if lag_ms is not None:
            lag = LeadLag(lag_ns=round(lag_ms * NS_PER_MS), rho=rho, ratio=2.0, null_95=0.1, window_ns=1)
        features = LeadFeatures(
            spread=0.0, basis=0.0, is_basis_known=True, leader_return=0.0, window_ns=1, age_ns=1, side=0, lag=lag
        )
        leader = Leader(instrument=0, mid=1.0, last=1.0, ts=1, age_ns=1, features=features)
        numbers: dict[str, Any] = dict.fromkeys(
            ("mid", "last", "spread", "depth_bid", "depth_ask", "fill_buy", "fill_sell", "sigma_1m", "volatility_rank"),
            1.0,
        )
        observed = Observation(ts=started, instrument=1, ts_venue=1, age_ns=1, atr=1.0, leader=leader, **numbers)
        facts = FactWriter(tmp_path / session.id)
        facts.append([Entry(started, "risk", 0, compared(observed, "decision", "can_trade"))])
        facts.close()

    return write


@pytest.mark.parametrize(
    ("lag_ms", "rho", "stands"),
    [(300.0, 0.5, True), (300.0, 0.05, False), (10.0, 0.5, False), (-300.0, 0.5, False), (1e6, 0.5, False)],
)
def test_a_lag_is_measured_within_limits_or_missed_by_who_follows(
    measured: Callable[..., None], tmp_path: Path, lag_ms: float, rho: float, stands: bool
) -> None:
    measured(lag_ms, rho=rho)
    found = missing(changed(tmp_path, {"lead.enters": True}))
    assert [check.name for check in found] == ([] if stands else ["lag of simulated:ETHUSDT"])
    assert missing(changed(tmp_path, {})) == []


def test_a_lag_of_simulated_markets_is_none_of_live_ones(measured: Callable[..., None], tmp_path: Path) -> None:
    measured(-300.0)
    settings = changed(tmp_path, {"lead.enters": True})
    assert not passes(preflight(settings, NOW))
    assert preflight(settings, NOW)[-1].found.endswith("SIMULATED DATA)")
    checks = preflight(settings, NOW, is_live=True)
    assert passes(checks)
    assert checks[-1].found == "no session of the last 24 hours"


def test_a_recent_session_that_measured_nothing_is_missed_by_who_follows(
    measured: Callable[..., None], tmp_path: Path
) -> None:
    measured(None)
    assert [check.name for check in missing(changed(tmp_path, {"lead.mode": "weight"}))] == ["lag"]
    assert missing(changed(tmp_path, {})) == []


@pytest.mark.parametrize(("hours_ago", "mode"), [(25.0, "paper"), (1.0, "backtest")])
def test_old_sessions_and_back_tests_say_nothing_of_now(
    measured: Callable[..., None], tmp_path: Path, hours_ago: float, mode: str
) -> None:
    measured(-300.0, hours_ago=hours_ago, mode=mode)
    checks = preflight(changed(tmp_path, {"lead.enters": True}), NOW)
    assert passes(checks)
    assert checks[-1].found == "no session of the last 24 hours"


def test_a_session_that_cannot_be_read_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "session.json").write_text("{")
    assert [check.name for check in missing(changed(tmp_path, {}))] == ["lag"]


def test_the_doctor_s_word_is_a_check(tmp_path: Path) -> None:
    failed = Finding(code="key", level=Level.FAIL, text="the key can withdraw")
    fine = Finding(code="clock", level=Level.OK, text="12 ms")
    checks = of_accounts([Examined("binance-usdm:main", [fine, failed], 1.0), Examined("dydx:main", [fine], 1.0)])
    assert [(check.name, check.passes, check.found) for check in checks] == [
        ("binance-usdm:main", False, "the key can withdraw"),
        ("dydx:main", True, "fit to trade"),
    ]
