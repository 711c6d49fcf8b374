"""Frames of one symbol's sockets to rows of the tape, by the compiled decoder of captures.

A batch of frames becomes lines of `receive time, space, frame` and is decoded by one call. What that decoder leaves is
looked at here: tickers, partial books and arrays are read, answers and other frames are told by what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Raw

from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Kind
from spyhop.venues import catalogue
from spyhop.venues.binance import fields, lines, rows, wire
from spyhop.venues.binance.account_wire import ACCOUNT_EVENTS
from spyhop.venues.binance.capture import IGNORED, REASONS
from spyhop.venues.binance.endpoints import PARTIAL_BOOKS
from spyhop.venues.decimals import BAD_JSON, Ints
from spyhop.venues.files.chunks import MAX_ROWS_PER_LINE
from spyhop.venues.net.transport import Frame

OTHER_SYMBOL = "frame of another symbol"
NOT_TEXT = "not valid UTF-8"
UNKNOWN = "frame of an unknown kind"
UNREADABLE = "a field is missing or of another type"
ANSWER = "answer to a request"
EMPTY_ARRAY = "array of nothing"
SHUTDOWN = "the server is about to close"

_OUT_ROWS = 1 << 15
_WORDS = EVENT.itemsize // 8
_ASIDE_ROWS = 1 << 8
_UNUSED = frozenset(
    {
        "24hrMiniTicker",
        "1hTicker",
        "4hTicker",
        "1dTicker",
        "avgPrice",
        "continuous_kline",
        "compositeIndex",
        "contractInfo",
        "assetIndexUpdate",
        "GRID_UPDATE",
        "STRATEGY_UPDATE",
        "USER_LIABILITY_CHANGE",
        "MARGIN_LEVEL_STATUS_CHANGE",
        "eventStreamTerminated",
        "externalLockUpdate",
    }
)
_OF_ANOTHER = -1  # beside the decoder's reasons

_envelopes = msgspec.json.Decoder(wire.Envelope)
_partial_books = msgspec.json.Decoder(wire.PartialBook)
_partial_depths = msgspec.json.Decoder(wire.PartialDepth)
_tickers = msgspec.json.Decoder(wire.Ticker)
_arrays = msgspec.json.Decoder(list[Raw])
_UNREADABLE = (ValueError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Read(NamedTuple):
    """What frames came to: rows, the kinds among them, what could not be read, and what was understood and left out."""

    events: Events
    kinds: frozenset[int] = frozenset()
    set_aside: tuple[tuple[str, bytes], ...] = ()
    ignored: tuple[str, ...] = ()


class FrameDecoder:
    """Turns frames about `instrument` into rows under its number; frames about others are told and left out.

    With `prefers_trades` the tape is made of `trade` frames, without it of `aggTrade` frames.
    """

    def __init__(self, instrument: Instrument, *, prefers_trades: bool = False) -> None:
        self.instrument = instrument
        self._venue = int(instrument.venue)
        self._prefers_trades = int(prefers_trades)
        self._symbols = _table_of(instrument)
        self._grid = self._symbols.grids[0]
        self._spans = lines.work_spans()
        self._aside = np.zeros((_ASIDE_ROWS, 6), np.int64)
        self._cursor = np.zeros(8, np.int64)
        self._reserve(_OUT_ROWS)

    def read(self, frames: Sequence[Frame]) -> Read:
        """Return the rows of `frames` in their order; never raises for what a frame holds."""
        text = b"".join([b"%d %b\n" % frame for frame in frames])
        if text.isascii():
            if self._run(text) == lines.FINISHED and self._num_aside == 0 and self._line == len(frames):
                events, kinds = self._taken()
                return Read(events, kinds)
            if text.count(b"\n") == len(frames):
                return self._rest(text, frames, {})
        clean, broken = _one_line_each(frames)
        text = b"".join(clean)
        self._run(text)
        return self._rest(text, frames, broken)

    def _rest(self, text: bytes, frames: Sequence[Frame], broken: dict[int, str]) -> Read:
        """Finish what `_run` has begun, and look at what it left."""
        pieces: list[Events] = []
        places: list[Ints] = []
        asides: list[tuple[int, int]] = []
        kinds: frozenset[int] = frozenset()
        while True:
            num_rows = self._num_rows
            places.append(self._positions[:num_rows] // MAX_ROWS_PER_LINE)
            piece, of_piece = self._taken()
            pieces.append(piece)
            kinds |= of_piece
            asides += self._aside[: self._num_aside, :2].tolist()
            at, line, why = self._at, self._line, self._why
            if why == lines.FINISHED:
                break
            if why == lines.NEW_SYMBOL:
                asides.append((line, _OF_ANOTHER))
                at, line = text.index(b"\n", at) + 1, line + 1
            elif why == lines.OUT_FULL and num_rows == 0:
                self._reserve((text.index(b"\n", at) - at) // lines.MIN_LEVEL_BYTES + 8)
            self._run(text, at, line)
        set_aside: list[tuple[str, bytes]] = []
        ignored: list[str] = []
        for index, reason in asides:
            read = self._by_hand(frames[index], reason, broken.get(index, ""))
            pieces.append(read.events)
            places.append(np.full(len(read.events), index, np.int64))
            set_aside += read.set_aside
            kinds |= read.kinds
            ignored += read.ignored
        events = np.frombuffer(bytearray().join(piece.data for piece in pieces), EVENT)
        if asides:
            order = np.argsort(np.concatenate(places), kind="stable")
            events = events.view(np.int64).reshape(-1, _WORDS)[order].view(EVENT).reshape(-1)
        return Read(events, kinds, tuple(set_aside), tuple(ignored))

    def _by_hand(self, frame: Frame, reason: int, broken: str) -> Read:
        if reason == _OF_ANOTHER:
            return _ignored(OTHER_SYMBOL)
        data = frame.data
        try:
            if broken:
                return _set_aside(broken, data)
            if reason == lines.PARTIAL_BOOK:
                return self._partial_book(frame)
            if reason == lines.OTHER_TYPE or (reason == BAD_JSON and data.lstrip()[:1] == b"["):
                return self._other(frame)
        except _UNREADABLE:
            return _set_aside(UNREADABLE, data)
        if reason < lines.IGNORED_FROM:
            return _set_aside(REASONS[reason], data)
        return _ignored(IGNORED[reason])

    def _other(self, frame: Frame) -> Read:
        if frame.data.lstrip()[:1] == b"[":
            return self._array(frame, frame.data)
        told = _envelopes.decode(frame.data)
        inner = bytes(told.data)
        if inner[:1] == b"[":
            return self._array(frame, inner)
        if inner[:1] == b"{":
            kind = _envelopes.decode(inner).kind
        else:
            inner, kind = frame.data, told.kind or ("account event" if bytes(told.event) else "")
        if kind == "24hrTicker":
            ticker = _tickers.decode(inner)
            if ticker.symbol != self.instrument.symbol:
                return _ignored(OTHER_SYMBOL)
            row = rows.ticker(self.instrument, frame.ts_recv, ticker)
            return Read(row, frozenset((int(Kind.TICKER),)))
        if kind == "serverShutdown":
            return _ignored(SHUTDOWN)
        if kind in ACCOUNT_EVENTS or kind in _UNUSED or kind == "account event":
            return _ignored(f"frame {kind}")
        if told.refusal is not None:
            return _set_aside(f"the venue refused a request ({told.refusal.code})", frame.data)
        if not kind and (told.id is not None or bytes(told.result)):
            return _ignored(ANSWER)
        return _set_aside(UNKNOWN, frame.data)

    def _array(self, frame: Frame, array: bytes) -> Read:
        """Read the elements of `array` as frames that came with `frame`."""
        elements = [Frame(frame.ts_recv, bytes(element)) for element in _arrays.decode(array)]
        if not elements:
            return _ignored(EMPTY_ARRAY)
        if any(element.data[:1] != b"{" for element in elements):
            return _set_aside(UNREADABLE, frame.data)
        return self.read(elements)

    def _partial_book(self, frame: Frame) -> Read:
        """Read the best levels as a snapshot: they replace what was known."""
        told = _envelopes.decode(frame.data)
        if told.stream.partition("@")[2].partition("@")[0] not in PARTIAL_BOOKS:
            return _ignored(IGNORED[lines.PARTIAL_BOOK])
        data = bytes(told.data)
        if b'"lastUpdateId"' in data:
            book = _partial_books.decode(data)
            body = b'{"lastUpdateId":%b,"bids":%b,"asks":%b}' % (book.last_id, book.bids, book.asks)
        else:
            depth = _partial_depths.decode(data)
            body = b'{"lastUpdateId":%b,"E":%b,"T":%b,"bids":%b,"asks":%b}' % (
                depth.last_id, depth.ts_sent, depth.ts_event, depth.bids, depth.asks,
            )  # fmt: skip
        read = self.read([Frame(frame.ts_recv, body)])
        return read if len(read.events) else _set_aside(read.set_aside[0][0], frame.data)

    def _run(self, text: bytes, at: int = 0, line: int = 0) -> int:
        """Decode the lines of `text` from `at` on into the work arrays; return why it stopped."""
        cursor = self._cursor
        cursor[lines.AT], cursor[lines.LINE] = at, line
        self._grid[fields.HAS_TRADES] = self._prefers_trades
        buf = np.frombuffer(text, np.uint8)
        lines.decode_lines(
            buf, len(buf), self._venue, 0, self._symbols, self._spans, self._out, self._positions, self._aside,
            MAX_ROWS_PER_LINE, cursor,
        )  # fmt: skip
        self._at, self._line, self._num_rows, self._num_aside, self._why = cursor[:5].tolist()
        return int(self._why)

    def _taken(self) -> tuple[Events, frozenset[int]]:
        # a copy of bytes: copying rows of 13 fields costs NumPy five times as much
        memory = bytearray(self._memory[: self._num_rows * EVENT.itemsize])
        kinds = []
        others = bytes(memory[:: EVENT.itemsize])
        while others:  # a turn for each kind, not for each row
            kinds.append(others[0])
            others = others.translate(None, bytes(others[:1]))
        return np.frombuffer(memory, EVENT), frozenset(kinds)

    def _reserve(self, num_rows: int) -> None:
        memory = np.zeros((num_rows + 1) * EVENT.itemsize, np.uint8)
        start = -memory.ctypes.data % EVENT.itemsize  # a row is a line of the processor's cache, and lies in one
        memory = memory[start : start + num_rows * EVENT.itemsize]
        self._memory = memory.data
        self._out = memory.view(np.int64).reshape(-1, _WORDS)
        self._positions = np.zeros(num_rows, np.int64)


def _one_line_each(frames: Sequence[Frame]) -> tuple[list[bytes], dict[int, str]]:
    """Return one line for each frame, and by index why a frame was kept out of the decoder."""
    # inside a string a line feed is as wrong as the carriage return that takes its place; between tokens both are space
    clean: list[bytes] = []
    broken: dict[int, str] = {}
    for index, (ts_recv, data) in enumerate(frames):
        try:
            str(data, "utf-8")
        except UnicodeDecodeError:
            broken[index], data = NOT_TEXT, b""
        clean.append(b"%d %b\n" % (ts_recv, data.replace(b"\n", b"\r")))
    return clean, broken


def _set_aside(reason: str, frame: bytes) -> Read:
    return Read(_NO_EVENTS, set_aside=((reason, frame),))


def _ignored(reason: str) -> Read:
    return Read(_NO_EVENTS, ignored=(reason,))


_NO_EVENTS = np.zeros(0, EVENT)


def _table_of(instrument: Instrument) -> lines.Symbols:
    name = instrument.symbol.encode()
    table = lines.Symbols(
        np.zeros((4, lines.MAX_SYMBOL), np.uint8),
        np.zeros(4, np.int64),
        np.zeros((4, 8), np.int64),
        np.zeros(16, np.int64),
    )
    table.names[0, : len(name)] = np.frombuffer(name, np.uint8)
    table.lengths[0] = len(name)
    table.grids[0] = (
        *catalogue.decimals_of(instrument.tick_size),
        *catalogue.decimals_of(instrument.lot_size),
        0,
        0,
        instrument.id,
        0,
    )
    lines.add_symbol(0, table)
    return table
