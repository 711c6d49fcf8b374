import io
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from cluster.board import Board
from cluster.language import LANGUAGES, words
from cluster.panel import COLOURS, age_text, bar, board_panel
from spyhop.model import rows
from spyhop.model.decisions import CLASSES, LEAD_FOLLOW, STRATEGIES, Contribution, Decision, Trigger
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fill, Liquidity
from spyhop.model.rows import DETECTORS, TIMEFRAMES, Health
from spyhop.model.tape import Side, Venue

INSTRUMENTS = [
    Instrument(id=number, venue=Venue.BINANCE_USDM, symbol=symbol, tick_size=Decimal(tick), lot_size=Decimal("0.001"))
    for number, (symbol, tick) in enumerate([("BTCUSDT", "0.10"), ("ETHUSDT", "0.01")])
]
PROBABILITIES = np.linspace(1.0, 0.1, 23) / np.linspace(1.0, 0.1, 23).sum()


def board(*, is_trading: bool = True) -> Board:
    seen = Board(INSTRUMENTS, is_trading=is_trading, is_simulated=True)
    made = rows.empty(2)
    made["instrument"], made["ts"] = [0, 1], 1_732_810_500 * 10**9
    made["last"], made["mid"] = [61_773.6, 2_400.12], [61_773.65, 2_400.115]
    made["bid"], made["ask"] = [617_736, 240_011], [617_737, 240_012]
    detections = made["detections"]
    detections["ready"], detections["value"], detections["confidence"] = 1, 0.5, 0.8
    detections["ready"][:, DETECTORS.index("trend")] = 0
    made["timeframes"]["ready"][:, 0] = (1 << 10) - 1
    made["timeframes"]["rsi"][:, 0] = 61.3
    made["timeframes"]["rsi"][:, 1] = 99.9  # of a timeframe that is not ready
    made["health"][1] = Health.CROSSED
    seen.rows(made, np.vstack([PROBABILITIES, PROBABILITIES]))
    decision = Decision(
        seq=0, ts=1, instrument=0, trigger=Trigger.INTERVAL, price=1.0, probabilities=tuple(PROBABILITIES),
        strategy="WHALE_PUMP", probability=0.43, confidence=0.5, side=Side.BUY,
        evidence=(Contribution("quiet_momentum", 0.3, 2.0, 0.61),), reasons=("probability 0.43 is not above 0.70",),
    )  # fmt: skip
    fill = Fill(
        ts=1, ts_venue=1, fill_id="1", client_order_id="a", instrument=0, side=Side.BUY, price=617_000, lots=10,
        liquidity=Liquidity.TAKER, fee=0.25, slippage=0.0,
    )  # fmt: skip
    seen.append([Entry(1, "decision", 0, decision), Entry(1, "order", 0, fill)])
    return seen


def drawn(seen: Board, language: str, width: int, focus: int | None = None) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, record=True)
    console.print(board_panel(seen, words(language), width, focus))
    return console.export_text(styles=False).splitlines()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_every_line_fits_the_terminal_and_frames_close(language: str, width: int) -> None:
    lines = drawn(board(), language, width)
    assert all(cell_len(line) <= width for line in lines)
    framed = [line for line in lines if line.startswith(("│", "╭", "╰"))]
    assert framed
    assert {cell_len(line) for line in framed} == {width}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [100, 140])
def test_everything_is_said_in_full(language: str, width: int) -> None:
    say = words(language)
    text = "\n".join(drawn(board(), language, width, focus=0))
    for name in DETECTORS:
        assert say(f"detector.{name}") in text
    for name in STRATEGIES:
        assert say(f"strategy.{name}") in text
    for name in TIMEFRAMES:
        assert name in text
    for said in ("61,773.6", "43.0%", "61.3", say("state.not_ready"), say("health.CROSSED"), say("panel.simulated")):
        assert said in text
    assert say("evidence.quiet_momentum") in text
    assert "probability 0.43 is not above 0.70" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_follows_its_leader_is_named_and_claims_no_probability(language: str) -> None:
    seen, say = board(), words(language)
    view = next(iter(seen.symbols.values()))
    assert view.decision is not None
    followed = Contribution("leader_return", -0.003, -500.0, 1.5)
    view.decision = msgspec.structs.replace(
        view.decision, strategy=LEAD_FOLLOW, trigger=Trigger.LEAD, probability=0.0, evidence=(followed,)
    )
    text = "\n".join(drawn(seen, language, 140, focus=0))
    assert say("strategy.LEAD_FOLLOW") in text
    assert say("evidence.leader_return") in text
    said = next(line for line in text.splitlines() if say("strategy.LEAD_FOLLOW") in line)
    assert say("column.probability") not in said


def test_what_is_not_ready_is_said_and_its_number_is_not_shown() -> None:
    text = "\n".join(drawn(board(), "en", 100, focus=0))
    assert "99.9" not in text
    trend = next(line for line in text.splitlines() if "│ Trend" in line)
    assert "not ready" in trend
    assert "0.500" not in trend
    assert "n/r" in text


def test_only_the_focused_symbol_is_drawn_in_detail() -> None:
    text = "\n".join(drawn(board(), "en", 100, focus=3))
    assert "─ ETHUSDT ─" in text
    assert "─ BTCUSDT ─" not in text
    assert "1 more" in text


def test_the_account_is_shown_when_trading_and_only_then() -> None:
    trading = "\n".join(drawn(board(), "en", 100))
    assert "Fees -0.25" in trading
    assert "LONG" in trading
    assert "0.010" in trading
    assert "Account" not in "\n".join(drawn(board(is_trading=False), "en", 100))


def test_before_any_data_it_says_that_it_waits() -> None:
    lines = drawn(Board(INSTRUMENTS, is_trading=False, is_simulated=False), "zh-TW", 100)
    assert sum("等待資料" in line for line in lines) == 5


def test_strategies_wear_the_colour_of_their_class() -> None:
    console = Console(width=100, file=io.StringIO(), force_terminal=True, color_system="truecolor", record=True)
    console.print(board_panel(board(), words("en"), 100, 0))
    html = console.export_html(inline_styles=True)
    assert set(COLOURS) == set(CLASSES)
    assert len(set(COLOURS.values())) == 7
    dump, gather = (html.split(name)[0].rsplit("<span", 1)[1] for name in ("Whale dump ", "Whale accumulates "))
    assert "#800000" in dump
    assert "#000080" in gather


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.0, -1.0, 1.0, "──────────"),
        (1.0, -1.0, 1.0, "─────█████"),
        (-1.0, -1.0, 1.0, "█████─────"),
        (9.0, -1.0, 1.0, "─────█████"),
        (0.2, -1.0, 1.0, "─────█────"),
        (50.0, 0.0, 100.0, "█████─────"),
        (0.0, 0.0, 1.0, "──────────"),
    ],
)
def test_a_bar_shows_its_share_of_the_range(value: float, low: float, high: float, expected: str) -> None:
    assert bar(value, low, high, 10).plain == expected


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [(0, "0ms"), (999, "999ms"), (1_000, "1.0s"), (99_900, "99.9s"), (900_000, "15m"), (3.6e7, "10h")],
)
def test_an_age_is_short(age_ms: float, text: str) -> None:
    assert age_text(age_ms) == text
