"""Following a leader: a study trades what the engine trades, and a lag that was planted is found in the trades."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from cluster.launch import conduct
from cluster.origins import simulator
from spyhop.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, EventClock, WallClock
from spyhop.config.settings import SessionConfig, Settings, encoded
from spyhop.model.control import Session
from spyhop.model.decisions import LEAD_FOLLOW, Decision, Intent
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument
from spyhop.model.orders import PairEnded, TradeClosed
from spyhop.model.tape import EVENT, Events, Flag, Kind, Side
from spyhop.numerics.follow import HORIZON, STOP, TAKE_PROFIT
from spyhop.numerics.statistics import t_interval
from spyhop.reports.build import build
from spyhop.research.studies.bar_trips import MinuteBars, follow_trips
from spyhop.simulation.followers import FollowerParams
from spyhop.simulation.venue import VenueParams
from spyhop.storage.differences import differences
from spyhop.storage.journal import TapeWriter, read_facts
from spyhop.storage.lake import Lake
from spyhop.storage.lake_writer import store
from spyhop.strategies.filter import SignalFilterParams
from spyhop.strategies.lead import LeadParams
from spyhop.venuesim.markets import FollowerMarket, GeneratedMarket, dydx_instrument, generated_instrument
from spyhop.venuesim.options import CALM
from spyhop.wiring import nodes
from spyhop.wiring.plan import JournalSource, RunRequest, SessionPlan, plan_session
from spyhop.wiring.sessions import replay, run_local
from spyhop.wiring.unkept import MemoryRecords, NoTapes

START = 1_764_288_000_000_000_000 + 12 * 60 * NS_PER_MINUTE
SYMBOLS = ("binance-usdm:BTCUSDT", "dydx:BTC-USD")
LEADING = generated_instrument("BTCUSDT").numbered(0)
LED = dydx_instrument(LEADING).numbered(1)
PROMPT = VenueParams(
    entry_latency_ms=0.0, entry_jitter_ms=0.0, response_latency_ms=0.0, response_jitter_ms=0.0, trigger_latency_ms=0.0
)
DEEP = 10**10
replace = msgspec.structs.replace


def following(lead: LeadParams, runs: Path, venue: VenueParams | None = None, hours: float = 1.0) -> Settings:
    """Return settings under which only LEAD_FOLLOW trades, and as often as it wishes."""
    usual = Settings()
    filters = SignalFilterParams(min_probability=1.0, min_trade_interval_s=0.0)
    limits = replace(
        usual.risk.limits,
        min_trade_interval_s=0.0,
        max_trades_per_day=100_000,
        max_losses_in_row=100_000,
        max_daily_loss_frac=1.0,
        max_daily_drawdown_frac=1.0,
        max_volatility_ratio=1e9,
    )
    never = {"suspect_losses_in_row": 1e9, "suspect_volatility_ratio": 1e9, "halt_volatility_ratio": 1e9}
    states = replace(
        usual.risk.states, suspect_drawdown_frac=1.0, halt_drawdown_frac=1.0, escape_drawdown_frac=1.0, **never
    )
    return Settings(
        session=SessionConfig(symbols=SYMBOLS, runs=str(runs), hours=hours),
        decision=replace(usual.decision, filter=filters),
        risk=replace(usual.risk, limits=limits, states=states),
        lead=lead,
        venue=venue or usual.venue,
    )


def played(tapes: tuple[Events, Events], settings: Settings) -> list[Entry]:
    """Run the session's own nodes over the tapes of leader and follower; return what they say."""
    folder = Path(settings.session.runs)
    for name, events in zip(("BTCUSDT", "BTC-USD"), tapes, strict=True):
        writer = TapeWriter(folder, name)
        writer.append(events)
        writer.close()
    session = Session(
        id="follow",
        started=START,
        mode="paper",
        source="a test's tape",
        is_simulated=True,
        instruments=(LEADING, LED),
        settings=encoded(settings),
        version="test",
        runner="local",
    )
    records = MemoryRecords()
    plan = SessionPlan(session=session, folder=folder, settings=settings, source=JournalSource(str(folder)))
    nodes.pipeline(plan, NoTapes(), records).run()
    return records.entries


def followed(entries: list[Entry]) -> list[TradeClosed]:
    trades = [entry.message for entry in entries if isinstance(entry.message, TradeClosed)]
    return [trade for trade in trades if trade.strategy == LEAD_FOLLOW]


# ---- a study and the engine


def told(instrument: Instrument, prices: npt.NDArray[np.int64]) -> Events:
    """Return a tape whose book stands one tick around the price of the minute, told anew every second.

    A minute's price is told, and traded, a millisecond before the minute's end; the first thing told is the first of
    them.
    """
    seconds = np.arange(60, 60 * len(prices) + 1)
    # before its minute's end a second has the price of the minute before
    price = prices[seconds // 60 - 1]
    ts = START + seconds * NS_PER_S - NS_PER_MS
    before = np.concatenate([price[:1], price[:-1]])
    rows = np.zeros((len(seconds), 5), EVENT)
    rows["ts_recv"] = rows["ts_event"] = ts[:, None]
    rows["ts_recv"][:, 4] += NS_PER_MS // 10
    rows["kind"] = (*[Kind.LEVEL] * 4, Kind.TRADE)
    rows["side"] = (Side.BUY, Side.SELL, Side.BUY, Side.SELL, Side.BUY)
    rows["price"] = np.stack([before - 1, before + 1, price - 1, price + 1, price], axis=1)
    rows["qty"] = (0, 0, DEEP, DEEP, 10**6)
    rows["id"] = rows["aux"] = seconds[:, None]
    rows["aux2"] = seconds[:, None] - 1
    rows["aux"][:, 4] = rows["aux2"][:, 4] = 0
    rows["flags"][:, 3] = Flag.LAST
    first = np.zeros(3, EVENT)
    first["ts_recv"] = first["ts_event"] = ts[0] - NS_PER_MS
    first["kind"], first["qty"], first["aux2"] = (Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL), (2, DEEP, DEEP), (0, -1, -1)
    first["id"] = first["aux"] = seconds[0] - 1
    first["side"], first["price"] = (0, 1, -1), (0, price[0] - 1, price[0] + 1)
    first["flags"] = (0, Flag.FROM_SNAPSHOT, Flag.FROM_SNAPSHOT | Flag.LAST)
    made = np.concatenate([first, rows.reshape(-1)])
    made["instrument"], made["venue"] = instrument.id, instrument.venue
    return made


def walk(seed: int, num: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return prices of leader and follower in their ticks: the leader walks, the follower stands off it by noise."""
    rng = np.random.default_rng(seed)
    log = np.cumsum(rng.normal(0.0, 8e-4, num))
    leader = np.rint(60_000.0 * np.exp(log) / LEADING.tick).astype(np.int64)
    follower = np.rint(60_000.0 * np.exp(log + rng.normal(0.0, 5e-4, num)) / LED.tick).astype(np.int64)
    return leader, follower


REASONS = {"take_profit": TAKE_PROFIT, "stop_loss": STOP, "max_hold": HORIZON}


@pytest.mark.slow
def test_a_study_of_minutes_and_the_engine_trade_the_same(tmp_path: Path, prepared_kernels: None) -> None:
    lead = LeadParams(
        enters=True,
        window_s=180.0,
        fall_frac=0.0008,
        rise_frac=0.0008,
        premium_frac=0.0003,
        discount_frac=0.0002,
        take_profit_frac=0.0015,
        stop_loss_frac=0.0012,
        horizon_s=300.0 - 0.0005,  # over when the minute's price has just been told
    )
    leader, follower = walk(seed=1, num=300)
    close = follower * LED.tick
    ts = START + np.arange(1, len(close) + 1) * NS_PER_MINUTE
    bars = MinuteBars(ts, leader * LEADING.tick, close, close, close, close, np.zeros(len(close)))
    study = follow_trips(bars, lead).rows
    trades = followed(played((told(LEADING, leader), told(LED, follower)), following(lead, tmp_path, PROMPT)))
    # a study leaves out what the end of the data cuts off, a session closes it
    trades = [trade for trade in trades if trade.exit_purpose != "session_end"]

    assert len(study) > 20
    assert set(study["reason"].tolist()) == {TAKE_PROFIT, STOP, HORIZON}
    assert [trade.ts_entry for trade in trades] == study["entered_at"].tolist()
    assert [int(trade.side) for trade in trades] == study["side"].tolist()
    assert [REASONS[trade.exit_purpose] for trade in trades] == study["reason"].tolist()
    # a study dates an exit by its bar's close
    assert [-(-trade.ts_exit // NS_PER_MINUTE) * NS_PER_MINUTE for trade in trades] == study["left_at"].tolist()
    for trade, trip in zip(trades, study, strict=True):
        # bought at the ask and sold at the bid, a tick from the price that the study trades at
        assert trade.side * (trade.entry_price - trip["entry"]) == pytest.approx(LED.tick)
        worse = trade.side * (trip["exit"] - trade.exit_price)
        if trip["reason"] == TAKE_PROFIT:
            # sent as a market order when it is touched, it gets what stands there: the target less a tick, or better
            assert worse <= LED.tick * (1.0 + 1e-9)
        elif trip["reason"] == HORIZON:
            assert worse == pytest.approx(LED.tick)
        else:
            # at the price that opened beyond the stop
            assert worse == pytest.approx(LED.tick)


# ---- a lag that was planted

QUICK = LeadParams(
    enters=True,
    window_s=3.0,
    fall_frac=2e-4,  # 1.4 deviations of three seconds
    rise_frac=2e-4,
    premium_frac=-0.5,  # whatever the spread is
    discount_frac=-0.5,
    take_profit_frac=0.005,
    stop_loss_frac=0.005,
    horizon_s=5.0,  # longer than any lag here
)
LENGTH_NS = 20 * NS_PER_MINUTE


def generated(seed: int, lag_ms: float) -> tuple[Events, Events]:
    """Return twenty minutes of a random walk and of what follows it."""
    leader = GeneratedMarket("BTCUSDT", seed, START, CALM)
    follower = FollowerMarket(LED, leader, seed, START, FollowerParams(lag_ms=lag_ms))
    tapes = leader.read(START + LENGTH_NS), follower.read(START + LENGTH_NS)
    tapes[0]["instrument"], tapes[1]["instrument"] = LEADING.id, LED.id
    return tapes


def before_costs(trades: list[TradeClosed]) -> npt.NDArray[np.float64]:
    """Return what each trade earned from mid to mid, in basis points: neither spread nor fees are paid."""
    return np.array([(trade.gross + trade.slippage) / trade.notional for trade in trades]) * 1e4


def expected(entries: list[Entry], lag_s: float) -> float:
    """Return what a random walk lets expect: of the return of the window, what the follower has not followed yet."""
    taken = {entry.message.decision_seq for entry in entries if isinstance(entry.message, Intent)}
    decisions = [entry.message for entry in entries if isinstance(entry.message, Decision)]
    seen = [abs(decision.evidence[0].evidence) for decision in decisions if decision.seq in taken]
    return float(np.mean(seen)) * 1e4 * lag_s / QUICK.window_s


@pytest.mark.slow
def test_a_planted_lag_is_earned_before_costs_and_no_lag_is_not(tmp_path: Path, prepared_kernels: None) -> None:
    for lag_s in (0.0, 0.7, 2.0):
        earned, hoped = [], []
        for seed in (1, 2, 3):
            entries = played(generated(seed, lag_s * 1e3), following(QUICK, tmp_path / f"{lag_s}-{seed}"))
            trades = followed(entries)
            earned += before_costs(trades).tolist()
            hoped.append(expected(entries, lag_s))
            assert np.mean([trade.net / trade.notional for trade in trades]) < 0.0  # fees are 8 bp
        low, high = said(f"one process, lag {lag_s:.1f} s", np.array(earned), f"expected {np.mean(hoped):+.2f}")
        # an order arrives 50 ms later, and a follower moves every 50 ms
        assert low - 0.1 < np.mean(hoped) < high + 0.1
        assert low > 0.0 if lag_s else low < 0.0 < high


def said(what: str, earned: npt.NDArray[np.float64], more: str = "", level: float = 0.95) -> tuple[float, float]:
    """Print what trades earned before costs and return the interval of its mean, basis points."""
    interval = t_interval(earned, level)
    assert interval is not None
    bounds = f"[{interval[0]:+.2f}, {interval[1]:+.2f}]"
    sys.stdout.write(f"{what}: {len(earned)} trades, {earned.mean():+.2f} bp before costs {bounds} {more}\n")
    return interval


CHANNELS = {"trades": [Kind.TRADE], "book": [Kind.LEVEL, Kind.SNAPSHOT]}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, prepared_kernels: None) -> Path:
    """Three minutes of a leader and a follower two seconds behind it."""
    root = tmp_path_factory.mktemp("lake")
    for instrument, events in zip((LEADING, LED), generated(1, 2_000.0), strict=True):
        some = events[events["ts_recv"] < START + 3 * NS_PER_MINUTE]
        kinds = {channel: some[np.isin(some["kind"], told)] for channel, told in CHANNELS.items()}
        pieces = [
            (instrument, channel, rows, np.arange(1, len(rows) + 1, dtype=np.int64) << 20)
            for channel, rows in kinds.items()
        ]
        store(Lake(root), f"{instrument.key}.generated", pieces)
    return root


@pytest.mark.slow
def test_what_is_hedged_has_two_legs_and_one_result_and_replays_to_the_bit(lake: Path, tmp_path: Path) -> None:
    settings = following(replace(QUICK, hedge=True), tmp_path)
    plan = plan_session(settings, RunRequest(lake=str(lake)), EventClock(START))
    run_local(plan)
    entries = read_facts(plan.folder)
    trades = followed(entries)
    pairs = [entry.message for entry in entries if isinstance(entry.message, PairEnded)]
    assert len(pairs) > 3
    assert all(pair.num_legs == 2 and not pair.reason for pair in pairs)
    for pair in pairs:
        legs = [trade for trade in trades if trade.intent_seq == pair.intent_seq]
        assert sorted(trade.instrument for trade in legs) == [LEADING.id, LED.id]
        assert legs[0].side is legs[1].side.opposite
        # as much base currency on the one side as on the other, up to a lot
        amounts = [trade.lots * (LEADING, LED)[trade.instrument].lot for trade in legs]
        assert abs(amounts[0] - amounts[1]) <= max(LEADING.lot, LED.lot)
        assert pair.net == pytest.approx(sum(trade.net for trade in legs))
        assert pair.fees > 3.9 * 4e-4 * pair.notional  # four times the taker fee
    assert all(trade.is_leg for trade in trades)
    again = replay(plan.folder)
    assert (again.num_entries, again.difference) == (len(entries), None)
    report = build(plan.session, entries)
    assert (report.win_rate.trades, report.money.net) == (len(pairs), pytest.approx(sum(pair.net for pair in pairs)))


@pytest.mark.slow
@pytest.mark.ray
def test_following_on_ray_and_in_one_process_keep_the_same_journal(local_ray: None, lake: Path, tmp_path: Path) -> None:
    kept = {}
    for runner in ("local", "ray"):
        settings = following(replace(QUICK, mode="weight"), tmp_path / runner)
        plan = plan_session(settings, RunRequest(lake=str(lake), runner=runner), EventClock(START))
        if runner == "local":
            run_local(plan)
        else:
            assert conduct(plan, lambda progress: None, WallClock()).is_finished
        kept[runner] = read_facts(plan.folder)
    assert len(followed(kept["local"])) > 3
    assert differences(kept["local"], kept["ray"]) is None


@pytest.mark.storm
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("lag_ms", [0, 2_000])
def test_a_paper_session_on_ray_earns_a_planted_lag_before_costs_and_no_lag_not(
    lag_ms: int, local_ray: None, tmp_path: Path
) -> None:
    wanted = ["--symbols", "BTCUSDT", "--speed", "10", "--seed", "4", "--lag-ms", str(lag_ms), "--calm"]
    with simulator(wanted) as endpoints:
        plan = plan_session(
            following(QUICK, tmp_path, hours=0.3),
            RunRequest(endpoints=endpoints, runner="ray"),
            endpoints.clock.clock(),
        )
        assert conduct(plan, lambda progress: None, WallClock()).is_finished
    # the market begins now, so each run has another one: 95 % would fail one run in twenty
    earned = before_costs(followed(read_facts(plan.folder)))
    low, high = said(f"on Ray, lag {lag_ms / 1e3:.1f} s", earned, level=0.999)
    assert low > 0.0 if lag_ms else low < 0.0 < high
    assert replay(plan.folder).difference is None
