"""Draws a board: detectors, 23 probabilities, timeframes, evidence, feed health and the account."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cluster.board import Board, SymbolView
from cluster.language import Words
from spyhop.clock import iso_ms
from spyhop.model.decisions import CLASSES, LEAD_FOLLOW, STRATEGIES, Decision
from spyhop.model.rows import DETECTORS, TIMEFRAME, TIMEFRAMES, Health
from spyhop.model.tape import Side

COLOURS: dict[str, str] = {
    "offensive": "red",
    "defensive": "blue",
    "hunting": "magenta",
    "precision": "green",
    "ranging": "bright_black",
    "special": "dark_orange",
    "neutral": "cyan",
}
CLASS_OF: dict[str, str] = {strategy: kind for kind, members in CLASSES.items() for strategy in members}
CLASS_OF[LEAD_FOLLOW] = CLASS_OF["FUNDING_ARBITRAGE"]  # it, too, looks at two markets

# published range of each headline value; the others lie in -1..1
RANGES: dict[str, tuple[float, float]] = {
    "vpin": (0.0, 1.0),
    "liquidation_pressure": (0.0, 100.0),
    "spread": (0.0, 1.0),
    "volatility": (0.0, 1.0),
    "time": (0.0, 1.0),
}
MAX_EVIDENCE = 6
_WIDE = 120
_READY_BIT = {name: 1 << bit for bit, name in enumerate(TIMEFRAME.names or ())}


def board_panel(board: Board, words: Words, width: int, focus: int | None = None) -> RenderableType:
    """Return the whole screen; `focus` limits the details to that symbol (by position), None draws all."""
    views = list(board.symbols.values())
    shown = views if focus is None else [views[focus % len(views)]]
    parts: list[RenderableType] = [_headline(board, words), _overview(views, words)]
    parts += [_details(view, words, width) for view in shown]
    if len(shown) < len(views):
        parts.append(Text(words("panel.more", num=len(views) - len(shown)), style="dim"))
    if board.is_trading:
        parts.append(_account(board, words))
    return Group(*parts)


def bar(value: float, low: float, high: float, width: int) -> Text:
    """Return `value` as a bar of `width` cells; a range that holds 0 inside grows from its middle."""
    if width < 1:
        return Text("")
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    if low < 0.0 < high:
        middle = width // 2
        filled = round(abs(share - 0.5) * 2 * middle)
        start = middle - filled if value < 0 else middle
        text = Text("─" * start, style="bright_black")
        text.append("█" * filled, style="red" if value < 0 else "green")
        return text.append("─" * (width - start - filled), style="bright_black")
    filled = round(share * width)
    return Text("█" * filled, style="cyan").append("─" * (width - filled), style="bright_black")


def age_text(age_ms: float) -> str:
    """Return an age in at most six cells, such as 120ms, 4.2s, 15m or 3h."""
    if age_ms < 1_000:
        return f"{age_ms:.0f}ms"
    seconds = age_ms / 1_000
    if seconds < 100:
        return f"{seconds:.1f}s"
    return f"{seconds / 60:.0f}m" if seconds < 6_000 else f"{seconds / 3_600:.0f}h"


def health_text(health: int, words: Words) -> Text:
    """Return what is wrong with a feed, or that nothing is."""
    wrong = [words(f"health.{flag.name}") for flag in Health if health & flag]
    return Text(", ".join(wrong), style="bold red") if wrong else Text(words("state.healthy"), style="green")


def _headline(board: Board, words: Words) -> Text:
    text = Text(words("panel.title"), style="bold")
    text.append(f"  {iso_ms(board.ts)} UTC" if board.ts else f"  {words('panel.waiting')}", style="dim")
    if board.is_simulated:
        text.append(f"  {words('panel.simulated')}", style="bold black on yellow")
    if not board.is_trading:
        text.append(f"  {words('panel.no_trading')}", style="dim")
    return text


def _overview(views: list[SymbolView], words: Words) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, padding=(0, 1))
    table.add_column(words("column.symbol"), no_wrap=True)
    for name in ("price", "bid", "ask", "spread"):
        table.add_column(words(f"column.{name}"), justify="right", no_wrap=True)
    table.add_column(words("column.strategy"), no_wrap=True)
    table.add_column(words("column.probability"), justify="right", no_wrap=True)
    table.add_column(words("panel.events"), justify="right", no_wrap=True)
    table.add_column(words("column.health"))
    for view in views:
        row = view.row
        if row is None:
            table.add_row(view.instrument.symbol, *[""] * 6, "", Text(words("panel.waiting"), style="yellow"))
            continue
        name, chance = _leader(view)
        table.add_row(
            Text(view.instrument.symbol, style="bold"),
            _price(view, float(row["last"])),
            _price(view, int(row["bid"]) * view.instrument.tick),
            _price(view, int(row["ask"]) * view.instrument.tick),
            f"{float(row['evidence']['spread_bps']):.2f}bp",
            Text(words(f"strategy.{name}"), style=COLOURS[CLASS_OF[name]]) if name else "",
            f"{chance:.1%}" if name else "",
            f"{int(row['num_events']):,}",
            health_text(int(row["health"]), words),
        )
    return table


def _details(view: SymbolView, words: Words, width: int) -> Panel:
    title = Text(view.instrument.symbol, style="bold")
    if view.row is None:
        return Panel(Text(words("panel.waiting"), style="yellow"), title=title, title_align="left")
    inner = width - 4
    left = min(max(inner * 11 // 20, 50), 74)
    columns = Table.grid(padding=(0, 2))
    columns.add_column(width=left)
    columns.add_column(width=max(inner - left - 2, 20))
    columns.add_row(
        Group(_detectors(view.row, words, left), _timeframes(view, words, left)),
        _probabilities(view, words, max(inner - left - 2, 20)),
    )
    return Panel(Group(columns, _winner(view.decision, words)), title=title, title_align="left", width=width)


def _section(title: str, *columns: tuple[str, Any, int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left", title_style="bold")
    for name, justify, width in columns:
        table.add_column(name, justify=justify, width=width, no_wrap=True, header_style="dim", overflow="ellipsis")
    return table


def _detectors(row: np.void, words: Words, width: int) -> Table:
    bar_width = max(width - 16 - 8 - 5 - 6 - 4, 8)
    table = _section(
        words("section.detectors"),
        (words("column.detector"), "left", 16),
        (words("column.value"), "right", 8),
        ("", "left", bar_width),
        (words("column.confidence"), "right", 5),
        (words("column.age"), "right", 6),
    )
    for name, seen in zip(DETECTORS, row["detections"], strict=True):
        if not seen["ready"]:
            table.add_row(words(f"detector.{name}"), "", words("state.not_ready"), "", "", style="bright_black")
            continue
        low, high = RANGES.get(name, (-1.0, 1.0))
        value = float(seen["value"])
        table.add_row(
            words(f"detector.{name}"),
            f"{value:.1f}" if high > 1.0 else f"{value:+.3f}" if low < 0 else f"{value:.3f}",
            bar(value, low, high, bar_width),
            f"{float(seen['confidence']):.0%}",
            age_text(float(seen["age_ms"])),
        )
    return table


def _timeframes(view: SymbolView, words: Words, width: int) -> Table:
    row = view.row
    assert row is not None
    aligned = {1: "aligned_up", -1: "aligned_down"}.get(int(row["aligned"]), "not_aligned")
    number = 10 if width >= 60 else 8
    names = ["RSI", "MACD", "%B", *(["SMA"] if width >= 60 else []), "EMA", "ATR"]
    table = _section(
        f"{words('section.timeframes')} · {words(f'state.{aligned}')}",
        (words("column.timeframe"), "left", 4),
        *((name, "right", 6 if name in ("RSI", "%B") else number) for name in names),
    )
    unsaid = Text(words("state.not_ready_short"), style="bright_black")
    for name, seen in zip(TIMEFRAMES, row["timeframes"], strict=True):
        cells = {
            "RSI": _indicator(seen, ("rsi",), "{:.1f}"),
            "MACD": _indicator(seen, ("macd_hist",), "{:+.2f}"),
            "%B": _band_position(seen),
            "SMA": _indicator(seen, ("sma",), "{:.2f}"),
            "EMA": _indicator(seen, ("ema",), "{:.2f}"),
            "ATR": _indicator(seen, ("atr",), "{:.2f}"),
        }
        table.add_row(name, *(cells[column] or unsaid for column in names))
    return table


def _indicator(seen: np.void, names: tuple[str, ...], form: str) -> str:
    if not all(int(seen["ready"]) & _READY_BIT[name] for name in names):
        return ""
    return form.format(float(seen[names[0]]))


def _band_position(seen: np.void) -> str:
    if not int(seen["ready"]) & _READY_BIT["bb_upper"]:
        return ""
    span = float(seen["bb_upper"]) - float(seen["bb_lower"])
    return f"{(float(seen['close']) - float(seen['bb_lower'])) / span:.2f}" if span > 0 else "0.50"


def _probabilities(view: SymbolView, words: Words, width: int) -> Table:
    name_width, kind_width = 21, 10 if width >= 56 else 0
    bar_width = max(width - name_width - kind_width - 6 - 3, 4)
    table = _section(
        words("section.probabilities"),
        *([("", "left", kind_width)] if kind_width else []),
        (words("column.strategy"), "left", name_width),
        (words("column.probability"), "right", 6),
        ("", "left", bar_width),
    )
    leader, _ = _leader(view)
    chances = dict(zip(STRATEGIES, view.probabilities if view.probabilities is not None else (), strict=False))
    for kind, members in CLASSES.items():
        for strategy in members:
            chance = float(chances.get(strategy, 0.0))
            colour = COLOURS[kind]
            filled = round(min(max(chance, 0.0), 1.0) * bar_width)
            first = words(f"class.{kind}") if strategy == members[0] else ""
            table.add_row(
                *([Text(first, style=colour)] if kind_width else []),
                Text(words(f"strategy.{strategy}"), style=colour),
                f"{chance:.1%}",
                Text("█" * filled, style=colour),
                style="bold" if strategy == leader else "",
            )
    return table


def _winner(decision: Decision | None, words: Words) -> RenderableType:
    if decision is None:
        return Text(f"{words('section.winner')}: {words('state.no_decision')}", style="dim")
    kind = CLASS_OF[decision.strategy]
    head = Text(f"{words('section.winner')}: ", style="bold")
    head.append(f"{words(f'class.{kind}')} · {words(f'strategy.{decision.strategy}')}", style=f"bold {COLOURS[kind]}")
    head.append(f"  {side_text(decision.side, words)}")
    if decision.strategy != LEAD_FOLLOW:
        head.append(f"  {words('column.probability')} {decision.probability:.1%}")
    head.append(f"  {words('column.confidence')} {decision.confidence:.0%}")
    told = Text(words("state.no_evidence"), style="dim")
    if decision.evidence:
        strongest = sorted(decision.evidence, key=lambda part: -abs(part.score))[:MAX_EVIDENCE]
        told = Text("  ").join(_contribution(part.name, part.score, words) for part in strongest)
    if not decision.reasons:
        outcome = Text(words("state.intent"), style="bold green")
    else:
        outcome = Text(words("state.not_entered", reason="; ".join(decision.reasons)), style="dim")
    return Group(head, told, outcome)


def _contribution(name: str, score: float, words: Words) -> Text:
    return Text(words.or_else(f"evidence.{name}", name)).append(f" {score:+.2f}", style="green" if score > 0 else "red")


def _account(board: Board, words: Words) -> Panel:
    account = board.account
    money = Text("  ").join(
        Text(f"{words(f'account.{name}')} ").append(f"{value + 0.0:+,.2f}", style="green" if value >= 0 else "red")
        for name, value in (
            ("net", account.net),
            ("gross", account.gross),
            ("fees", -account.fees),
            ("funding", -account.funding),
            ("unrealized", sum(view.unrealized for view in board.symbols.values())),
        )
    )
    money.append(f"  {words('account.trades')} {account.num_trades}")
    risk = Text(f"{words('account.approved')} {account.num_approved}  ")
    risk.append(f"{words('account.refused')} {account.refusals.total()}  ")
    risk.append("  ".join(f"{code} {count}" for code, count in sorted(account.refusals.items())), style="yellow")
    parts: list[RenderableType] = [_positions(board, words), money, risk]
    if refused := account.last_refusal:
        measured, limit = f"{refused.measured:g}", f"{refused.limit:g}"
        parts.append(
            Text(words("account.last_refusal", code=refused.code, measured=measured, limit=limit), style="dim")
        )
    return Panel(Group(*parts), title=words("section.account"), title_align="left")


def _positions(board: Board, words: Words) -> RenderableType:
    held = [view for view in board.symbols.values() if view.holding.lots]
    if not held:
        return Text(words("state.no_position"), style="dim")
    names = ("symbol", "side", "quantity", "entry", "price", "unrealized")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, name in enumerate(names):
        table.add_column(words(f"column.{name}"), justify="left" if position < 2 else "right", header_style="dim")
    for view in held:
        profit = view.unrealized
        table.add_row(
            view.instrument.symbol,
            side_text(view.holding.side, words),
            f"{view.instrument.quantity(abs(view.holding.lots))}",
            _price(view, view.holding.average * view.instrument.tick),
            _price(view, float(view.row["mid"])) if view.row is not None else "",
            Text(f"{profit:+,.2f}", style="green" if profit >= 0 else "red"),
        )
    return table


def side_text(side: Side, words: Words) -> str:
    """Return the word for a direction."""
    return words({Side.BUY: "state.buy", Side.SELL: "state.sell", Side.NONE: "state.none"}[side])


def _leader(view: SymbolView) -> tuple[str, float]:
    if view.probabilities is None or not len(view.probabilities):
        return "", 0.0
    best = int(np.argmax(view.probabilities))
    return STRATEGIES[best], float(view.probabilities[best])


def _price(view: SymbolView, price: float) -> str:
    exponent = view.instrument.tick_size.normalize().as_tuple().exponent
    return f"{price:,.{max(-int(exponent), 0)}f}"
