"""Sessions in one process: run one, run a recorded one again and compare, and what a pace is."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from spyhop.clock import Clock, WallClock
from spyhop.engine.pipeline import Progress
from spyhop.engine.streams import END_OF_TIME
from spyhop.errors import NotAvailable
from spyhop.model import tape
from spyhop.model.control import Word
from spyhop.model.tape import Kind, Status
from spyhop.ports import RecordKeeper
from spyhop.storage.differences import Difference, differences
from spyhop.storage.journal import SessionTapes, is_ended, read_facts, read_tape
from spyhop.venues.desk.heard import heard
from spyhop.wiring import nodes
from spyhop.wiring.accounts import desk_folder
from spyhop.wiring.plan import JournalSource, LiveSource, Pacing, SessionPlan, plan_replay
from spyhop.wiring.records import SessionKeeper
from spyhop.wiring.unkept import MemoryRecords, NoTapes


class SessionResult(msgspec.Struct, frozen=True):
    """What a session came to, for a person; the report says the rest."""

    session: str
    folder: Path
    progress: Progress
    statistics: dict[str, float]


class ReplayResult(msgspec.Struct, frozen=True):
    """How a replay went; `difference` is None when every entry was reproduced to the bit."""

    session: str
    num_events: int
    num_entries: int
    difference: Difference | None


def pacing(plan: SessionPlan, clock: Clock) -> Pacing:
    """Return the pace of a session that starts now."""
    if isinstance(plan.source, JournalSource | LiveSource):
        return Pacing(0.0, 0, clock.now_ns())
    return Pacing(plan.settings.session.speed, plan.source.start, clock.now_ns())


def run_local(
    plan: SessionPlan,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_drain: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
    heard_by: Callable[[RecordKeeper], RecordKeeper] = lambda keeper: keeper,
    words: Callable[[], Iterable[Word]] = tuple,
) -> SessionResult:
    """Run a session in this process, to its end or until `should_drain()`; what is in flight still arrives.

    `heard_by` may put somebody who listens in front of the keeper of the records, such as a screen; `words` returns
    what an operator said since it was last asked.
    """
    clock = clock or WallClock()
    tapes, keeper = SessionTapes(plan.folder), SessionKeeper(plan)
    line = nodes.pipeline(plan, tapes, heard_by(keeper))
    pace = pacing(plan, clock)

    def wait(ts: int) -> None:
        while (seconds := pace.wait_s(ts, clock.now_ns())) > 0 and not should_drain():
            time.sleep(min(seconds, 0.2))

    waiting: deque[Word] = deque()

    def on_step(progress: Progress) -> None:
        waiting.extend(words())
        while waiting and line.risk.tell(waiting[0]):
            waiting.popleft()
        on_progress(progress)

    line.run(wait, on_step, should_drain)
    tapes.close()
    keeper.close()
    statistics = line.decision.statistics() | line.risk.statistics() | line.order.statistics()
    return SessionResult(plan.session.id, plan.folder, line.progress(), statistics)


def replay(folder: Path, on_progress: Callable[[Progress], None] = lambda progress: None) -> ReplayResult:
    """Run a session's tapes again and compare every decision, verdict, order and fill to the bit.

    A session that was cut off is compared as far as its journal goes.
    """
    plan = plan_replay(folder)
    if plan.session.mode == "watch":
        raise NotAvailable(f"session {plan.session.id} only watched; there are no decisions to replay")
    recorded = read_facts(folder)
    records = MemoryRecords()
    line = nodes.pipeline(plan, NoTapes(), records)
    for account, stream in line.order.reports.items():
        # what the venues said, at the event times at which the order stage heard it
        stream.put(heard(desk_folder(plan, account)), END_OF_TIME)
    line.risk.turns.repeat(entry.message for entry in recorded)
    line.run(on_progress=on_progress)
    replayed = records.entries
    if not (is_ended(folder) and all(_is_whole(folder, name) for name in plan.feed_names)):
        kept = Counter(entry.stage for entry in recorded)
        replayed = [entry for entry in replayed if entry.seq < kept[entry.stage]]
    return ReplayResult(plan.session.id, line.progress().num_events, len(recorded), differences(recorded, replayed))


def _is_whole(folder: Path, feed: str) -> bool:
    newest = deque(read_tape(folder, feed), maxlen=1)
    last = newest[0][-1] if newest else tape.empty(1)[0]
    return bool(last["kind"] == Kind.STATUS and last["aux"] == Status.SESSION_END)
