from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spyhop.clock import EventClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.errors import MissingInput, StateError, UserError
from spyhop.model import tape
from spyhop.model.channels import KINDS_OF_CHANNEL
from spyhop.model.orders import TradeClosed
from spyhop.model.tape import Events
from spyhop.simulation.feed import GenerativeFeed, usual_instrument
from spyhop.storage.database import Ledger
from spyhop.storage.journal import is_ended, read_facts, read_session, read_tape, write_session
from spyhop.storage.lake import Lake
from spyhop.storage.lake_writer import store
from spyhop.wiring.backtests import (
    CHECKPOINT_FILE,
    BacktestResult,
    Evaluation,
    Passed,
    evaluate,
    expected_events,
    plan_backtest,
    plan_resumed,
    run_backtest,
)
from spyhop.wiring.plan import SessionPlan
from spyhop.wiring.records import ledger_url
from spyhop.wiring.sessions import replay

STARTED = 1_764_350_100_000_000_000
MIDNIGHT = 1_764_288_000_000_000_000
SECOND = 1_000_000_000
EVERY = 5 * SECOND
SYMBOLS = ("BTCUSDT", "ETHUSDT")

Eager = Callable[[Settings], Settings]
Planned = Callable[..., SessionPlan]

pytestmark = pytest.mark.usefixtures("prepared_kernels")


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    # a minute of events is more than one step only so
    monkeypatch.setattr("spyhop.wiring.nodes.BACKTEST_SLICE_NS", SECOND)


def fill(root: Path, symbol: str, hours: float, channels: Sequence[str] = tuple(KINDS_OF_CHANNEL)) -> None:
    """Bring what the generative market says of a symbol into a lake."""
    instrument = usual_instrument(symbol)
    feed = GenerativeFeed(instrument, seed=20251128, start_ts=MIDNIGHT, hours=hours)
    batches = []
    while (batch := feed.next_batch()) is not None:
        batches.append(batch)
    events = np.concatenate(batches)
    pieces = []
    for channel in channels:
        some = events[np.isin(events["kind"], KINDS_OF_CHANNEL[channel])]
        if len(some):
            pieces.append((instrument, channel, some, np.arange(1, len(some) + 1, dtype=np.int64) << 20))
    store(Lake(root), f"{symbol}-{'-'.join(channels)}-{hours}", pieces)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, prepared_kernels: None) -> Path:
    """A lake of 90 seconds in which eager strategies trade."""
    root = tmp_path_factory.mktemp("lake")
    for symbol in SYMBOLS:
        fill(root, symbol, 1 / 40)
    return root


@pytest.fixture(scope="module")
def asked(eager: Eager) -> Callable[[Path], Settings]:
    return lambda runs: eager(Settings(session=SessionConfig(symbols=SYMBOLS, runs=str(runs))))


@pytest.fixture
def plan(lake: Path, asked: Callable[[Path], Settings]) -> Planned:
    def planned(runs: Path, start: int = 0, end: int = 1 << 62) -> SessionPlan:
        return plan_backtest(asked(runs), str(lake), start, end, EventClock(STARTED))

    return planned


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, lake: Path, asked: Callable[[Path], Settings]) -> BacktestResult:
    """A back-test that nobody disturbed, with round trips in it."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spyhop.wiring.nodes.BACKTEST_SLICE_NS", SECOND)
        return run_backtest(plan_backtest(asked(folder), str(lake), 0, 1 << 62, EventClock(STARTED)))


def tapes(folder: Path, plan: SessionPlan) -> dict[str, Events]:
    return {feed: tape.joined(list(read_tape(folder, feed))) for feed in plan.feed_names}


def after(steps: int) -> Callable[[], bool]:
    """Say stop when asked for the time after so many."""
    asked = iter(range(steps))
    return lambda: next(asked, None) is None


def assert_same(one: Path, other: Path, plan: SessionPlan) -> None:
    assert read_facts(one) == read_facts(other)
    for feed, events in tapes(one, plan).items():
        assert np.array_equal(events, tapes(other, plan)[feed])
    # a hidden file is a note of the writer's to itself
    found = sorted(path for path in (one / "records").rglob("[!.]*") if path.is_file())
    records = [path.relative_to(one) for path in found]
    assert len(records) > 5
    for path in records:
        assert (one / path).read_bytes() == (other / path).read_bytes(), path


@pytest.mark.slow
def test_a_back_test_is_a_session_with_trades_that_replays_to_the_bit(whole: BacktestResult) -> None:
    assert whole.is_finished
    assert whole.statistics["closed_trips"] > 0
    assert (whole.statistics["open_trips"], whole.statistics["live_orders"]) == (0, 0)
    assert read_session(whole.folder).mode == "backtest"
    assert is_ended(whole.folder)
    assert not (whole.folder / CHECKPOINT_FILE).exists()
    assert replay(whole.folder).difference is None


def test_the_lake_tells_how_much_there_will_be(whole: BacktestResult, plan: Planned, tmp_path: Path) -> None:
    planned = plan(tmp_path)
    # the two ends of the session are ours
    assert expected_events(planned) == whole.progress.num_events - 2
    half = expected_events(plan(tmp_path / "half", end=MIDNIGHT + 30 * SECOND))
    assert 0.3 < half / expected_events(planned) < 0.7


@pytest.mark.slow
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(stops=[30, 10])
@given(stops=st.lists(st.integers(0, 80), min_size=1, max_size=3))
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_journal(
    tmp_path_factory: pytest.TempPathFactory, whole: BacktestResult, plan: Planned, stops: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("stopped")
    planned = plan(folder)
    num_done = 0
    for steps in stops:
        stopped = run_backtest(planned, should_stop=after(steps), every_ns=EVERY)
        assert not stopped.is_finished
        assert not is_ended(planned.folder)
        # it goes on, and does not begin anew
        num_done += steps
        assert (stopped.progress.num_events > 0) is (num_done > 0)
        planned = plan_resumed(planned.folder)
    read: list[int] = []
    ended = run_backtest(planned, lambda progress: read.append(progress.num_events), every_ns=EVERY)
    assert read[0] > stopped.progress.num_events
    assert ended.is_finished
    assert ended.statistics == whole.statistics
    assert_same(ended.folder, whole.folder, planned)


def test_an_evaluation_finds_the_trades_of_the_back_test_and_writes_nothing(
    whole: BacktestResult, lake: Path, asked: Callable[[Path], Settings], tmp_path: Path
) -> None:
    found = evaluate(asked(tmp_path), str(lake), SYMBOLS, MIDNIGHT, MIDNIGHT + 95 * SECOND, 10 * SECOND)
    closed = [entry.message for entry in read_facts(whole.folder) if isinstance(entry.message, TradeClosed)]
    expected = np.zeros(10)
    for trade in closed:
        expected[(trade.ts_entry - MIDNIGHT) // (10 * SECOND)] += trade.net / trade.notional
    assert found.is_whole
    assert found.num_trades == len(closed) > 0
    assert found.periods.tolist() == [MIDNIGHT + k * 10 * SECOND for k in range(10)]
    assert found.net.dtype == np.float32
    assert found.net == pytest.approx(expected, rel=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_can_be_ended_after_a_period_and_gone_on_with(
    lake: Path, asked: Callable[[Path], Settings], tmp_path: Path
) -> None:
    def evaluated(**more: Any) -> Evaluation:
        return evaluate(asked(tmp_path), str(lake), SYMBOLS, MIDNIGHT, MIDNIGHT + 95 * SECOND, 10 * SECOND, **more)

    heard: list[Passed] = []
    kept = b""

    def until_the_sixth(passed: Passed) -> bool:
        nonlocal kept
        heard.append(passed)
        kept = passed.snapshot()
        return passed.number < 5

    stopped, whole = evaluated(on_period=until_the_sixth), evaluated()
    assert not stopped.is_whole
    assert [passed.number for passed in heard] == list(range(6))
    assert heard[-1].num_trades == stopped.num_trades < whole.num_trades
    assert heard[-1].net == pytest.approx(float(stopped.net.sum()), rel=1e-5)

    def to_the_end(passed: Passed) -> bool:
        heard.append(passed)
        return True

    went_on = evaluated(kept=kept, on_period=to_the_end)
    assert [passed.number for passed in heard] == list(range(10))
    assert went_on.is_whole
    assert (went_on.num_trades, went_on.net.tolist()) == (whole.num_trades, whole.net.tolist())


def test_what_was_said_is_in_the_ledger_too(whole: BacktestResult, plan: Planned, tmp_path: Path) -> None:
    ledger = Ledger(ledger_url(msgspec.structs.replace(plan(tmp_path), folder=whole.folder)))
    assert ledger.entries(whole.session) == read_facts(whole.folder)
    ledger.close()


def test_a_lake_that_changed_under_a_back_test_is_found_out(asked: Callable[[Path], Settings], tmp_path: Path) -> None:
    root = tmp_path / "lake"
    for symbol in SYMBOLS:
        fill(root, symbol, 1 / 120, ["book"])
    planned = plan_backtest(asked(tmp_path / "runs"), str(root), 0, 1 << 62, EventClock(STARTED))
    run_backtest(planned, should_stop=after(20))
    # as a kill before the first checkpoint leaves it
    (planned.folder / CHECKPOINT_FILE).unlink()
    fill(root, "BTCUSDT", 1 / 120, ["trades"])
    with pytest.raises(StateError, match="a restarted feed differs"):
        run_backtest(plan_resumed(planned.folder))


def test_what_cannot_be_resumed_says_why(
    whole: BacktestResult, plan: Planned, planned: Callable[..., SessionPlan], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="came to its end"):
        plan_resumed(whole.folder)
    with pytest.raises(UserError, match="is no back-test but paper"):
        plan_resumed(planned(tmp_path / "paper").folder)
    begun = plan(tmp_path / "begun")
    (begun.folder / "lake.json").unlink()
    with pytest.raises(MissingInput, match="was killed before it began"):
        plan_resumed(begun.folder)
    write_session(begun.folder, msgspec.structs.replace(begun.session, version="0.0.1"))
    with pytest.raises(UserError, match=r"was begun by version 0\.0\.1"):
        plan_resumed(begun.folder)


def test_what_cannot_be_tested_on_says_why(plan: Planned, asked: Callable[[Path], Settings], tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="nothing in the time asked for"):
        plan(tmp_path, start=MIDNIGHT + 3600 * SECOND)
    fill(tmp_path / "bars", "BTCUSDT", 1 / 120, ["trades"])
    settings = asked(tmp_path)
    settings = msgspec.structs.replace(
        settings, session=msgspec.structs.replace(settings.session, symbols=("BTCUSDT",))
    )
    with pytest.raises(MissingInput, match=r"holds no book of .*BTCUSDT, and without one nothing is traded"):
        plan_backtest(settings, str(tmp_path / "bars"), 0, 1 << 62, EventClock(STARTED))
    with pytest.raises(MissingInput, match="holds no book"):
        evaluate(settings, str(tmp_path / "bars"), ("BTCUSDT",), MIDNIGHT, MIDNIGHT + SECOND, SECOND)
    with pytest.raises(UserError, match="needs a span and a period"):
        evaluate(settings, str(tmp_path / "bars"), ("BTCUSDT",), MIDNIGHT, MIDNIGHT, SECOND)
    assert not any(tmp_path.glob("s*"))
