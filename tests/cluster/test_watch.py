import io
from decimal import Decimal

import numpy as np
from rich.console import Console

from cluster.board import Board
from cluster.language import words
from cluster.watch import FOCUS_S, Screen, Watcher
from spyhop.clock import NS_PER_S, EventClock
from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.engine.feed_node import FeedNode
from spyhop.engine.feeds import ArrayFeed
from spyhop.engine.nodes import DecisionNode
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Kind, Side, Venue
from spyhop.strategies.stage import DecisionParams, DecisionStage

START = 1_732_810_500 * NS_PER_S
INSTRUMENTS = [
    Instrument(id=number, venue=Venue.BINANCE_USDM, symbol=symbol, tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
    for number, symbol in enumerate(("BTCUSDT", "ETHUSDT"))
]


def trades(instrument: int, seconds: int) -> tape.Events:
    made = tape.empty(seconds * 4)
    made["kind"], made["side"], made["instrument"] = Kind.TRADE, Side.BUY, instrument
    made["ts_recv"] = made["ts_event"] = START + np.arange(len(made)) * NS_PER_S // 4
    made["price"], made["qty"], made["id"] = 600_000 + np.arange(len(made)) % 7, 5, np.arange(len(made)) + 1
    return made


def watcher(seconds: int = 65) -> Watcher:
    feeds = []
    for instrument in INSTRUMENTS:
        batches = [trades(instrument.id, seconds)[start : start + 37] for start in range(0, seconds * 4, 37)]
        stage = DetectionStage(instrument, DetectionParams())
        feeds.append(FeedNode(instrument.symbol, instrument.id, ArrayFeed(batches), stage))
    decision = DecisionStage(DecisionParams(), INSTRUMENTS)
    return Watcher(feeds, DecisionNode(decision, [instrument.symbol for instrument in INSTRUMENTS]))


def test_every_second_of_every_symbol_is_judged_and_each_analysis_is_told() -> None:
    board = Board(INSTRUMENTS, is_trading=False, is_simulated=True)
    seen: list[tuple[int, int]] = []
    paced: list[int] = []

    def on_judged(rows: tape.Events, probabilities: np.ndarray, entries: list) -> None:
        seen.extend((int(row["ts"]), int(row["instrument"])) for row in rows)
        board.rows(rows, probabilities)
        board.append(entries)

    watcher().run(on_judged, paced.append)
    assert seen == sorted(seen)
    for number in (0, 1):
        seconds = sorted({ts for ts, instrument in seen if instrument == number and ts % NS_PER_S == 0})
        assert len(seconds) == 64 + 1  # the last row of a session stands at a whole second, too
        view = board.symbols[number]
        assert view.decision is not None
        assert view.probabilities is not None
        assert abs(float(view.probabilities.sum()) - 1.0) < 1e-12
    assert max(paced) > START + 64 * NS_PER_S
    assert board.account.num_approved == 0


def test_it_stops_when_it_is_told_to() -> None:
    calls: list[int] = []
    watcher().run(lambda rows, probabilities, entries: calls.append(len(rows)), should_stop=lambda: len(calls) >= 3)
    assert len(calls) == 3


def test_without_a_terminal_the_board_is_printed_once_at_the_end() -> None:
    out = io.StringIO()
    board = Board(INSTRUMENTS, is_trading=False, is_simulated=True)
    clock = EventClock(1)
    with Screen(board, words("en"), Console(file=out, width=100), clock, 0.5) as screen:
        clock.advance(NS_PER_S)
        screen.refresh()
        assert out.getvalue() == ""
    assert out.getvalue().count("Whale watch") == 1
    assert "\x1b" not in out.getvalue()


def test_a_terminal_is_drawn_at_most_once_in_a_while_and_symbols_take_turns() -> None:
    out = io.StringIO()
    board = Board(INSTRUMENTS, is_trading=False, is_simulated=True)
    clock = EventClock(1)
    console = Console(file=out, force_terminal=True, width=100, height=40)
    with Screen(board, words("en"), console, clock, 0.5) as screen:
        drawn = out.getvalue()
        assert "─ BTCUSDT ─" in drawn.replace("\x1b[1m", "").replace("\x1b[0m", "")
        screen.refresh()
        assert out.getvalue() == drawn
        clock.advance(FOCUS_S * NS_PER_S)
        screen.refresh()
        assert "ETHUSDT ─" in out.getvalue()[len(drawn) :].replace("\x1b[1m", "").replace("\x1b[0m", "")
