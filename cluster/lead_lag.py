"""The body of `spyhop study lead-lag`: read both, measure, say it and write it down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cluster.commands import print_json, stdout
from cluster.terminal import Meter
from spyhop.clock import WallClock
from spyhop.errors import UserError
from spyhop.research.lead_lag.estimate import LeadLagParams, LeadLagStudy, measured
from spyhop.research.lead_lag.lakes import lead_lag_of_lake
from spyhop.research.lead_lag.page import page, words
from spyhop.research.lead_lag.series import Series
from spyhop.research.lead_lag.series_files import read_series
from spyhop.research.lead_lag.series_lakes import SOURCES
from spyhop.storage.lake import Lake


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which two series: files with their columns, or symbols of a lake."""

    leader: str
    follower: str
    lake: str = ""
    source: str = ""
    time: str = ""
    leader_price: str = ""
    follower_price: str = ""


def params(**given: Any) -> LeadLagParams:
    """Return the parameters; raise UserError for what their ranges do not permit."""
    try:
        return msgspec.convert(given, LeadLagParams)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        flag = f"--{where.rstrip('`').replace('_', '-')}" if where else "a flag"
        raise UserError(f"{flag}: {reason[0].lower()}{reason[1:]}") from error


def study(asked: Asked, how: LeadLagParams, out: Path | None, *, as_json: bool) -> None:
    """Measure and print; with `out`, write lead-lag.json and lead-lag.html there too."""
    with Meter("lead-lag", WallClock(), is_quiet=as_json) as meter:

        def show(done: int, total: int, said: str) -> None:
            meter.show(done, total, said)

        if asked.lake:
            both = lead_lag_of_lake(
                _lake(asked), asked.leader, asked.follower, how, source=asked.source, on_progress=show
            )
            studies = [both.actionable] if both.structural is None else [both.actionable, both.structural]
        else:
            studies = [measured(*_files(asked), how, show)]
    by_clock = {study.clock: study for study in studies}
    structural, actionable = by_clock.get("exchange"), by_clock.get("receive")
    found = {**msgspec.structs.asdict(studies[0]), "structural": structural, "actionable": actionable}
    if out is not None:
        _write(out, found, studies)
    if as_json:
        print_json(found)
        return
    stdout().print(words(studies), end="", soft_wrap=True, markup=False, emoji=False)
    if structural is None and asked.lake:
        stdout().print("The venues' own times are not known here: only what we heard, and when, could be compared.")
    if out is not None:
        stdout().print(f"written: {out / 'lead-lag.html'}, {out / 'lead-lag.json'}", soft_wrap=True)


def _lake(asked: Asked) -> Lake:
    if asked.time or asked.leader_price or asked.follower_price:
        raise UserError("--time, --leader-price and --follower-price are for files, not for --lake")
    if asked.source and asked.source not in SOURCES:
        raise UserError(f"--source {asked.source}: there is {', '.join(SOURCES)}")
    return Lake(asked.lake)


def _name(file: str, other: str, price: str) -> str:
    """Return what tells a file, or a column of one, from the other."""
    if file == other:
        return price
    return "" if Path(file).name != Path(other).name else file


def _files(asked: Asked) -> tuple[Series, Series]:
    if asked.source:
        raise UserError("--source chooses from a lake: give --lake, or name columns of files")
    leader, follower = (
        read_series(Path(file), asked.time, price, _name(file, other, price))
        for file, other, price in (
            (asked.leader, asked.follower, asked.leader_price),
            (asked.follower, asked.leader, asked.follower_price),
        )
    )
    if leader.clock != follower.clock and "unknown" in (leader.clock, follower.clock):
        leader, follower = leader._replace(clock="unknown"), follower._replace(clock="unknown")
    return leader, follower


def _write(out: Path, found: dict[str, Any], studies: list[LeadLagStudy]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "lead-lag.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    (out / "lead-lag.html").write_text(page(studies), encoding="utf-8")
