"""`spyhop data`: import, list and verify, as text or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cluster.commands import print_json, stdout
from cluster.terminal import Meter, event_time
from spyhop.clock import WallClock, iso_ms
from spyhop.errors import MissingInput, UserError
from spyhop.storage.checks import Place
from spyhop.storage.imports import Imported, Progress
from spyhop.storage.lake import Listing
from spyhop.wiring import data

MAX_PLACES = 3


def import_data(files: Sequence[Path], lake: str, *, as_json: bool) -> None:
    """Bring `files` into `lake` and say what became of each; raise UserError when one could not be read at all."""
    with Meter("importing", WallClock()) as meter:

        def show(progress: Progress) -> None:
            said = f"{progress.num_lines:,} lines, {progress.num_events:,} events"
            meter.show(progress.file - 1 + progress.is_done, progress.num_files, said, what=Path(progress.path).name)

        done = data.import_data(files, lake, show)
    if as_json:
        print_json([_as_tables(one) for one in done])
    else:
        _print_imports(done)
    if failed := [one for one in done if one.failure]:
        raise UserError(f"{len(failed)} of {len(done)} files were not imported: {failed[0].path}: {failed[0].failure}")


def list_lake(lake: str, *, as_json: bool) -> None:
    """Print what `lake` holds."""
    listings = _listings(lake)
    if as_json:
        print_json(listings)
        return
    table = _table("venue", "symbol", "channel", "from", "to", "rows", "bytes", "files", num_left=5)
    for one in listings:
        table.add_row(
            one.venue, one.symbol, one.channel, event_time(one.first), event_time(one.last),
            f"{one.rows:,}", f"{one.bytes:,}", str(one.files),
        )  # fmt: skip
    stdout().print(table)


def verify_lake(lake: str, *, as_json: bool) -> None:
    """Print what is wrong with `lake`, with counts and first places, then what is worth knowing."""
    _listings(lake)
    findings = data.verify_lake(lake)
    if as_json:
        print_json(findings)
        return
    console = stdout()
    table = _table("", "instrument", "channel", "check", "count", "what", num_left=4)
    table.columns[-1].justify = "left"
    for found in sorted(findings, key=lambda one: not one.is_fault):
        mark = Text("fault", style="red") if found.is_fault else Text("note", style="dim")
        what = Text(found.text)
        for place in found.places[:MAX_PLACES]:
            what.append(f"\n{_place(place)}", style="dim")
        table.add_row(mark, found.instrument, found.channel, str(found.check), f"{found.count:,}", what)
    if findings:
        console.print(table)
    num_faults = sum(found.is_fault for found in findings)
    console.print(f"{num_faults} kinds of faults in {lake}" if num_faults else f"no fault in {lake}")


def _listings(lake: str) -> list[Listing]:
    if listings := data.lake_table(lake):
        return listings
    raise MissingInput(f"the lake {lake} is empty; fill it with: spyhop data import FILE... --lake {lake}")


def _place(place: Place) -> str:
    line = f":{place.line}" if place.line else ""
    return f"{iso_ms(place.ts)} {place.file}{line}"


def _as_tables(one: Imported) -> dict[str, object]:
    source = one.source
    return {
        "path": one.path,
        "is_known": one.is_known,
        "failure": one.failure,
        "lines": source.num_lines if source else 0,
        "events": one.num_events,
        "quarantined": source.quarantined if source else {},
        "ignored": source.ignored if source else {},
        "notes": source.notes if source else (),
    }


def _print_imports(done: Sequence[Imported]) -> None:
    console = stdout()
    table = _table("file", "", "lines", "events", "set aside", num_left=2)
    for one in done:
        state = Text("failed", style="red") if one.failure else Text("known" if one.is_known else "new", style="green")
        lines = f"{one.source.num_lines:,}" if one.source else ""
        table.add_row(one.path, state, lines, f"{one.num_events:,}", f"{one.num_quarantined:,}")
    console.print(table)
    for one in done:
        if one.failure:
            console.print(Text(f"{one.path}: {one.failure}", style="red"))
        if one.source is None:
            continue
        for what, counts in (("set aside", one.source.quarantined), ("ignored", one.source.ignored)):
            for reason, count in sorted(counts.items()):
                console.print(Text(f"{one.path}: {what} {count:,} lines: {reason}", style="yellow"))
        for note in one.source.notes:
            console.print(Text(f"{one.path}: {note}", style="dim"))


def _table(*names: str, num_left: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, name in enumerate(names):
        table.add_column(name, justify="left" if position < num_left else "right", header_style="bold", overflow="fold")
    return table
