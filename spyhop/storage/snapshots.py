"""One line of JSON for each second and instrument: the seed's market snapshots, rolled by UTC day.

The keys are the seed's in its order; `symbol` is added as the last, because one file holds several instruments.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import iso_ms
from spyhop.errors import StorageFailed
from spyhop.model.decisions import STRATEGIES
from spyhop.model.instruments import Instrument
from spyhop.model.rows import DETECTORS, EVIDENCE_FIELDS, ROW, RowFlag, Rows

_EVIDENCE_COLUMNS = [
    EVIDENCE_FIELDS.index(name)
    for name in ("tfi", "big_trade_count", "big_buy_volume", "big_sell_volume", "big_buy_value", "big_sell_value")
]
_ROW: Any = ROW
_OBI = _ROW["detections"].subdtype[0].itemsize * DETECTORS.index("obi")
_LAYOUT: dict[str, Any] = {
    "last": ("f8", _ROW.fields["last"][1]),
    "mid": ("f8", _ROW.fields["mid"][1]),
    "obi": ("f8", _ROW.fields["detections"][1] + _OBI),  # a detection begins with its value
    "evidence": (("f8", (len(EVIDENCE_FIELDS),)), _ROW.fields["evidence"][1]),
    "whole": (f"V{ROW.itemsize}", 0),
}
_NUMBERS = np.dtype(_LAYOUT)  # type: ignore[call-overload]
_DECIMALS = 6
_BLOCK_BYTES = 1 << 20


class Snapshot(msgspec.Struct, frozen=True):
    """One line. `price` is the last trade's, or the mid before any; volumes are base currency, values quote."""

    timestamp: str
    price: float
    obi: float
    trade_imbalance: float
    big_trade_count: int
    big_buy_volume: float
    big_sell_volume: float
    big_buy_value: float
    big_sell_value: float
    strategy_probs: dict[str, float]
    symbol: str


class _Key(msgspec.Struct, frozen=True):
    timestamp: str
    symbol: str


_KEY = msgspec.json.Decoder(_Key)


class SnapshotWriter:
    """Appends snapshots to `folder`/market_snapshots_YYYYMMDD.jsonl.

    Opening it cuts a torn last line; rows that are there already are not written again. Lines survive a killed
    process; after a power failure the last seconds may be missing, and the session's tape makes them again. Raises
    StorageFailed.
    """

    def __init__(self, folder: Path, instruments: Sequence[Instrument]) -> None:
        self._folder = folder
        self._symbols = {instrument.id: instrument.symbol for instrument in instruments}
        self._digits = {instrument.id: _digits(instrument) for instrument in instruments}
        self._day = ""
        self._file = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.num_bytes_cut = _mend(self._paths())
            self._last = self._newest()
        except OSError as error:
            raise StorageFailed(str(folder), error.strerror or str(error)) from error

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("market_snapshots_*.jsonl"))

    # the newest time that is there of each symbol
    def _newest(self) -> dict[str, str]:
        last: dict[str, str] = {}
        missing = set(self._symbols.values())
        for path in reversed(self._paths()):
            for line in _lines_backward(path):
                key = _KEY.decode(line)
                last.setdefault(key.symbol, key.timestamp)
                missing.discard(key.symbol)
                if not missing:
                    return last
        return last

    def write(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        """Write the rows of whole seconds that are new; `probabilities` has shape (len(rows), 23)."""
        is_second = (rows["flags"] & int(RowFlag.SECOND)) != 0
        if not is_second.all():
            rows, probabilities = rows[is_second], probabilities[is_second]
        lines: list[bytes] = []
        newest: dict[str, str] = {}
        for snapshot in self._snapshots(rows, probabilities):
            if (newest.get(snapshot.symbol) or self._last.get(snapshot.symbol, "")) >= snapshot.timestamp:
                continue
            day = snapshot.timestamp[:10]
            if day != self._day:
                self._flush(lines, newest)
                self._roll(day)
            newest[snapshot.symbol] = snapshot.timestamp
            lines.append(msgspec.json.encode(snapshot))
        self._flush(lines, newest)

    def _snapshots(self, rows: Rows, probabilities: npt.NDArray[Any]) -> Iterator[Snapshot]:
        numbers = np.concatenate([_numbers(rows), probabilities], axis=1).round(_DECIMALS).tolist()
        for row, ts, instrument in zip(numbers, rows["ts"].tolist(), rows["instrument"].tolist(), strict=True):
            last, mid, obi, imbalance, count, buy, sell, bought, sold, *shares = row
            yield Snapshot(
                iso_ms(ts),
                round(last if last > 0.0 else mid, self._digits[instrument]),
                obi,
                imbalance,
                int(count),
                buy,
                sell,
                bought,
                sold,
                dict(zip(STRATEGIES, shares, strict=True)),
                self._symbols[instrument],
            )

    def _roll(self, day: str) -> None:
        self.close()
        path = self._folder / f"market_snapshots_{day.replace('-', '')}.jsonl"
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageFailed(str(path), error.strerror or str(error)) from error
        self._day = day

    def _flush(self, lines: list[bytes], newest: dict[str, str]) -> None:
        if not lines:
            return
        start = os.fstat(self._file).st_size
        text = memoryview(b"\n".join(lines) + b"\n")
        try:
            while text:
                text = text[os.write(self._file, text) :]
        except OSError as error:
            os.ftruncate(self._file, start)
            raise StorageFailed(str(self._folder), error.strerror or str(error)) from error
        self._last |= newest
        lines.clear()

    def close(self) -> None:
        """Put everything on the disk and let the file go."""
        if self._file < 0:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            raise StorageFailed(str(self._folder), error.strerror or str(error)) from error
        finally:
            os.close(self._file)
            self._file, self._day = -1, ""


# a view instead of a look-up a field: rows come one or two at a time, and each look-up costs microseconds
def _numbers(rows: Rows) -> npt.NDArray[np.float64]:
    view = rows.view(_NUMBERS)
    numbers: npt.NDArray[np.float64] = np.empty((len(rows), 3 + len(_EVIDENCE_COLUMNS)))
    numbers[:, 0] = view["last"]
    numbers[:, 1] = view["mid"]
    numbers[:, 2] = view["obi"]
    numbers[:, 3:] = view["evidence"][:, _EVIDENCE_COLUMNS]
    return numbers


# a mid lies half way between two ticks, so one digit more than a tick has
def _digits(instrument: Instrument) -> int:
    exponent = instrument.tick_size.normalize().as_tuple().exponent
    return max(0, -exponent if isinstance(exponent, int) else 0) + 1


def _mend(paths: list[Path]) -> int:
    if not paths:
        return 0
    with paths[-1].open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)
        return size - end


def _lines_backward(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail = b""
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            file.seek(start)
            block = file.read(end - start) + tail
            head, *lines = block.split(b"\n")
            yield from (line for line in reversed(lines) if line)
            tail, end = head, start
        if tail:
            yield tail
