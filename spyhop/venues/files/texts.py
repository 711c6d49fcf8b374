"""Small text files of other collectors: funding histories, forced orders, large trades.

None of them has a header that says its units, so each line is checked field by field with exact decimals.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from spyhop.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS
from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Flag, Kind, Side, Venue
from spyhop.venues import catalogue
from spyhop.venues.catalogue import NONE_KNOWN, Known
from spyhop.venues.files.blocks import line_blocks
from spyhop.venues.files.chunks import MAX_ROWS_PER_LINE, Chunk, SetAside, by_channel

_FUNDING = re.compile(rb"Symbol,Date,Funding Rate\r?\n")
_FORCED = re.compile(rb"[A-Z0-9]+,(?:BUY|SELL),[A-Z_]+,[A-Z]+,[\d.]+,[\d.]+,[\d.]+,[A-Z_]+,[\d.]+,[\d.]+,\d{13},")
_LARGE = re.compile(rb"\d{13}, ?[A-Z0-9]+, ?\d+, ?[\d.]+, ?[\d.]+, ?\d{13}, ?(?:True|False)\r?\n")
_CLOCK_TIME = re.compile(r"\d\d:\d\d:\d\d")  # what some sessions wrote, in an unknown zone
_SYMBOL = re.compile(r"[A-Z0-9]{1,20}")
_LINES_PER_CHUNK = 1 << 16
_LOCAL_HOURS = {3, 11, 19}  # Binance pays at 0, 8 and 16 h UTC; some collectors stamp UTC+3
_EARLIEST, _LATEST = 1_000_000_000_000, 4_100_000_000_000  # ms

Fields = list[str]
Row = Callable[[Fields], Events]


class _Bad(Exception):
    """Why a line cannot be used."""


def is_text(start: bytes) -> bool:
    """Return whether content that begins with `start` is one of these formats."""
    return any(pattern.match(start) for pattern in (_FUNDING, _FORCED, _LARGE))


def read(path: Path, venue: Venue | None = None, known: Known = NONE_KNOWN) -> Iterator[Chunk]:
    """Yield the chunks of a funding history, a list of forced orders or of large trades.

    Forced orders and large trades are Binance USDT-M. A forced order's prices are taken to the nearest tick (the
    bankruptcy price and the average lie on no grid), its quantity is what was filled, and its receive time is the
    venue's, because the file has no other. A large trade that tells only a clock time has our time as `ts_event`.
    Raises MissingInput when the file is none of these.
    """
    damages: list[str] = []
    lines = [line for block in line_blocks(path, damages.append) for line in block.splitlines()]
    start = b"\n".join(lines[:1]) + b"\n"
    if _FUNDING.match(start):
        yield from _funding(path, lines, venue, known)
    elif _FORCED.match(start):
        yield from _many(lines, known, venue or Venue.BINANCE_USDM, 12, 0, _forced, (5, 6), (4, 8, 9), ())
    elif _LARGE.match(start):
        notes: tuple[str, ...] = ("trades above a size only: volumes are lower bounds",)
        num_clocks = sum(_CLOCK_TIME.search(line.decode("latin-1")) is not None for line in lines)
        if num_clocks:
            notes += (f"{num_clocks} lines tell a clock time only: their ts_event is our time",)
        yield from _many(lines, known, venue or Venue.BINANCE_USDM, 7, 1, _large, (3,), (4,), notes)
    else:
        raise MissingInput(f"{path} is no funding history, no list of forced orders and no list of large trades")
    if damages:
        yield Chunk(
            instrument=None,
            channel="",
            first_line=len(lines) + 1,
            last_line=len(lines),
            quarantined=(SetAside(len(lines) + 1, damages[0], b""),),
        )


def _funding(path: Path, lines: list[bytes], venue: Venue | None, known: Known) -> Iterator[Chunk]:
    is_dydx = "dydx" in path.name.lower() or venue in {Venue.DYDX, Venue.DYDX_V3}
    interval = NS_PER_HOUR if is_dydx else 8 * NS_PER_HOUR
    hours = {int(found[1]) for line in lines[1:200] if (found := re.search(rb" (\d\d):", line))}
    is_local = not is_dydx and bool(hours) and hours <= _LOCAL_HOURS
    shift = 3 * NS_PER_HOUR if is_local else 0
    at = venue or (Venue.DYDX_V3 if is_dydx else Venue.BINANCE_USDM)

    def row(fields: Fields) -> Events:
        rate = _decimal(fields[2]) * 10**12
        if abs(rate) >= 10**12 or rate != int(rate):
            raise _Bad("rate out of range")
        event = np.zeros(1, EVENT)
        event["kind"], event["flags"] = Kind.FUNDING, Flag.SETTLED
        event["ts_event"] = event["ts_recv"] = event["id"] = _date_ns(fields[1]) - shift
        event["aux"], event["aux2"] = int(rate), interval
        return event

    def instrument(name: str) -> Instrument:
        base, _, quote = name.partition("-")
        symbol = f"{base}-USD" if is_dydx else f"{base}{quote}"
        return catalogue.find(at, symbol, known) or catalogue.inferred(at, symbol, 8, 8)

    notes = ("stamps are UTC+3: shifted by -3 h",) if is_local else ()
    yield from _parsed(lines, 3, 0, instrument, lambda _: row, notes)


def _many(
    lines: list[bytes],
    known: Known,
    venue: Venue,
    num_fields: int,
    symbol_field: int,
    row_of: Callable[[Instrument], Row],
    prices: tuple[int, ...],
    quantities: tuple[int, ...],
    notes: tuple[str, ...],
) -> Iterator[Chunk]:
    split = [fields for line in lines if len(fields := _fields(line)) == num_fields]

    def instrument(name: str) -> Instrument:
        symbol = name if name.endswith(("USDT", "USDC", "BUSD")) else f"{name}USDT"
        found = catalogue.find(venue, symbol, known)
        if found is not None:
            return found
        mine = [fields for fields in split if fields[symbol_field] in {name, symbol}]
        return catalogue.inferred(venue, symbol, _decimals(mine, prices), _decimals(mine, quantities))

    yield from _parsed(lines, num_fields, symbol_field, instrument, row_of, notes)


def _parsed(
    lines: list[bytes],
    num_fields: int,
    symbol_field: int,
    instrument_of: Callable[[str], Instrument],
    row_of: Callable[[Instrument], Row],
    notes: tuple[str, ...],
) -> Iterator[Chunk]:
    instruments: dict[str, Instrument] = {}  # by symbol
    known: dict[str, Instrument] = {}  # by name in the file
    for start in range(0, len(lines), _LINES_PER_CHUNK):
        rows: list[Events] = []
        positions: list[int] = []
        quarantined: list[SetAside] = []
        ignored: Counter[str] = Counter()
        for number, line in enumerate(lines[start : start + _LINES_PER_CHUNK], start + 1):
            if not line.strip():
                ignored["blank line"] += 1
                continue
            if number == 1 and line.startswith(b"Symbol,"):
                ignored["header"] += 1
                continue
            try:
                fields = _fields(line)
                if len(fields) != num_fields:
                    raise _Bad("wrong number of fields")
                name = fields[symbol_field]
                if name not in known:
                    instrument = instrument_of(_checked(name))
                    known[name] = instruments.setdefault(instrument.symbol, instrument.numbered(len(instruments)))
                event = row_of(known[name])(fields)
            except _Bad as bad:
                quarantined.append(SetAside(number, str(bad), line))
                continue
            event["venue"], event["instrument"] = known[name].venue, known[name].id
            rows.append(event)
            positions.append(number * MAX_ROWS_PER_LINE)
        yield from by_channel(
            np.concatenate(rows) if rows else np.zeros(0, EVENT),
            np.array(positions, np.int64),
            list(instruments.values()),
            first_line=start + 1,
            last_line=min(start + _LINES_PER_CHUNK, len(lines)),
            quarantined=tuple(quarantined),
            ignored=dict(ignored),
            notes=notes if start == 0 else (),
        )


def _forced(instrument: Instrument) -> Row:
    def row(fields: Fields) -> Events:
        event = np.zeros(1, EVENT)
        event["kind"] = Kind.LIQUIDATION
        event["side"] = _side(fields[1])
        event["ts_event"] = event["ts_recv"] = _ms(fields[10])
        event["price"] = _nearest_tick(instrument, fields[5])
        event["aux"] = _nearest_tick(instrument, fields[6])
        event["qty"] = _lots(instrument, fields[9])
        return event

    return row


def _large(instrument: Instrument) -> Row:
    def row(fields: Fields) -> Events:
        event = np.zeros(1, EVENT)
        event["kind"] = Kind.TRADE
        event["ts_recv"] = _ms(fields[0])
        event["ts_event"] = event["ts_recv"] if _CLOCK_TIME.fullmatch(fields[5]) else _ms(fields[5])
        event["price"] = _ticks(instrument, fields[3])
        event["qty"] = _lots(instrument, fields[4])
        if not fields[2].isdecimal() or len(fields[2]) > 18:
            raise _Bad("trade id is not a number")
        event["id"] = int(fields[2])
        if fields[6] not in {"True", "False"}:
            raise _Bad("neither True nor False")
        event["side"] = Side.SELL if fields[6] == "True" else Side.BUY
        return event

    return row


def _fields(line: bytes) -> Fields:
    return [field.strip() for field in line.decode("utf-8", "replace").split(",")]


def _checked(name: str) -> str:
    if _SYMBOL.fullmatch(name.replace("-", "")) is None:
        raise _Bad("symbol cannot be one")
    return name


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _Bad("not a number") from None
    if not number.is_finite():
        raise _Bad("not a number")
    return number


def _decimals(rows: list[Fields], columns: tuple[int, ...]) -> int:
    numbers = [fields[k].rstrip("0") if "." in fields[k] else fields[k] for fields in rows for k in columns]
    return max((len(number.partition(".")[2]) for number in numbers), default=0)


def _positive(text: str) -> Decimal:
    number = _decimal(text)
    if not 0 < number < 10**12:
        raise _Bad("price or quantity not positive")
    return number


def _ticks(instrument: Instrument, text: str) -> int:
    try:
        return instrument.to_ticks(_positive(text))
    except ValueError:
        raise _Bad("price off the instrument's grid") from None


def _nearest_tick(instrument: Instrument, text: str) -> int:
    return max(1, round(_positive(text) / instrument.tick_size))


def _lots(instrument: Instrument, text: str) -> int:
    return max(1, round(_positive(text) / instrument.lot_size))


def _side(text: str) -> Side:
    if text not in Side.__members__ or text == "NONE":
        raise _Bad("neither BUY nor SELL")
    return Side[text]


def _ms(text: str) -> int:
    if not text.isdecimal() or not _EARLIEST <= int(text) < _LATEST:
        raise _Bad("time out of range")
    return int(text) * NS_PER_MS


def _date_ns(text: str) -> int:
    try:
        at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise _Bad("not a date") from None
    days = (at - datetime(1970, 1, 1, tzinfo=UTC)).days
    in_day = at.hour * 3600 + at.minute * 60 + at.second
    return days * NS_PER_DAY + in_day * 1_000_000_000 + at.microsecond * 1000
