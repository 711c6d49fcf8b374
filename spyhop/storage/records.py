"""The seed's records of a session, in its exact shapes, under one folder.

    data/tensorflow_training/raw/market_snapshots_YYYYMMDD.jsonl   each second and symbol
                             raw/trade_records_YYYYMMDD.json       the same array as trades_YYYYMMDD.json
                             features/features_YYYYMMDD.npy        float64 (n, 40)
                             features/feature_names.json           columns, and the codes of texts
                             labels/labels_YYYYMMDD.npy            float64 (n, 6)
    logs/whale_paper_trader/trades_YYYYMMDD.json                   array, one trade a line (live: whale_live_trader)
                            system_YYYYMMDD_HHMMSS.log             what was said, in event time
    logs/whale_training/training_data_YYYYMMDD.csv                 40 features and 6 labels, texts as they are

Keys are the seed's in its order. What a system of several symbols must add comes after them: `symbol` (one file
holds several), and on trades `leverage` (it is an output of sizing here, so percent of margin means nothing without
it) and `funding_usdt` (net = pnl - fee - funding). Days are UTC, a trade's that of its entry. The arrays and the CSV
are written at the end of a session, from the trades whose 40 features are all known.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import utc
from spyhop.errors import SnapshotMismatch, StorageFailed
from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.model.rows import Rows
from spyhop.storage.features import (
    DIRECTION_CODES,
    FEATURES,
    LABELS,
    STRATEGY_CODES,
    FeatureBook,
    TradeRecord,
    feature_matrix,
    label_matrix,
    trade_record,
)
from spyhop.storage.files import replace, replace_durably
from spyhop.storage.snapshots import SnapshotWriter
from spyhop.storage.systemlog import SystemLog

log = logging.getLogger(__name__)

_TRADES = msgspec.json.Decoder(list[TradeRecord])


class SeedRecords:
    """Writes all records of one session under `folder`. Raises StorageFailed.

    Rows are told before the entries that were decided on them. Repeats change nothing, and after a kill a new one
    goes on where the old one was: give both what was not acknowledged again. After a power failure the features of
    trades that were open may be missing (as the last snapshots), and the session's tape makes them again.
    """

    def __init__(self, folder: Path, session: Session) -> None:
        self._folder = folder
        self._symbols = {instrument.id: instrument.symbol for instrument in session.instruments}
        self._training = folder / "data" / "tensorflow_training"
        self._logs = folder / "logs" / f"whale_{session.mode}_trader"
        self._caught = folder / ".open_features"
        self._book = FeatureBook()
        self._trades: dict[str, dict[str, bytes]] = {}  # lines of JSON by trade id, by day
        self._unwritten: set[str] = set()  # days; one stays when the disk refused it
        self._is_book_unwritten = False
        self._snapshots = SnapshotWriter(self._training / "raw", session.instruments)
        started = utc(session.started)
        self._log = SystemLog(self._logs / f"system_{started:%Y%m%d_%H%M%S}.log", session.instruments)
        try:
            self._load()
        except OSError as error:
            raise StorageFailed(str(folder), error.strerror or str(error)) from error

    def _load(self) -> None:
        if self._caught.exists():
            try:
                self._book.restore(self._caught.read_bytes())
            except SnapshotMismatch as error:
                log.warning("features of open trades are lost: %s", error)
        for path in sorted(self._logs.glob("trades_*.json")):
            trades = _TRADES.decode(path.read_bytes())
            day = path.stem.removeprefix("trades_")
            self._trades[day] = {trade.trade_id: msgspec.json.encode(trade) for trade in trades}

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        """Take judged rows, with 23 probabilities each."""
        self._book.on_rows(rows)
        self._snapshots.write(rows, probabilities)

    def append(self, entries: Sequence[Entry]) -> None:
        """Take entries: log lines, and a record of each trade that closed."""
        before = self._book.snapshot()
        for trade, caught in self._book.on_entries(entries):
            day = f"{utc(trade.ts_entry):%Y%m%d}"
            kept = self._trades.setdefault(day, {})
            if trade.trade_id not in kept:
                kept[trade.trade_id] = msgspec.json.encode(trade_record(trade, caught, self._symbols[trade.instrument]))
                self._unwritten.add(day)
        for day in sorted(self._unwritten):
            array = b"[\n" + b",\n".join(self._trades[day].values()) + b"\n]\n"
            replace_durably(self._logs / f"trades_{day}.json", array)
            replace_durably(self._training / "raw" / f"trade_records_{day}.json", array)
        self._unwritten.clear()
        after = self._book.snapshot()
        self._is_book_unwritten |= after != before
        if self._is_book_unwritten:
            # orders wait for this: it is not worth two turns of the disk
            replace(self._caught, after)
            self._is_book_unwritten = False
        self._log.append(entries)

    def close(self) -> None:
        """Write the training arrays and tables, and let the files go."""
        for day, lines in sorted(self._trades.items()):
            trades = [msgspec.json.decode(line, type=TradeRecord) for line in lines.values()]
            complete = [trade for trade in trades if trade.is_complete]
            if len(complete) < len(trades):
                log.warning("%d trades of %s lack features and are left out", len(trades) - len(complete), day)
            self._write_training(day, complete)
        names = {
            "features": FEATURES,
            "labels": LABELS,
            "strategy": STRATEGY_CODES,
            "direction": DIRECTION_CODES,
        }
        replace_durably(self._training / "features" / "feature_names.json", _formatted(names))
        self._snapshots.close()
        self._log.close()

    def _write_training(self, day: str, trades: Sequence[TradeRecord]) -> None:
        replace_durably(self._training / "features" / f"features_{day}.npy", _npy(feature_matrix(trades)))
        replace_durably(self._training / "labels" / f"labels_{day}.npy", _npy(label_matrix(trades)))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([*FEATURES, *LABELS])
        table.writerows([*trade.features(), *trade.labels()] for trade in trades)
        path = self._folder / "logs" / "whale_training" / f"training_data_{day}.csv"
        replace_durably(path, text.getvalue().encode())


def _npy(array: npt.NDArray[np.float64]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _formatted(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"
