"""What has to do with real orders: `spyhop doctor`, `run --live`, `kill`, `halts` and `export`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from cluster.commands import Loaded, print_json, stdout
from cluster.origins import SIMULATOR, announce, reached, read_endpoints
from spyhop.clock import WallClock, iso_ms
from spyhop.config.settings import Settings
from spyhop.errors import MissingInput, UserError
from spyhop.reports.halts import halts, listing, seed_record, text
from spyhop.storage import journal
from spyhop.storage.database import Ledger, sqlite_url
from spyhop.storage.exports import export_risk_files
from spyhop.venues.desk.flatten import Flattened
from spyhop.venues.doctor import Level
from spyhop.venues.endpoints import Endpoints
from spyhop.wiring import trading
from spyhop.wiring.accounts import Keys
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import ENDPOINTS_FILE
from spyhop.wiring.records import LEDGER_FILE
from spyhop.wiring.trading import Examined

WORD = "live"
"""What must be typed before orders leave."""
_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red", Level.UNKNOWN: "dim"}


def doctor(loaded: Loaded, venues: str, *, as_json: bool) -> bool:
    """Print what there is to say of every account that the symbols are traded by; say whether all are fit."""
    with reached(venues, loaded.settings) as endpoints:
        announce(endpoints)
        told = _examined(loaded, endpoints)
    if as_json:
        print_json(told)
    else:
        _show(told, stdout())
    return all(account.is_fit for account in told)


def permitted(loaded: Loaded, endpoints: Endpoints) -> Settings:
    """Return the settings of a live session once the doctor is content and somebody typed the word; UserError else.

    A session's equity is what its accounts hold.
    """
    switch = KillSwitch(Path(loaded.settings.session.runs))
    if reason := switch.reason():
        raise UserError(f"{reason}; spyhop kill --lift permits trading again")
    told = _examined(loaded, endpoints)
    console = Console(stderr=True, highlight=False)
    _show(told, console)
    if failed := [account.account for account in told if not account.is_fit]:
        raise UserError(f"{', '.join(failed)} may not trade live until what failed above is put right")
    whose = "the simulator's" if endpoints.is_simulated else "YOUR"
    console.print(f"orders will be sent with {whose} money: {', '.join(account.account for account in told)}")
    console.print(f"type {WORD} to go on: ", end="")
    if sys.stdin.readline().strip() != WORD:
        raise UserError(f"{WORD!r} was not typed, so nothing is traded")
    session = msgspec.structs.replace(loaded.settings.session, equity_usdt=sum(account.equity for account in told))
    return msgspec.structs.replace(loaded.settings, session=session)


def kill(loaded: Loaded, venues: str | None, reason: str, *, as_json: bool) -> bool:
    """Pull the switch, cancel and close everything at the venues and print the report; say whether all is flat.

    Asks nobody but the venues: it works when every process of ours is dead.
    """
    switch = KillSwitch(Path(loaded.settings.session.runs))
    with _reached(loaded, venues) as (endpoints, symbols):
        switch.pull(WallClock(), reason)
        instruments = asyncio.run(trading.instruments_of(endpoints, symbols))
        keys = Keys(loaded.secrets, is_simulated=endpoints.is_simulated)
        done = asyncio.run(trading.killed(endpoints, instruments, keys))
    if as_json:
        print_json(done)
    else:
        names = {one.id: one.key for one in instruments}
        for account, flattened in done.items():
            _show_flattened(account, flattened, names)
        stdout().print(f"no session in {switch.path.parent} opens anything until spyhop kill --lift", style="bold")
    return all(flattened.is_flat for flattened in done.values())


def lift(loaded: Loaded) -> None:
    """Permit entries again."""
    was = KillSwitch(Path(loaded.settings.session.runs)).lift()
    stdout().print("entries are permitted again" if was else "the switch was not pulled")


def show_halts(loaded: Loaded, session: str, number: int, *, as_json: bool) -> None:
    """List a session's halts, or explain the `number`-th (from 1) and say what to play to see it again."""
    folder = journal.find_session(Path(loaded.settings.session.runs), session)
    head = journal.read_session(folder)
    names = {one.id: one.key for one in head.instruments}
    found = halts(journal.read_facts(folder))
    if not 0 <= number <= len(found):
        raise UserError(f"session {head.id} has {len(found)} halts; there is no number {number}")
    chosen = [found[number - 1]] if number else found
    if as_json:
        print_json(
            [
                {"ts": iso_ms(one.ts), "state": one.state, "reasons": one.reasons, "blame": one.blame}
                | {"records": [seed_record(comparison, names) for comparison in one.comparisons]}
                for one in chosen
            ]
        )
    elif number:
        said = text(chosen[0], names)
        sys.stdout.write(f"{said}\nspyhop replay {head.id} makes every decision of that time again\n")
    else:
        sys.stdout.write(f"{listing(found, names)}\n" if found else f"session {head.id} was never halted\n")


def export(loaded: Loaded, out: Path, mode: str) -> None:
    """Write risk_state.json and pnl.csv of all sessions of `mode` to `out`."""
    session = loaded.settings.session
    path = Path(session.runs) / LEDGER_FILE
    if not session.ledger_url and not path.exists():
        raise MissingInput(f"there is no ledger at {path}; run a session first")
    out.mkdir(parents=True, exist_ok=True)
    state, pnl = export_risk_files(Ledger(session.ledger_url or sqlite_url(path)), out, mode)
    stdout().print(f"{state} and {pnl.name} beside it")


def _examined(loaded: Loaded, endpoints: Endpoints) -> list[Examined]:
    keys = Keys(loaded.secrets, is_simulated=endpoints.is_simulated)
    instruments = asyncio.run(trading.instruments_of(endpoints, loaded.settings.session.symbols))
    return asyncio.run(trading.examined(endpoints, loaded.settings, instruments, keys))


@contextlib.contextmanager
def _reached(loaded: Loaded, venues: str | None) -> Iterator[tuple[Endpoints, tuple[str, ...]]]:
    """Yield where to kill and what: what was asked for, else what the newest live session trades."""
    runs = Path(loaded.settings.session.runs)
    if venues == SIMULATOR:
        raise UserError("the embedded simulator belongs to its session; --venues is live or a file with endpoints")
    if venues is not None:
        with reached(venues, loaded.settings) as endpoints:
            yield endpoints, loaded.settings.session.symbols
        return
    for name in reversed(journal.sessions(runs) if runs.is_dir() else []):
        if (file := runs / name / ENDPOINTS_FILE).exists():
            head = journal.read_session(runs / name)
            yield read_endpoints(file), tuple(one.key for one in head.instruments)
            return
    raise UserError(f"there is no live session in {runs}; say --venues live and --symbols to kill all the same")


def _show(told: list[Examined], console: Console) -> None:
    for account in told:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in (account.account, "", ""):
            table.add_column(name, header_style="bold", overflow="fold")
        for finding in account.findings:
            style = _STYLES[finding.level]
            table.add_row(finding.code, f"[{style}]{finding.level.value}[/]", finding.text)
        console.print(table)
        console.print(f"{account.account}: {'fit to trade' if account.is_fit else 'NOT fit to trade'}", style="bold")


def _show_flattened(account: str, done: Flattened, names: dict[int, str]) -> None:
    console = stdout()
    for step in done.steps:
        lots = f" {step.lots:+d} lots" if step.lots else ""
        console.print(f"{iso_ms(step.ts)} {names.get(step.instrument, account)} {step.what}{lots} {step.note}".rstrip())
    verdict = "flat, by the venue's own word" if done.is_flat else "NOT FLAT"
    console.print(
        f"{account}: {verdict} after {done.seconds:.1f} s", style="bold green" if done.is_flat else "bold red"
    )
    for order in done.orders:
        console.print(f"  still open: order {order.venue_order_id} of {names.get(order.instrument, '?')}")
    for position in done.positions:
        console.print(f"  still held: {position.lots:+d} lots of {names.get(position.instrument, '?')}")


def leave(is_well: bool) -> None:
    """End the command with 0 when all is well, 1 when not."""
    raise typer.Exit(0 if is_well else 1)
