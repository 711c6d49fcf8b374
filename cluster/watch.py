"""Watching without trading: feeds and the decision stage in this process, and the screen that shows them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy.typing as npt
from rich.console import Console
from rich.live import Live

from cluster.board import Board
from cluster.language import Words
from cluster.panel import board_panel
from spyhop.clock import NS_PER_S, Clock
from spyhop.engine.feed_node import FeedNode
from spyhop.engine.nodes import DecisionNode
from spyhop.engine.streams import END_OF_TIME
from spyhop.model.entries import Entry
from spyhop.model.rows import Rows
from spyhop.ports import RecordKeeper

IDLE_S = 0.05
FOCUS_S = 8
"""When not all symbols fit, each is shown in detail for so many seconds."""
_DETAIL_LINES, _OTHER_LINES = 30, 14


class Screen:
    """A board on a terminal, drawn anew at most every `refresh_s`; where there is no terminal, once at the end."""

    def __init__(self, board: Board, words: Words, console: Console, clock: Clock, refresh_s: float) -> None:
        self._board, self._words, self._console, self._clock = board, words, console, clock
        self._every = int(refresh_s * NS_PER_S)
        self._begun = self._drawn = clock.monotonic_ns()
        self._live = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
            self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        # the last state stays readable after the screen is gone
        self._console.print(board_panel(self._board, self._words, self._console.width))

    def refresh(self) -> None:
        """Draw what changed, unless that was just done."""
        if self._live is not None and self._clock.monotonic_ns() - self._drawn >= self._every:
            self._draw()

    def _draw(self) -> None:
        assert self._live is not None
        self._drawn = self._clock.monotonic_ns()
        width, height = self._console.size
        fits = len(self._board.symbols) * _DETAIL_LINES + _OTHER_LINES <= height
        turn = (self._drawn - self._begun) // (FOCUS_S * NS_PER_S)
        self._live.update(board_panel(self._board, self._words, width, None if fits else turn), refresh=True)


class ShownRecords:
    """Keeps records where `keeper` does, and shows them on the way."""

    def __init__(self, keeper: RecordKeeper, board: Board, screen: Screen) -> None:
        self._keeper, self._board, self._screen = keeper, board, screen

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        """Keep judged rows, then show them."""
        self._keeper.rows(rows, probabilities)
        self._board.rows(rows, probabilities)
        self._screen.refresh()

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries; only what is durable is shown."""
        self._keeper.append(entries)
        self._board.append(entries)

    def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept."""
        return self._keeper.committed(stage)

    def close(self) -> None:
        """Let the keeper close."""
        self._keeper.close()


class Watcher:
    """Feeds joined to a decision stage; its intents lead nowhere, so nothing can be traded."""

    def __init__(self, feeds: Sequence[FeedNode], decision: DecisionNode) -> None:
        self._feeds, self._decision = feeds, decision
        # nobody trades, so no fact will ever come
        decision.facts.put([], END_OF_TIME)

    def run(
        self,
        on_judged: Callable[[Rows, npt.NDArray[Any], Sequence[Entry]], None],
        pace: Callable[[int], None] = lambda ts: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Hand every judged row and decision to `on_judged(rows, probabilities, entries)` until the feeds end."""
        marks = {feed.name: 0 for feed in self._feeds}
        arrival = threading.Event()
        for feed in self._feeds:
            feed.call_on_arrival(arrival.set)
        while (left := [feed for feed in self._feeds if not feed.is_finished]) and not should_stop():
            feed = min(left, key=lambda node: marks[node.name])
            arrival.clear()
            output = feed.step()
            marks[feed.name] = output.row_watermark
            if len(output.events):
                pace(int(output.events["ts_recv"][-1]))
            elif feed.is_open:
                arrival.wait(IDLE_S)
            self._decision.rows.put(feed.name, output.rows, output.row_watermark)
            judged = self._decision.step()
            on_judged(judged.rows, judged.probabilities, judged.entries)
