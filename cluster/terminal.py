"""What a command shows while it works, and how it hears Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from spyhop.clock import NS_PER_S, Clock, utc

REFRESH_S = 0.1


class Stop:
    """Whether Ctrl-C was pressed; calling it answers."""

    def __init__(self) -> None:
        self.is_asked = False

    def __call__(self) -> bool:
        return self.is_asked


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """Turn the first Ctrl-C (or SIGTERM) into a wish to stop; a second one interrupts at once."""
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_asked:
            raise KeyboardInterrupt
        stop.is_asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Meter:
    """A line on stderr that says how far something is; nothing where stderr is no terminal."""

    def __init__(self, what: str, clock: Clock, console: Console | None = None, *, is_quiet: bool = False) -> None:
        self._clock = clock
        console = console or Console(stderr=True)
        self._is_shown = console.is_terminal and not is_quiet
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            auto_refresh=False,
        )
        self._task: TaskID = self._progress.add_task(what, total=None, said="")
        self._begun = clock.monotonic_ns()
        self._shown = 0

    def __enter__(self) -> Meter:
        self._begun = self._clock.monotonic_ns()
        if self._is_shown:
            self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_shown:
            self._progress.stop()

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since it was entered."""
        return (self._clock.monotonic_ns() - self._begun) / NS_PER_S

    def show(self, done: int, total: int, said: str, *, what: str | None = None) -> None:
        """Say that `done` of `total` are done; drawn at most ten times a second."""
        now = self._clock.monotonic_ns()
        if now - self._shown < REFRESH_S * NS_PER_S and done < total:
            return
        self._shown = now
        self._progress.update(self._task, completed=done, total=total, said=said)
        if what is not None:
            self._progress.update(self._task, description=what)
        if self._is_shown:
            self._progress.refresh()


def event_time(ts: int) -> str:
    """Return an event time for a person, to the second; a dash before any."""
    return f"{utc(ts):%Y-%m-%d %H:%M:%S}" if ts else "-"
