"""The gateway of a live order stage: commands wait to be taken, reports wait until event time has come to them.

Pure: whoever carries commands to a venue and reports back is not its business, so a replay hears the same reports at
the same event times and says the same commands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec
import numpy as np

from spyhop.model.orders import Command, Report
from spyhop.model.tape import Events

_STATE = msgspec.msgpack.Decoder(tuple[list[Command], list[Report]])


class Mailbox:
    """Implements `ports.Gateway` between a stage and the desks that speak to venues."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._reports: deque[Report] = deque()

    def send(self, command: Command) -> None:
        """Keep a command until it is taken."""
        self._commands.append(command)

    def take(self) -> list[Command]:
        """Return the commands since the last call, oldest first."""
        commands, self._commands = self._commands, []
        return commands

    def put(self, reports: Iterable[Report]) -> None:
        """Let `reports`, in order of time, be heard when event time comes to them."""
        self._reports.extend(reports)

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        """Pass over events[start:] with ts_recv < `until`; stop behind those of the instant at which reports are heard.

        At one instant the tape comes first. Return the index of the first event not passed and the reports of that
        instant, in order; none when `until` is reached.
        """
        stamps = events["ts_recv"]
        if not self._reports or self._reports[0].ts >= until:
            return max(start, int(np.searchsorted(stamps, until, side="left"))), []
        now = self._reports[0].ts
        heard: list[Report] = []
        while self._reports and self._reports[0].ts == now:
            heard.append(self._reports.popleft())
        return max(start, int(np.searchsorted(stamps, now, side="right"))), heard

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self._commands, list(self._reports)))

    def restore(self, snapshot: bytes) -> None:
        self._commands, reports = _STATE.decode(snapshot)
        self._reports = deque(reports)

    def statistics(self) -> dict[str, float]:
        return {"reports_waiting": float(len(self._reports))}
