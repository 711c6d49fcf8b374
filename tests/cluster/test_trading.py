"""What has to do with real orders, from the command line, at the venue simulator."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import msgspec
import pytest

from cluster import cli
from spyhop.clock import NS_PER_S, WallClock
from spyhop.config.secrets import Secrets
from spyhop.config.settings import SessionConfig, Settings
from spyhop.errors import UserError
from spyhop.model.entries import Entry, Recorded
from spyhop.model.observations import Comparison, Leader, Observation
from spyhop.model.orders import OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side
from spyhop.model.verdicts import RiskState, RiskStateChanged
from spyhop.risk.comparisons import compared
from spyhop.storage.journal import FactWriter, read_session
from spyhop.venues.endpoints import Endpoints
from spyhop.wiring.accounts import Keys, trader_of
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session
from spyhop.wiring.trading import instruments_of, market_of

KNOWING = ("--set", "doctor.may_key_withdraw=true", "--leverage", "5")
RUNS = Path("runs")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SYMBOLS", "LEVERAGE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def there(venues: Endpoints, tmp_path: Path) -> str:
    """A file that says where the simulator is."""
    path = tmp_path / "endpoints.json"
    path.write_bytes(msgspec.json.encode(venues))
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.exit_code(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


async def _open(venues: Endpoints, *, lots: int = 10) -> None:
    (one,) = await instruments_of(venues, ["BTCUSDT"])
    clock = venues.clock.clock()
    trader = trader_of(one.venue, venues, [one], Keys(Secrets({}), is_simulated=True), clock)
    try:
        now = clock.now_ns()
        session = f"s20251128_{now // 10**9 % 10**6:06d}_{now // 1_000 % 10**6:06d}"
        price = (await market_of(venues, one, clock)).bids[0][0] * 98 // 100
        for number, kind in enumerate((OrderType.MARKET, OrderType.LIMIT)):
            await trader.submit(
                SubmitOrder(
                    ts=clock.now_ns(),
                    client_order_id=f"{session}-{number:06d}",
                    instrument=one.id,
                    side=Side.BUY,
                    type=kind,
                    lots=lots,
                    purpose=Purpose.ENTRY,
                    price=price if kind is OrderType.LIMIT else 0,
                )
            )
        assert await trader.positions()
        assert await trader.open_orders()
    finally:
        await trader.close()


async def _left(venues: Endpoints) -> tuple[int, int]:
    (one,) = await instruments_of(venues, ["BTCUSDT"])
    trader = trader_of(one.venue, venues, [one], Keys(Secrets({}), is_simulated=True), venues.clock.clock())
    try:
        return len(await trader.positions()), len(await trader.open_orders())
    finally:
        await trader.close()


# ── doctor


@pytest.mark.slow
def test_the_doctor_says_in_json_and_by_its_exit_code_whether_accounts_are_fit(
    there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ("doctor", "--venues", there, "--symbols", "BTCUSDT,BTC-USD", "--json")
    code, out, _ = said(capsys, *both, *KNOWING)
    told = json.loads(out)
    assert code == 0
    assert [account["account"] for account in told] == ["binance-usdm:main", "dydx:main"]
    assert all(finding["level"] != "fail" for account in told for finding in account["findings"])
    assert all(account["equity"] > 0 for account in told)
    # the same accounts, and nobody said that a wallet's key may trade
    code, out, _ = said(capsys, *both)
    assert code == 1
    failed = [f["code"] for account in json.loads(out) for f in account["findings"] if f["level"] == "fail"]
    assert "key_withdrawal" in failed


@pytest.mark.slow
def test_the_doctor_speaks_in_sentences_to_people(there: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "doctor", "--venues", there, "--symbols", "BTCUSDT", *KNOWING)
    assert code == 0
    assert "binance-usdm:main: fit to trade" in out
    assert "The key may trade." in out
    code, out, _ = said(capsys, "doctor", "--venues", there, "--symbols", "BTC-USD")
    assert code == 1
    assert "dydx:main: NOT fit to trade" in out


# ── the typed word


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "LIVE\n", "live!\n"])
def test_without_the_typed_word_nothing_is_traded_and_no_session_begins(
    there: str,
    prepared_kernels: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    code, out, err = said(capsys, "run", "--live", "--venues", there, "--symbols", "BTCUSDT", *KNOWING)
    assert code == 2
    assert "'live' was not typed, so nothing is traded" in err
    assert "the simulator's money: binance-usdm:main" in err
    assert out == ""
    assert not RUNS.exists()


@pytest.mark.slow
def test_the_word_permits_a_session_with_the_money_that_the_accounts_hold(
    there: str, venues: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cluster import commands, trading

    loaded = commands.settings(
        "default", None, [], [("--leverage", "leverage", "5"), ("--symbols", "session.symbols", "BTCUSDT")]
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("live\n"))
    permitted = trading.permitted(loaded, venues)
    assert permitted.session.equity_usdt > 1_000.0
    assert permitted.session.equity_usdt != loaded.settings.session.equity_usdt
    assert msgspec.structs.replace(permitted, session=loaded.settings.session) == loaded.settings


@pytest.mark.slow
def test_an_account_that_is_not_fit_is_not_even_asked_about(
    there: str, prepared_kernels: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("live\n"))
    code, _, err = said(capsys, "run", "--live", "--venues", there, "--symbols", "BTC-USD")
    assert code == 2
    assert "dydx:main may not trade live until what failed above is put right" in err
    assert "type live" not in err
    assert not RUNS.exists()


def test_while_the_switch_is_pulled_no_word_helps(venues: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    from cluster import commands, trading

    KillSwitch(RUNS).pull(WallClock(), "enough")
    monkeypatch.setattr("sys.stdin", io.StringIO("live\n"))
    with pytest.raises(UserError, match="enough; spyhop kill --lift permits trading again"):
        trading.permitted(commands.settings("default", None, [], []), venues)


# ── kill and lift


@pytest.mark.slow
def test_a_kill_pulls_the_switch_flattens_what_it_finds_and_a_lift_permits_again(
    there: str, venues: Endpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(_open(venues))
    code, out, _ = said(capsys, "kill", "--venues", there, "--symbols", "BTCUSDT", "--reason", "a test")
    assert code == 0
    assert "flat, by the venue's own word" in out
    assert "binance-usdm:BTCUSDT slice -10 lots" in out
    assert asyncio.run(_left(venues)) == (0, 0)
    assert "a test" in KillSwitch(RUNS).reason()
    assert said(capsys, "kill", "--lift")[:2] == (0, "entries are permitted again\n")
    assert KillSwitch(RUNS).reason() == ""
    assert said(capsys, "kill", "--lift")[:2] == (0, "the switch was not pulled\n")


@pytest.mark.slow
def test_a_kill_finds_the_newest_live_session_by_itself(venues: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    session = SessionConfig(symbols=("BTCUSDT",), runs=str(RUNS))
    plan_session(Settings(session=session), RunRequest(mode="live", endpoints=venues), WallClock())
    asyncio.run(_open(venues))
    code, out, _ = said(capsys, "kill", "--json")
    assert code == 0
    assert json.loads(out)["binance-usdm:main"]["is_flat"] is True
    assert asyncio.run(_left(venues)) == (0, 0)


@pytest.mark.slow
def test_a_venue_that_cannot_be_asked_pulls_the_switch_and_is_a_failure(
    venues: Endpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = msgspec.structs.replace(
        venues, binance_usdm=msgspec.structs.replace(venues.binance_usdm, rest="http://127.0.0.1:9")
    )
    path = tmp_path / "nowhere.json"
    path.write_bytes(msgspec.json.encode(nowhere))
    code, _, _ = said(capsys, "kill", "--venues", str(path), "--symbols", "BTCUSDT")
    assert code == 1
    assert KillSwitch(RUNS).pulled() is not None


# ── halts and export


def _session(*messages: Recorded) -> SessionPlan:
    plan = plan_session(Settings(session=SessionConfig(runs=str(RUNS))), RunRequest(), WallClock())
    facts = FactWriter(plan.folder)
    facts.append([Entry(message.ts, "risk", seq, message) for seq, message in enumerate(messages)])
    facts.close()
    return plan


T = 1_764_350_107 * NS_PER_S


@pytest.fixture
def halted() -> SessionPlan:
    """A session that halted for a dear mid, and went on after two minutes."""
    leader = Leader(instrument=0, mid=100.0, last=100.0, ts=T, age_ns=300_000_000)
    seen = Observation(
        ts=T, instrument=0, mid=103.4, last=103.4, ts_venue=T, age_ns=300_000_000, spread=0.1, depth_bid=50_000.0,
        depth_ask=1_200.0, fill_buy=103.5, fill_sell=103.3, sigma_1m=0.0008, volatility_rank=0.5, atr=1.0,
        leader=leader,
    )  # fmt: skip
    began = RiskStateChanged(
        ts=T, state=RiskState.HALT, before=RiskState.CAN_TRADE, reasons=("effective_diff: 0.035 against 0.03",),
        instrument=0,
    )  # fmt: skip
    over = RiskStateChanged(
        ts=T + 120 * NS_PER_S, state=RiskState.CAN_TRADE, before=RiskState.HALT, reasons=(), instrument=0
    )
    made: Comparison = compared(seen, "risk_state", RiskState.HALT, "", {"effective_diff.halt": 0.03})
    return _session(began, made, over)


def test_halts_are_listed_explained_and_given_as_records(
    halted: SessionPlan, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_session(halted.folder).id == halted.session.id
    code, out, _ = said(capsys, "halts")
    assert code == 0
    assert "mid deviation" in out
    code, out, _ = said(capsys, "halts", halted.session.id, "1")
    assert code == 0
    assert "effective_diff: 0.035 against 0.03" in out
    assert f"spyhop replay {halted.session.id}" in out
    code, out, _ = said(capsys, "halts", "--json")
    (halt,) = json.loads(out)
    assert (halt["state"], halt["blame"]) == ("halt", "mid deviation")
    assert len(halt["records"]) == 1


def test_a_halt_that_is_not_there_is_a_mistake_of_whoever_asked(
    halted: SessionPlan, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(capsys, "halts", "latest", "2")
    assert code == 2
    assert "has 1 halts; there is no number 2" in err


def test_a_session_without_halts_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    _session()
    assert "was never halted" in said(capsys, "halts")[1]
    assert json.loads(said(capsys, "halts", "--json")[1]) == []


@pytest.mark.slow
def test_the_two_files_are_written_from_the_ledger_of_a_session(
    prepared_kernels: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = ("run", "--local", "--json", "--profile", "eager", "--generate", "--hours", "0.02", "--seed", "7")
    assert said(capsys, *ran)[0] == 0
    code, out, _ = said(capsys, "export", "--out", str(tmp_path / "out"))
    assert code == 0
    assert "risk_state.json and pnl.csv beside it" in out
    assert isinstance(json.loads((tmp_path / "out" / "risk_state.json").read_text()), dict)
    assert (tmp_path / "out" / "pnl.csv").read_text().count("\n") >= 1
