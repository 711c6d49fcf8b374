"""What `spyhop status` shows: one answer of a running session's conductor, as plain data and as tables."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import msgspec
import ray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from actors.carrier import LOST
from actors.conductor import CONDUCTOR, SystemHealth
from actors.health import Health
from cluster.commands import print_json, stdout
from cluster.rays import NAMESPACE, joined_ray
from cluster.terminal import event_time, stopping
from cluster.topology import ORDERS, PAPER
from spyhop.errors import UserError
from spyhop.model.orders import OrderStatus
from spyhop.model.tape import Mode
from spyhop.model.verdicts import RiskState

ANSWER_S = 10.0
EVERY_S = 1.0
LATE_BEAT_S = 2.0
"""A loop that has not turned for so long is shown in red."""
_STATES = tuple(RiskState)
_STATE_STYLES = dict(zip(_STATES, ("green", "yellow", "red", "bold red"), strict=True))


class ActorLine(msgspec.Struct, frozen=True):
    """An actor: where it lives, how long ago its loop turned, what waits in it, what it holds in MB."""

    name: str
    node: str
    pid: int
    answers: bool
    beat_age_s: float
    restarts: int
    lag_s: float
    waiting: int
    resident_mb: float


class SymbolLine(msgspec.Struct, frozen=True):
    """A feed: how it gets its data, its last event, the price; ages are of live feeds only, None for others."""

    symbol: str
    mode: str
    ts: int
    price_age_s: float | None
    mid: float | None
    lag_s: float
    gaps: int
    risk_state: str


class Status(msgspec.Struct, frozen=True):
    """A session at one moment; money in quote currency, `drawdown` a fraction of the day's highest equity."""

    phase: str
    actors: list[ActorLine]
    symbols: list[SymbolLine]
    risk_state: str
    reasons: list[str]
    orders: dict[str, int]
    live_orders: int
    open_trips: int
    equity: float
    drawdown: float
    net: float
    outage_s: float
    missing: list[str]


def status_of(health: SystemHealth, hosts: dict[str, str] | None = None) -> Status:
    """Return what a conductor's answer says; `hosts` names nodes for a person."""
    by_name = {actor.name: actor.statistics for actor in health.actors}
    risk, ledger = by_name.get("risk", {}), by_name.get("ledger", {})
    orders = by_name.get(ORDERS) or by_name.get(PAPER, {})
    feeds = [actor for actor in health.actors if actor.name.startswith("feed:")]
    counts = {str(status): int(orders.get(f"orders_{status}", 0)) for status in OrderStatus}
    return Status(
        phase="finished" if health.is_finished else "draining" if health.is_draining else "running",
        actors=[
            _actor_line(actor, health, hosts or {}) for actor in sorted(health.actors, key=lambda actor: actor.name)
        ],
        symbols=[_symbol_line(actor, risk) for actor in sorted(feeds, key=lambda actor: actor.name)],
        risk_state=_STATES[int(risk.get("risk_state", 0))],
        reasons=_reasons(risk),
        orders={name: count for name, count in counts.items() if count},
        live_orders=int(orders.get("live_orders", 0)),
        open_trips=int(orders.get("open_trips", 0)),
        equity=risk.get("equity", 0.0),
        drawdown=risk.get("drawdown", 0.0),
        net=orders.get("net", 0.0),
        outage_s=ledger.get("outage_s", 0.0),
        missing=sorted(set(health.restarts) - set(by_name)),
    )


def _actor_line(actor: Health, health: SystemHealth, hosts: dict[str, str]) -> ActorLine:
    said = actor.statistics
    return ActorLine(
        actor.name,
        hosts.get(actor.node, actor.node[:8]),
        actor.pid,
        actor.name not in health.silent,
        actor.beat_age_s,
        health.restarts.get(actor.name, 0),
        said.get("lag_s", 0.0),
        int(said.get("unsent", 0.0) + said.get("mailbox", 0.0)),
        actor.resident_mb,
    )


def _symbol_line(feed: Health, risk: dict[str, float]) -> SymbolLine:
    said, symbol = feed.statistics, feed.name.removeprefix("feed:")
    state = next((value for name, value in risk.items() if _is_of(name, symbol)), 0.0)
    return SymbolLine(
        symbol,
        Mode(int(said["mode"])).name if "mode" in said else "",
        int(said.get("ts", 0)),
        said["price_age_ms"] / 1_000 if "price_age_ms" in said else None,
        said.get("mid"),
        said.get("lag_s", 0.0),
        int(sum(said.get(name, 0.0) for name in ("sequence.gaps", "gaps", "missing_trades", "missing_bars"))),
        _STATES[int(state)],
    )


def _is_of(name: str, symbol: str) -> bool:
    # a feed of a symbol that only one venue has is called by the symbol alone
    kind, _, key = name.partition(":")
    return kind == "risk_state" and (key == symbol or key.endswith(f":{symbol}"))


def _reasons(risk: dict[str, float]) -> list[str]:
    causes = [name.removeprefix("cause:") for name in risk if name.startswith("cause:")]
    return [f"{cause}: {risk[f'cause:{cause}']:.6g} against {risk[f'bound:{cause}']:.6g}" for cause in causes]


# ── for a person


def shown(status: Status) -> RenderableType:
    """Return a status for a terminal: one line about everything, then who there is, then the symbols."""
    parts: list[RenderableType] = [_summary(status)]
    if status.reasons:
        parts.append(Text("\n".join(status.reasons), style="yellow"))
    if status.outage_s:
        parts.append(Text(f"the ledger has kept nothing for {status.outage_s:.0f} s", style="bold red"))
    if status.missing:
        parts.append(Text(f"not heard of yet: {', '.join(status.missing)}", style="yellow"))
    return Group(*parts, Text(), _actors(status.actors), Text(), _symbols(status.symbols))


def _summary(status: Status) -> Text:
    states = ", ".join(f"{name} {count}" for name, count in status.orders.items()) or "none"
    line = Text(f"{status.phase}  ", style="bold")
    line.append(f"risk {status.risk_state}", style=_STATE_STYLES[RiskState(status.risk_state)])
    line.append(f"  equity {status.equity:,.2f}  drawdown {status.drawdown:.2%}  net {status.net:+,.2f}", style="")
    line.append(
        f"\norders that came into a state: {states}; {status.live_orders} alive, {status.open_trips} trips open",
        style="not bold",
    )
    return line


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        table.add_column(name, header_style="bold", justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _actors(lines: list[ActorLine]) -> Table:
    table = _table("actor", "node", "pid", "beat s", "restarts", "lag s", "waiting", "MB")
    for line in lines:
        is_well = line.answers and line.beat_age_s < LATE_BEAT_S
        beat = Text(f"{line.beat_age_s:.1f}" if line.answers else "silent", style="" if is_well else "bold red")
        restarts = Text(str(line.restarts), style="yellow" if line.restarts else "")
        lag, held = f"{line.lag_s:.2f}", f"{line.resident_mb:.0f}" if line.resident_mb else "-"
        table.add_row(line.name, line.node or "-", str(line.pid), beat, restarts, lag, str(line.waiting), held)
    return table


def _symbols(lines: list[SymbolLine]) -> Table:
    table = _table("symbol", "source", "last event (UTC)", "price s", "mid", "gaps", "risk")
    for line in lines:
        source = Text(line.mode or "-", style="bold yellow" if line.mode == "REST" else "")
        age = "-" if line.price_age_s is None else f"{line.price_age_s:.1f}"
        mid = "-" if line.mid is None else f"{line.mid:.10g}"
        risk = Text(line.risk_state, style=_STATE_STYLES[RiskState(line.risk_state)])
        table.add_row(line.symbol, source, event_time(line.ts), age, mid, str(line.gaps), risk)
    return table


# ── asking


def status(address: str, *, is_watched: bool, as_json: bool) -> None:
    """Print what runs on the Ray at `address`; watched, anew each second until it ends or Ctrl-C."""
    with joined_ray(address):
        conductor = _found(address)
        if is_watched:
            _watch(lambda: _asked(conductor), as_json=as_json)
        else:
            now = _asked(conductor)
            if as_json:
                print_json(now)
            else:
                stdout().print(shown(now))


def _watch(ask: Callable[[], Status], *, as_json: bool) -> None:
    console = stdout()
    live = Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
    with stopping() as is_over, live or contextlib.nullcontext():
        while not is_over():
            now = ask()
            _say(now, console, live, as_json=as_json)
            if now.phase == "finished":
                return
            # a pause between two questions; Ctrl-C ends it
            time.sleep(EVERY_S)


def _say(now: Status, console: Console, live: Live | None, *, as_json: bool) -> None:
    if as_json:
        console.print(msgspec.json.encode(now).decode(), markup=False, soft_wrap=True)
    elif live is None:
        console.print(shown(now))
    else:
        live.update(shown(now), refresh=True)


def _asked(conductor: Any) -> Status:
    try:
        health: SystemHealth = ray.get(conductor.health.remote(), timeout=ANSWER_S)
    except LOST as error:
        raise UserError(f"the session's conductor does not answer: {type(error).__name__}") from error
    nodes: Any = ray.nodes  # has no types
    return status_of(health, {node["NodeID"]: node["NodeManagerHostname"] for node in nodes()})


def _found(address: str) -> Any:
    try:
        return ray.get_actor(CONDUCTOR, namespace=NAMESPACE)
    except ValueError as error:
        raise UserError(f"no session runs on the Ray at {address}") from error
