"""What a desk says: reports that are news, stamped, numbered and durable before anybody hears them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from spyhop.clock import Clock
from spyhop.errors import StateError
from spyhop.execution.account import Account, OwnOrder
from spyhop.model.accounts import VenueOrder
from spyhop.model.instruments import Instrument
from spyhop.model.orders import CancelOrder, Command, Fill, OrderCancelled, OrderExpired, Report
from spyhop.venues.desk.log import DeskLog, Known, Record, Taken

_NUM_KEPT = 10_000


class Teller:
    """The log of a desk and the account folded from it; both always agree.

    An end of an order that leaves fewer lots than its fills explain is held back until they are told; `on_short` is
    called with the order then, so that somebody asks for them.
    """

    def __init__(self, folder: Path, instruments: Mapping[int, Instrument], clock: Clock) -> None:
        self.account = Account(instruments)
        self.counts: Counter[str] = Counter()
        self.on_report: Callable[[], None] | None = None
        """Called when there are new reports."""
        self.on_short: Callable[[OwnOrder], None] | None = None
        self._clock = clock
        self._held: dict[str, OrderCancelled | OrderExpired] = {}
        self._recent: deque[Report] = deque(maxlen=_NUM_KEPT)
        self._ts = 0
        self._is_over = False
        self._log = DeskLog(folder, self._refold)

    @property
    def num_commands(self) -> int:
        """Return how many commands are taken."""
        return self._log.num_commands

    @property
    def num_reports(self) -> int:
        """Return how many reports are made."""
        return self._log.num_reports

    @property
    def num_bytes_cut(self) -> int:
        """Return how long the torn tail was that the log was opened with."""
        return self._log.num_bytes_cut

    def _refold(self, record: Record) -> None:
        match record:
            case Taken():
                self.account.take(record.command, record.reference)
            case Known():
                self.account.know(record.instrument, record.venue_order_id, record.client_order_id)
            case _:
                self.account.hear(record)
                self._recent.append(record)
                self._ts = max(self._ts, record.ts)

    def take(self, number: int, commands: Sequence[Command], reference: Callable[[int], float]) -> list[Command]:
        """Take what of `commands` is new, the first of all being the `number`-th; durable after the next `flush`."""
        new = [
            command
            for command in self._log.unseen(number, commands)
            if isinstance(command, CancelOrder) or self._is_first(command.client_order_id)
        ]
        for command in new:
            taken = Taken(command, reference(command.instrument))
            self._log.append(taken)
            self.account.take(command, taken.reference)
        return new

    def _is_first(self, client_order_id: str) -> bool:
        if client_order_id in self.account.orders:
            raise StateError(f"order {client_order_id} is asked for twice")
        return True

    def know(self, theirs: VenueOrder) -> None:
        """Note the venue's id of an order of ours."""
        known = Known(theirs.instrument, theirs.venue_order_id, theirs.client_order_id)
        if self.account.know(known.instrument, known.venue_order_id, known.client_order_id):
            self._log.append(known)

    def tell(self, *reports: Report) -> int:
        """Make what is new of `reports` durable and known; return how many that were."""
        before = self.num_reports
        self.note(reports)
        if self.num_reports > before:
            self.flush()
        return self.num_reports - before

    def note(self, reports: Iterable[Report]) -> None:
        """Fold what is new of `reports`; nobody may hear of it or act on it before `flush`."""
        if self._is_over:
            self.counts["after_the_end"] += len(list(reports))
            return
        for report in reports:
            news = self.account.news(report)
            if news is None:
                self.counts["repeats"] += 1
            elif isinstance(news, OrderCancelled | OrderExpired) and self._is_short(news):
                self._hold(news)
            else:
                self._say(news)
                if isinstance(news, Fill):
                    self._release(news.client_order_id)

    def _is_short(self, end: OrderCancelled | OrderExpired) -> bool:
        return self.account.orders[end.client_order_id].left > end.lots_left

    def _hold(self, end: OrderCancelled | OrderExpired) -> None:
        if end.client_order_id not in self._held:
            self._held[end.client_order_id] = end
            if self.on_short is not None:
                self.on_short(self.account.orders[end.client_order_id])

    def _release(self, client_order_id: str) -> None:
        end = self._held.get(client_order_id)
        if end is None or self._is_short(end):
            return
        del self._held[client_order_id]
        if self.account.orders[client_order_id].is_alive:
            self._say(end)

    def is_ending(self, client_order_id: str) -> bool:
        """Say whether the order has ended and only fills are missing before that can be told."""
        return client_order_id in self._held

    def _say(self, report: Report) -> None:
        self._ts = max(self._ts, self._clock.now_ns())
        stamped = msgspec.structs.replace(report, ts=self._ts)
        self._log.append(stamped)
        self.account.hear(stamped)
        self._recent.append(stamped)
        self.counts[type(report).__name__] += 1

    def flush(self) -> None:
        """Make everything durable, then let it be heard."""
        self._log.flush()
        if self.on_report is not None:
            self.on_report()

    def promise(self, at_least: int) -> int:
        """Return an event time, `at_least` or later, before which no report will lie that is not there now.

        A clock that steps back cannot break it: what is told later is stamped with it then.
        """
        self._ts = max(self._ts, at_least, self._clock.now_ns())
        return self._ts

    def end(self) -> None:
        """Say nothing any more: whoever listened has left, and a replay must not hear what nobody heard."""
        self._is_over = True

    def reports_since(self, number: int) -> list[Report]:
        """Return the reports from number `number` (from 0) on; raise StateError when so many were never made."""
        if number > self.num_reports:
            raise StateError(f"report {number} asked for, {self.num_reports} made")
        behind = self.num_reports - number
        if behind > len(self._recent):
            return list(self._log.reports(number))
        return list(self._recent)[len(self._recent) - behind :] if behind else []

    def close(self) -> None:
        """Let the log go."""
        self._log.close()
