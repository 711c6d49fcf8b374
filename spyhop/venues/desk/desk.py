"""The desk: takes commands durably, sees each to a certain end, and says in numbered reports what became of it.

Everything that it has taken and said is in its log before anybody acts on it, so a desk that was killed goes on where
it was: what did not leave never will, what may have left is asked about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from spyhop.clock import Clock
from spyhop.errors import VenueError
from spyhop.execution.account import Account
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Command, Report
from spyhop.ports import Trader
from spyhop.venues.desk.ports import AccountStream, Connected, Learning, Lost, Told
from spyhop.venues.desk.reconciling import ReconcileParams, Reconciler
from spyhop.venues.desk.requests import RequestParams, Requests
from spyhop.venues.desk.switch import DeadMan, SwitchParams
from spyhop.venues.desk.telling import Teller
from spyhop.venues.desk.unknowns import fitted

_START, _TIMER, _RECONNECT = "start", "timer", "reconnect"


class DeskParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a desk works."""

    requests: RequestParams = RequestParams()
    reconcile: ReconcileParams = ReconcileParams()
    switch: SwitchParams = SwitchParams()


def _no_reference(instrument: int) -> float:
    return 0.0


class Desk:
    """One account at one venue. Belongs to one event loop; `run` must be running for anything to leave.

    `reference` gives the mid (ticks, 0 unknown) at which an order counts as decided. `stream` is None for a venue that
    has none: then only questions tell. Raises StorageFailed or JournalDamaged when the log cannot be opened, and from
    `take` and `run` when it cannot be written: nothing leaves then.
    """

    def __init__(
        self,
        trader: Trader,
        stream: AccountStream | None,
        folder: Path,
        clock: Clock,
        instruments: Mapping[int, Instrument],
        params: DeskParams | None = None,
        *,
        reference: Callable[[int], float] = _no_reference,
    ) -> None:
        self.params = params or DeskParams()
        self._stream, self._clock, self._reference = stream, clock, reference
        self._teller = Teller(folder, instruments, clock)
        if isinstance(trader, Learning):
            for key in self._teller.account.orders:
                trader.learn(key)
        self._left_over = list(self._teller.account.alive.values())
        asking = fitted(self.params.requests, trader)
        self._requests = Requests(trader, self._teller, clock, asking, self._spawn)
        self._requests.on_certain = self._on_certain
        self._reconciler = Reconciler(trader, self._teller, self._requests, clock, self.params.reconcile, asking)
        self._switch = DeadMan(trader, self._teller, clock, self.params.switch)
        self._early: list[Command] = []
        self._group: asyncio.TaskGroup | None = None
        self._wanted = "" if stream is not None else _START
        self._wakes = asyncio.Event()
        self._is_connected = False
        self._has_begun = False

    # ── what others see

    @property
    def account(self) -> Account:
        """Return what is known of the account, not to be changed."""
        return self._teller.account

    @property
    def num_commands(self) -> int:
        """Return how many commands are taken: the number of the next one."""
        return self._teller.num_commands

    @property
    def num_reports(self) -> int:
        """Return how many reports are made."""
        return self._teller.num_reports

    def on_report(self, call: Callable[[], None]) -> None:
        """Have `call` called in the event loop whenever there are new reports."""
        self._teller.on_report = call

    def take(self, number: int, commands: Sequence[Command]) -> int:
        """Take commands, the first being the `number`-th (from 0) ever; return how many are taken in all.

        They are durable when this returns and leave by themselves. Repeats are known by their numbers; raises
        StateError for a gap or a repeat that differs.
        """
        new = self._teller.take(number, commands, self._reference)
        if self._group is None:
            self._early += new
            self._teller.flush()
        else:
            self._go(new)
        return self.num_commands

    def _go(self, commands: list[Command]) -> None:
        lanes = self._requests.put(commands)
        self._teller.flush()
        self._requests.start(lanes)

    def reports_since(self, number: int) -> list[Report]:
        """Return the reports from number `number` (from 0) on, all of them durable."""
        return self._teller.reports_since(number)

    def promise(self, at_least: int = 0) -> int:
        """Return an event time, `at_least` or later, before which no report will lie that is not there now."""
        return self._teller.promise(at_least)

    def end(self) -> None:
        """Say nothing any more: the session has heard its last."""
        self._teller.end()

    @property
    def is_idle(self) -> bool:
        """Say whether no order is alive and no request is under way."""
        return not self._teller.account.alive and not self._early and self._requests.is_idle

    def stop_entries(self, reason: str) -> None:
        """Let nothing leave any more that could open a position; cancels and reductions go on. "" lifts it."""
        self._requests.stop_reason = reason

    def reconcile(self) -> None:
        """Have the venue compared with us now."""
        self._want(self._wanted or _TIMER)

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name; cheap, never blocks."""
        account = self._teller.account
        return {
            "connected": float(self._is_connected),
            "commands": float(self.num_commands),
            "reports": float(self.num_reports),
            "live_orders": float(len(account.alive)),
            "busy": float(len(self._requests.busy)),
            "unclean": float(len(self._reconciler.unclean)),
            "overfills": float(account.num_overfills),
            "bytes_cut": float(self._teller.num_bytes_cut),
            **{name: float(count) for name, count in sorted(self._teller.counts.items())},
        }

    def close(self) -> None:
        """Let the log go; `run` must have ended."""
        self._teller.close()

    # ── the work

    async def run(self) -> None:
        """Work until cancelled; what goes wrong with the log or in the code comes in an ExceptionGroup."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for own in self._left_over:
                    self._requests.recover(own)
                self._left_over = []
                early, self._early = self._early, []
                self._go(early)
                group.create_task(self._reconcile())
                group.create_task(self._switch.run())
                if self._stream is not None:
                    group.create_task(self._listen(self._stream))
        finally:
            self._group = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None:
            work.close()
        else:
            self._group.create_task(work)

    async def _listen(self, stream: AccountStream) -> None:
        while True:
            match await stream.next():
                case Told(reports=reports, foreign=foreign):
                    self._teller.counts["foreign"] += len(foreign)
                    self._teller.tell(*reports)
                case Connected():
                    self._is_connected = True
                    self._want(_RECONNECT if self._has_begun else _START)
                case Lost():
                    self._is_connected = False
                    self._teller.counts["losses"] += 1
                    self._reconciler.distrust(_RECONNECT)

    def _want(self, cause: str) -> None:
        self._wanted = cause
        self._wakes.set()

    def _on_certain(self, instrument: int) -> None:
        if self._has_begun and instrument in self._reconciler.unclean:
            self._want(self._wanted or _TIMER)

    async def _reconcile(self) -> None:
        failed = ""
        while True:
            cause = failed or await self._next_cause()
            self._wanted = ""
            try:
                await self._reconciler.run(cause, self._stream is not None and not self._is_connected)
                failed = ""
                self._has_begun = True
            except VenueError:
                self._teller.counts["failed_comparisons"] += 1
                failed = cause
                await self._clock.sleep(self.params.reconcile.unclean_s)

    async def _next_cause(self) -> str:
        """Wait until a comparison is wanted or due."""
        self._wakes.clear()
        if not self._wanted:
            p = self.params.reconcile
            timer = asyncio.ensure_future(self._clock.sleep(p.unclean_s if self._reconciler.unclean else p.every_s))
            wakes = asyncio.ensure_future(self._wakes.wait())
            try:
                await asyncio.wait({timer, wakes}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                wakes.cancel()
        return self._wanted or (_TIMER if self._has_begun else _START)
