"""What `spyhop study` does: bars from a lake or files, a study, its JSON and page on disk, its words on stdout."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from cluster.commands import print_json
from cluster.terminal import Meter
from spyhop.clock import WallClock
from spyhop.errors import UserError
from spyhop.research.studies import following, paired, spreads, words
from spyhop.research.studies import week as weeks
from spyhop.research.studies.bar_trips import ReversionParams
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.pages import page
from spyhop.research.studies.paired import PairedBars
from spyhop.storage.lake import Lake
from spyhop.strategies.lead import LeadParams
from spyhop.wiring import data

P = TypeVar("P", bound=msgspec.Struct)

_HOURS_A_DAY = 24.0


class _Flag(NamedTuple):
    """A flag as it was typed; its setting is smaller by `scale`."""

    name: str
    typed: float | str | None
    scale: float = 1.0

    @property
    def value(self) -> float | str | None:
        return self.typed / self.scale if isinstance(self.typed, float | int) else self.typed


class Source(NamedTuple):
    """Which instruments of which lake or files, and how much of their newest time."""

    symbol: str
    leader: str
    follower: str
    lake: str | None
    files: list[Path]
    hours: float | None
    days: float | None


class Ways(NamedTuple):
    """How a study is run and where it goes."""

    latency_s: float
    seed: int
    out: Path
    as_json: bool


def reversion(entry_pct: float, exit_pct: float, horizon_min: float | None) -> ReversionParams:
    """Return the rule of a spread from percent and minutes; raise UserError."""
    if exit_pct >= entry_pct:
        raise UserError(f"--exit {exit_pct:g} must be below --entry {entry_pct:g}: there would be nothing to gain")
    return _checked(
        ReversionParams,
        entry_frac=_Flag("--entry", entry_pct, 100),
        exit_frac=_Flag("--exit", exit_pct, 100),
        horizon_s=_Flag("--horizon-min", horizon_min, 1 / 60),
    )


def following_by(
    mode: str,
    spread_pct: float,
    window_min: float,
    fall_pct: float,
    rise_pct: float,
    horizon_min: float,
    take_profit_pct: float,
    stop_pct: float,
) -> LeadParams:
    """Return the rule of following from percent and minutes; raise UserError."""
    return _checked(
        LeadParams,
        direction=_Flag("--mode", mode),
        premium_frac=_Flag("--spread-entry", spread_pct, 100),
        discount_frac=_Flag("--spread-entry", spread_pct, 100),
        window_s=_Flag("--binance-drop-window", window_min, 1 / 60),
        fall_frac=_Flag("--binance-drop-pct", fall_pct, 100),
        rise_frac=_Flag("--binance-rise-pct", rise_pct, 100),
        horizon_s=_Flag("--horizon-min", horizon_min, 1 / 60),
        take_profit_frac=_Flag("--tp", take_profit_pct, 100),
        stop_loss_frac=_Flag("--sl", stop_pct, 100),
    )


def costs(fees_bps: float, slippage_bps: float, funding_bps_8h: float | None) -> Costs:
    """Return what a trip costs; raise UserError."""
    return _checked(
        Costs,
        fees_bps=_Flag("--fees-bps", fees_bps),
        slippage_bps=_Flag("--slippage-bps", slippage_bps),
        funding_bps_8h=_Flag("--funding-bps-8h", funding_bps_8h),
    )


def spread(source: Source, params: ReversionParams, paid: Costs, ways: Ways) -> None:
    """Study the spread and say what came of it."""
    with _bars(source) as (bars, meter):
        meter.show(1, 2, "both legs")
        done = spreads.study(bars, params, paid, latency_s=ways.latency_s, seed=ways.seed)
    _say(done, words.of_spread(done), ways)


def lead_follow(source: Source, params: LeadParams, paid: Costs, ways: Ways) -> None:
    """Study following and say what came of it."""
    with _bars(source) as (bars, meter):
        meter.show(1, 2, f"following, {params.direction}")
        done = following.study(bars, params, paid, latency_s=ways.latency_s, seed=ways.seed)
    _say(done, words.of_following(done), ways)


def week(source: Source, params: ReversionParams, followed: LeadParams, paid: Costs, ways: Ways) -> None:
    """Study all there is and say what came of it; mode `both` looks at either side alone, too."""
    directions = ("short", "long", "both") if followed.direction == "both" else (followed.direction,)
    each = [msgspec.structs.replace(followed, direction=direction) for direction in directions]
    with _bars(source) as (bars, meter):
        done = weeks.study(bars, params, each, paid, latency_s=ways.latency_s, seed=ways.seed, on_progress=meter.show)
    _say(done, weeks.text(done), ways)


@contextlib.contextmanager
def _bars(source: Source) -> Iterator[tuple[PairedBars, Meter]]:
    if (source.lake is None) == (not source.files):
        raise UserError("say where the bars come from: --lake DIR, or --files FILE (repeated for more)")
    hours = _hours(source)
    with contextlib.ExitStack() as stack:
        meter = stack.enter_context(Meter("studying", WallClock()))
        lake = source.lake or stack.enter_context(tempfile.TemporaryDirectory(prefix="spyhop-study-"))
        if source.files:
            meter.show(0, 2, "reading files")
            for one in data.import_data(source.files, lake):
                if one.failure:
                    raise UserError(f"{one.path}: {one.failure}")
        meter.show(0, 2, "reading bars")
        store = Lake(lake)
        bars = paired.paired(store, *paired.chosen(store, source.symbol, source.leader, source.follower))
        yield bars if hours is None else bars.last(hours), meter


def _hours(source: Source) -> float | None:
    if source.hours is not None and source.days is not None:
        raise UserError("--hours and --days exclude each other: both say how much to study")
    hours = source.hours if source.days is None else source.days * _HOURS_A_DAY
    if hours is not None and not hours > 0.0:
        raise UserError(f"{hours:g} hours is no span to study")
    return hours


def _checked(kind: type[P], **given: _Flag) -> P:
    """Return `kind` of what was typed, its bounds held; raise UserError that names the flag."""
    try:
        return msgspec.convert({name: flag.value for name, flag in given.items()}, kind)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`")
        flag = given[name]
        raise UserError(
            f"{flag.name} {flag.typed}: {name} would be {flag.value}; {sentence.replace('`', '')}"
        ) from error


def _say(study: Any, text: str, ways: Ways) -> None:
    name = f"{study.kind}-{study.about.follower.replace(':', '-')}"
    folder, stem = (ways.out.parent, ways.out.stem) if ways.out.suffix == ".json" else (ways.out, name)
    folder.mkdir(parents=True, exist_ok=True)
    told = msgspec.json.format(msgspec.json.encode(study)) + b"\n"
    (folder / f"{stem}.json").write_bytes(told)
    html = folder / f"{stem}.html"
    html.write_text(page(study))
    if ways.as_json:
        print_json(study)
        return
    sys.stdout.write(f"{text}\nreport: {html} and {stem}.json beside it\n")
