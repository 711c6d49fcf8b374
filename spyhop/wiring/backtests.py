"""Back-tests: any strategy set over a lake in one process as fast as it goes, kept like a session, or only counted.

A back-test is a session whose mode is `backtest`: journal, ledger, records, report and replay are those of any other.
It keeps its tape as every session does, so that a replay needs no lake, which grows and is mended; and a back-test that
is resumed holds every event that it reads again against the tape, so a lake that has changed meanwhile is found out.

What is said waits in memory and is written between two checkpoints at the latest: nobody acts on a back-test, so
nothing needs the disk before it leaves. After a kill everything since the last checkpoint is said again, and who keeps
it knows what it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

import spyhop
from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE, Clock, iso_ms
from spyhop.config.settings import Settings, decoded, encoded
from spyhop.engine.pipeline import Pipeline, Progress
from spyhop.errors import JournalDamaged, MissingInput, UserError
from spyhop.ledger.pairs import Legs
from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.model.orders import TradeClosed
from spyhop.model.rows import Rows
from spyhop.model.tape import Events
from spyhop.storage.files import replace_durably
from spyhop.storage.journal import SessionTapes, is_ended, read_session
from spyhop.storage.lake import Lake
from spyhop.wiring import nodes
from spyhop.wiring.plan import LakeSource, RunRequest, SessionPlan, from_lake, plan_session
from spyhop.wiring.records import SessionKeeper
from spyhop.wiring.unkept import NoTapes

MODE = "backtest"
SOURCE_FILE = "lake.json"
"""In the folder of a back-test: which lake, from when until when."""
CHECKPOINT_FILE = "checkpoint"
CHECKPOINT_EVERY_NS = 60 * NS_PER_MINUTE
MAX_WAITING = 4_096
"""So many rows or entries are written at the latest."""
_MAX_HOURS = 24.0 * 366.0


class BacktestResult(msgspec.Struct, frozen=True):
    """How far a back-test came; one that `is_finished` has a report, another can be resumed."""

    session: str
    folder: Path
    progress: Progress
    statistics: dict[str, float]
    is_finished: bool


class _Checkpoint(msgspec.Struct, frozen=True):
    ts: int
    nodes: bytes


def plan_backtest(settings: Settings, lake: str, start: int, end: int, clock: Clock) -> SessionPlan:
    """Plan a back-test of the session's symbols in [start, end) of a lake, nanoseconds UTC, and write its head.

    Raises MissingInput when the lake holds nothing of a symbol in that time, or of none of them a book.
    """
    source = _spanned(lake, settings.session.symbols, start, end)
    hours = min(_MAX_HOURS, (source.end - source.start) / NS_PER_HOUR)
    session = msgspec.structs.replace(settings.session, speed=0.0, hours=hours)
    request = RunRequest(mode=MODE, lake=lake, start=source.start, end=source.end)
    plan = plan_session(msgspec.structs.replace(settings, session=session), request, clock)
    replace_durably(plan.folder / SOURCE_FILE, msgspec.json.encode(source))
    return msgspec.structs.replace(plan, source=source)


def plan_resumed(folder: Path) -> SessionPlan:
    """Plan to go on with the back-test in `folder`; raise a UserError when there is nothing to go on with."""
    session = read_session(folder)
    if session.mode != MODE:
        raise UserError(f"session {session.id} is no back-test but {session.mode}; it cannot be resumed")
    if is_ended(folder):
        raise UserError(f"back-test {session.id} came to its end; see: spyhop report {session.id}")
    if session.version != spyhop.__version__:
        raise UserError(
            f"back-test {session.id} was begun by version {session.version}, this is {spyhop.__version__}; begin anew"
        )
    try:
        source = msgspec.json.decode((folder / SOURCE_FILE).read_bytes(), type=LakeSource)
    except FileNotFoundError:
        raise MissingInput(f"back-test {session.id} was killed before it began; begin anew") from None
    except msgspec.DecodeError as error:
        raise JournalDamaged(str(folder / SOURCE_FILE), str(error)) from error
    return SessionPlan(session=session, folder=folder, settings=decoded(session.settings), source=source)


def expected_events(plan: SessionPlan) -> int:
    """Return about how many events a back-test will read, from the lake's listing; parts at its ends are prorated."""
    source = plan.source
    assert isinstance(source, LakeSource)
    lake, total = Lake(source.root), 0.0
    for instrument in plan.session.instruments:
        for _, _, part in lake.parts(instrument.key):
            inside = min(part.last + 1, source.end) - max(part.first, source.start)
            total += part.rows * max(0, inside) / (part.last + 1 - part.first)
    return round(total)


def run_backtest(
    plan: SessionPlan,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    every_ns: int = CHECKPOINT_EVERY_NS,
) -> BacktestResult:
    """Run a back-test, or go on with it from its last checkpoint, to its end or until `should_stop()`.

    A checkpoint is made every `every_ns` of event time and when it is stopped.
    """
    tapes, keeper = _Tapes(plan.folder), _Waiting(SessionKeeper(plan))
    line = nodes.pipeline(plan, tapes, keeper)
    kept = _read_checkpoint(plan.folder)
    if kept is not None:
        line.restore(kept.nodes)
        tapes.go_on({feed.name: feed.num_events for feed in line.feeds})
    assert isinstance(plan.source, LakeSource)
    saved = kept.ts if kept is not None else plan.source.start

    def save() -> int:
        tapes.write()
        keeper.write()
        ts = min(feed.ts for feed in line.feeds if not feed.is_finished)
        replace_durably(plan.folder / CHECKPOINT_FILE, msgspec.msgpack.encode(_Checkpoint(ts, line.snapshot())))
        return ts

    while (feed := line.furthest_behind()) is not None:
        if should_stop():
            save()
            break
        line.deliver(feed.name, feed.step())
        on_progress(line.progress())
        if feed.ts - saved >= every_ns and not feed.is_finished:
            saved = max(save(), saved)
        elif keeper.is_full:
            tapes.write()
            keeper.write()
    is_finished = line.furthest_behind() is None
    tapes.close()
    keeper.leave(is_finished=is_finished)
    if is_finished:
        (plan.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    statistics = line.decision.statistics() | line.risk.statistics() | line.order.statistics()
    return BacktestResult(plan.session.id, plan.folder, line.progress(), statistics, is_finished)


class Passed(NamedTuple):
    """A period of an evaluation that is over: its number, of how many, and what all trades closed so far came to.

    `net` is the sum of net results as fractions of notional; `snapshot()` returns what `evaluate` can go on from.
    """

    number: int
    num_periods: int
    net: float
    num_trades: int
    snapshot: Callable[[], bytes]


class Evaluation(NamedTuple):
    """What settings earned over a span.

    `periods` int64 (T,) are the beginnings of the periods, nanoseconds UTC; `net` float32 (T,) the net results, as
    fractions of notional, of the trades entered in each; `is_whole` is False when it was stopped early, and then only
    trades that had closed are in it.
    """

    periods: npt.NDArray[np.int64]
    net: npt.NDArray[np.float32]
    num_trades: int
    is_whole: bool


def evaluate(
    settings: Settings,
    lake: str,
    symbols: Sequence[str],
    start: int,
    end: int,
    period_ns: int,
    on_period: Callable[[Passed], bool] = lambda passed: True,
    kept: bytes = b"",
) -> Evaluation:
    """Run `settings` over [start, end) of a lake, nanoseconds UTC, writing nothing; same settings, same result.

    `on_period` hears of each period once it is over and ends the evaluation by returning False; `kept`, a snapshot
    that it took, goes on from there under the same arguments. Raises MissingInput when the lake lacks a symbol, or a
    book of any of them.
    """
    if not 0 <= start < end or period_ns < 1:
        raise UserError(f"an evaluation needs a span and a period, not {start} to {end} by {period_ns}")
    instruments, _ = from_lake(lake, symbols)
    _must_have_books(Lake(lake), [one.key for one in instruments])
    chosen = msgspec.structs.replace(settings.session, symbols=tuple(symbols), speed=0.0)
    settings = msgspec.structs.replace(settings, session=chosen)
    session = Session(
        id="evaluation",
        started=start,
        mode=MODE,
        source=f"lake {lake}",
        is_simulated=any(instrument.is_simulated for instrument in instruments),
        instruments=tuple(instrument.numbered(number) for number, instrument in enumerate(instruments)),
        settings=encoded(settings),
        version=spyhop.__version__,
        runner="local",
    )
    plan = SessionPlan(session=session, folder=Path(), settings=settings, source=LakeSource(lake, start, end))
    trades = _Trades(start, np.zeros(-(-(end - start) // period_ns)), period_ns)
    line = nodes.pipeline(plan, NoTapes(), trades)
    if kept:
        inner, counted = msgspec.msgpack.decode(kept, type=tuple[bytes, _Counted])
        line.restore(inner)
        trades.restore(counted)
    is_whole = _evaluated(line, trades, on_period)
    periods = start + np.arange(len(trades.net), dtype=np.int64) * period_ns
    return Evaluation(periods, trades.net.astype(np.float32), trades.count, is_whole)


def _evaluated(line: Pipeline, trades: _Trades, on_period: Callable[[Passed], bool]) -> bool:
    def snapshot() -> bytes:
        return msgspec.msgpack.encode((line.snapshot(), trades.kept()))

    while (feed := line.furthest_behind()) is not None:
        line.deliver(feed.name, feed.step())
        now = line.order.tape.watermark
        while trades.passed < len(trades.net) and trades.start + (trades.passed + 1) * trades.period_ns <= now:
            trades.passed += 1
            is_wanted = on_period(Passed(trades.passed - 1, len(trades.net), trades.total, trades.count, snapshot))
            if not is_wanted:
                return False
    return True


_Counted = tuple[bytes, int, float, int, dict[int, list[TradeClosed]]]


class _Trades:
    """Counts the trades that close, by the period that each was entered in; a RecordKeeper."""

    def __init__(self, start: int, net: npt.NDArray[np.float64], period_ns: int) -> None:
        self.start, self.net, self.period_ns = start, net, period_ns
        self.count, self.total, self.passed = 0, 0.0, 0
        self._legs = Legs()

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        """Let judged rows go."""

    def append(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if (trade := self._legs.trade(entry.message)) is not None:
                share = trade.net / trade.notional
                self.net[min((trade.ts_entry - self.start) // self.period_ns, len(self.net) - 1)] += share
                self.count += 1
                self.total += share

    def kept(self) -> _Counted:
        return self.net.tobytes(), self.count, self.total, self.passed, self._legs.held

    def restore(self, counted: _Counted) -> None:
        net, self.count, self.total, self.passed, legs = counted
        self._legs = Legs(legs)
        self.net[:] = np.frombuffer(net)

    def committed(self, stage: str) -> int:
        return 0

    def close(self) -> None:
        """Have nothing to close."""


class _Tapes:
    """The tapes of a back-test: durable when `write` returns, and not before; a TapeKeeper."""

    def __init__(self, folder: Path) -> None:
        self._tapes = SessionTapes(folder)
        self._next: dict[str, int] = {}

    def go_on(self, num_events: dict[str, int]) -> None:
        """Expect of each feed the event after so many; those that are kept already must be equal."""
        self._next = dict(num_events)

    def append(self, feed: str, events: Events) -> None:
        at = self._next.get(feed, 0)
        self._tapes.append(feed, events, at)
        self._next[feed] = at + len(events)

    def flush(self) -> None:
        """Wait for `write`."""

    def write(self) -> None:
        self._tapes.flush()

    def close(self) -> None:
        self._tapes.close()


class _Waiting:
    """Holds what was said until `write`, and then gives it to the keeper at once; a RecordKeeper."""

    def __init__(self, keeper: SessionKeeper) -> None:
        self._keeper = keeper
        self._rows: list[tuple[Rows, npt.NDArray[Any]]] = []
        self._entries: list[Entry] = []
        self._num_rows = 0

    @property
    def is_full(self) -> bool:
        return max(self._num_rows, len(self._entries)) > MAX_WAITING

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        self._rows.append((rows, probabilities))
        self._num_rows += len(rows)

    def append(self, entries: Sequence[Entry]) -> None:
        self._entries.extend(entries)

    def write(self) -> None:
        # rows before the entries that were decided on them
        if self._rows:
            rows, probabilities = zip(*self._rows, strict=True)
            self._keeper.rows(np.concatenate(rows), np.concatenate(probabilities))
        if self._entries:
            self._keeper.append(self._entries)
        self._rows, self._entries, self._num_rows = [], [], 0

    def committed(self, stage: str) -> int:
        return self._keeper.committed(stage)

    def leave(self, *, is_finished: bool) -> None:
        self.write()
        if is_finished:
            self._keeper.close()
        else:
            self._keeper.leave()

    def close(self) -> None:
        self.leave(is_finished=True)


def _spanned(root: str, symbols: Sequence[str], start: int, end: int) -> LakeSource:
    instruments, source = from_lake(root, symbols, start, end)
    lake = Lake(root)
    _must_have_books(lake, [one.key for one in instruments])
    spans = {one.key: lake.span(one.key) for one in instruments}
    for key, (first, last) in spans.items():
        if first >= source.end or last < source.start:
            raise MissingInput(
                f"the lake {root} holds {key} from {iso_ms(first)} to {iso_ms(last)} UTC, nothing in the time asked for"
            )
    return LakeSource(root, source.start, min(source.end, max(last for _, last in spans.values()) + 1))


def _must_have_books(lake: Lake, keys: Sequence[str]) -> None:
    # hours of waiting for a back-test in which no order could ever be filled help nobody
    if not any(lake.parts(key, ("book", "quotes")) for key in keys):
        raise MissingInput(
            f"the lake {lake.root} holds no book of {', '.join(keys)}, and without one nothing is traded; "
            "what is made of bars alone can be studied: spyhop study"
        )


def _read_checkpoint(folder: Path) -> _Checkpoint | None:
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return None
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=_Checkpoint)
    except msgspec.DecodeError as error:
        raise JournalDamaged(str(path), str(error)) from error
