"""The lake: recordings as Parquet on local disk or any pyarrow file system.

    venue=<v>/symbol=<s>/channel=<c>/date=<d>/<source>-<n>.parquet    parts (`spyhop.storage.parts`)
    _imports/<content>.json                                           manifests: what each source brought
    _quarantine/<file>-<source>.jsonl                                 lines that could not be read
    _incoming/<content>/                                              an import under way, or one that died

Only what a manifest names exists, and a manifest appears at once: so an import is there whole or not at all, whatever
kills it. Another file system than the local one needs no rename of data for this, only of the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from math import gcd
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import fs

from spyhop.errors import LakeDamaged, MissingInput
from spyhop.model.channels import CHANNELS
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Kind, Ratio
from spyhop.storage.merge import REPEAT_HORIZON_NS, Merged, RepeatFilter, Run, merge
from spyhop.storage.parts import Group, Part, read_part

MANIFESTS, QUARANTINE, INCOMING = "_imports", "_quarantine", "_incoming"

START_OF_TIME, END_OF_TIME = -(1 << 63), (1 << 63) - 1

_PRICES = {
    "price": (
        Kind.TRADE,
        Kind.QUOTE,
        Kind.LEVEL,
        Kind.BAR_OPEN,
        Kind.BAR_CLOSE,
        Kind.MARK,
        Kind.LIQUIDATION,
        Kind.TICKER,
    ),
    "aux": (Kind.QUOTE, Kind.BAR_OPEN, Kind.BAR_CLOSE, Kind.LIQUIDATION, Kind.TICKER),
}
_QUANTITIES = {
    "qty": (Kind.TRADE, Kind.QUOTE, Kind.LEVEL, Kind.BAR_OPEN, Kind.OPEN_INTEREST, Kind.LIQUIDATION, Kind.TICKER),
    "aux2": (Kind.QUOTE, Kind.BAR_OPEN),
}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What one imported file brought: the manifest. `content` is the SHA-256 of the file, `key` names its parts."""

    key: str
    content: str
    name: str
    reader: str
    instruments: tuple[Instrument, ...]
    parts: tuple[Part, ...]
    num_lines: int = 0
    quarantined: dict[str, int] = {}
    ignored: dict[str, int] = {}
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> int:
        return min((part.first for part in self.parts), default=END_OF_TIME)

    @property
    def order(self) -> tuple[int, str]:
        return self.first, self.content


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `ls`: what there is of an instrument and channel; times are ts_recv, the last one included."""

    venue: str
    symbol: str
    channel: str
    first: int
    last: int
    rows: int
    bytes: int
    files: int


class Lake:
    """A store of recordings; a Catalog. Prices and quantities of a symbol come in one tick and lot, `instrument`'s."""

    def __init__(self, root: str | Path, filesystem: fs.FileSystem | None = None) -> None:
        self.root = str(root)
        if filesystem is None:
            filesystem, path = _file_system(self.root)
        else:
            path = self.root
        self.is_local = isinstance(filesystem, fs.LocalFileSystem)
        self.local_path = Path(path) if self.is_local else None
        self.files = fs.SubTreeFileSystem(path, filesystem) if path else filesystem
        self._manifests: dict[str, tuple[int, Source]] = {}

    def sources(self) -> list[Source]:
        """Return the manifests, by first event; raise LakeDamaged when one cannot be read."""
        infos = self.files.get_file_info(fs.FileSelector(MANIFESTS, allow_not_found=True))
        found = {}
        for info in infos:
            if info.extension == "json":
                stamp = info.mtime_ns or 0
                known = self._manifests.get(info.path)
                found[info.path] = known if known and known[0] == stamp else (stamp, self._manifest(info.path))
        self._manifests = found
        return sorted((source for _, source in found.values()), key=lambda source: source.order)

    def _manifest(self, path: str) -> Source:
        try:
            with self.files.open_input_file(path) as file:
                return msgspec.json.decode(file.read(), type=Source)
        except (OSError, pa.ArrowException, msgspec.DecodeError) as error:
            raise LakeDamaged(path, str(error)) from error

    def parts(self, instrument_key: str = "", channels: Sequence[str] = ()) -> list[tuple[int, Source, Part]]:
        """Return the parts asked for (all by default) with their source and its rank."""
        return [
            (rank, source, part)
            for rank, source in enumerate(self.sources())
            for part in source.parts
            if instrument_key in ("", part.instrument_key) and (not channels or part.channel in channels)
        ]

    def instruments(self) -> list[Instrument]:
        """Return what the lake holds, by key, numbered from 0."""
        told: dict[str, list[Instrument]] = {}
        for source in self.sources():
            for instrument in source.instruments:
                told.setdefault(instrument.key, []).append(instrument)
        return [_agreed(told[key]).numbered(number) for number, key in enumerate(sorted(told))]

    def instrument(self, name: str) -> Instrument:
        """Return the instrument with key `name`, or the only one with that symbol; raise MissingInput."""
        known = self.instruments()
        found = [one for one in known if name in (one.key, one.symbol)]
        if len(found) == 1:
            return found[0]
        if found:
            raise MissingInput(f"{name} is in {self.root} more than once: say one of {_listed(found)}")
        if not known:
            raise MissingInput(f"the lake {self.root} is empty: import something first")
        raise MissingInput(f"there is no {name} in the lake {self.root}; there is {_listed(known)}")

    def channels(self, instrument_key: str) -> list[str]:
        """Return the channels of an instrument, in the order of CHANNELS."""
        there = {part.channel for _, _, part in self.parts(instrument_key)}
        return [channel for channel in CHANNELS if channel in there] + sorted(there - set(CHANNELS))

    def span(self, instrument_key: str, channels: Sequence[str] = ()) -> tuple[int, int]:
        """Return ts_recv of the first and last event; raise MissingInput when there are none."""
        parts = [part for _, _, part in self.parts(instrument_key, channels)]
        if not parts:
            what = f" of {', '.join(channels)}" if channels else ""
            raise MissingInput(f"the lake {self.root} holds nothing{what} of {self.instrument(instrument_key).key}")
        return min(part.first for part in parts), max(part.last for part in parts)

    def ls(self) -> list[Listing]:
        """Return what there is, one line for each instrument and channel."""
        groups: dict[tuple[str, str, str], list[Part]] = {}
        for _, _, part in self.parts():
            groups.setdefault((part.venue, part.symbol, part.channel), []).append(part)
        return [
            Listing(
                venue=venue,
                symbol=symbol,
                channel=channel,
                first=min(part.first for part in parts),
                last=max(part.last for part in parts),
                rows=sum(part.rows for part in parts),
                bytes=sum(part.bytes for part in parts),
                files=len(parts),
            )
            for (venue, symbol, channel), parts in sorted(groups.items())
        ]

    def scan(
        self, instrument_key: str, start: int, end: int, channels: Sequence[str] = (), instrument: int = 0
    ) -> Iterator[Events]:
        """Yield the tape of one instrument, all channels merged, with `start` <= ts_recv < `end`.

        The rows carry `instrument` as their number. Memory is bounded by a few row groups a channel, whatever the span.
        A trade that was recorded twice, in one source or in two, comes once: one with the id, price and quantity of
        a trade of the 60 s before is left out. Other repeats pass: every fold ignores an old update id, a bar that is
        closed, a funding that was paid. Raises MissingInput or LakeDamaged.
        """
        self.span(instrument_key, channels)
        repeats = RepeatFilter()
        for batch in self.merged(instrument_key, max(START_OF_TIME, start - REPEAT_HORIZON_NS), end, channels):
            events = batch.events
            is_wanted = (events["ts_recv"] >= start) & ~repeats.repeats(events)
            events = events if is_wanted.all() else events[is_wanted]
            if len(events):
                events["instrument"] = instrument
                yield events

    def merged(
        self,
        instrument_key: str,
        start: int = START_OF_TIME,
        end: int = END_OF_TIME,
        channels: Sequence[str] = (),
    ) -> Iterator[Merged]:
        """Yield all that was recorded, repeats too, with source and place of each event; raise as `scan`."""
        instrument = self.instrument(instrument_key)
        days: dict[str, list[tuple[int, Source, Part]]] = {}
        for rank, source, part in self.parts(instrument.key, channels):
            if part.last >= start and part.first < end:
                days.setdefault(part.date, []).append((rank, source, part))
        for day in sorted(days):
            yield from merge(
                [Run(rank, self._groups(source, part, instrument, start, end)) for rank, source, part in days[day]]
            )

    def _groups(self, source: Source, part: Part, instrument: Instrument, start: int, end: int) -> Iterator[Group]:
        told = next(one for one in source.instruments if one.key == part.instrument_key)
        for group in read_part(self.files, part, start, end):
            _rescale(group.events, told, instrument)
            yield group


def _file_system(root: str) -> tuple[fs.FileSystem, str]:
    if "://" not in root:
        return fs.LocalFileSystem(), str(Path(root).absolute())
    try:
        filesystem, path = fs.FileSystem.from_uri(root)
    except (OSError, pa.ArrowException) as error:
        raise MissingInput(f"{root} is no place for a lake: {error}") from error
    return filesystem, path


def _listed(instruments: Sequence[Instrument]) -> str:
    keys = [instrument.key for instrument in instruments]
    return ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")


def _agreed(told: Sequence[Instrument]) -> Instrument:
    """Return what several sources say of one instrument: the newest that a venue told, on a grid that fits them all."""
    best = [one for one in told if not one.is_inferred] or list(told)
    return msgspec.structs.replace(
        best[-1],
        tick_size=_common({one.tick_size for one in told}),
        lot_size=_common({one.lot_size for one in told}),
    )


def _common(units: set[Decimal]) -> Decimal:
    if len(units) == 1:
        return next(iter(units))
    scale = Decimal(10) ** max(-int(unit.as_tuple().exponent) for unit in units)
    return Decimal(gcd(*(int(unit * scale) for unit in units))) / scale


def _rescale(events: Events, told: Instrument, instrument: Instrument) -> None:
    for columns, ratio in (
        (_PRICES, told.tick_size / instrument.tick_size),
        (_QUANTITIES, told.lot_size / instrument.lot_size),
    ):
        if ratio == 1:
            continue
        for column, kinds in columns.items():
            events[column][np.isin(events["kind"], kinds)] *= int(ratio)
    # the two parts of the takers' volume are lots, those of other ratios are shares
    if told.lot_size != instrument.lot_size:
        is_volume = (events["kind"] == Kind.RATIO) & (events["aux"] == Ratio.TAKER_VOLUME)
        for column in ("price", "qty"):
            events[column][is_volume] *= int(told.lot_size / instrument.lot_size)
