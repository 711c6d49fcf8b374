"""Batches of a sweep on disk: a batch counts once its file is whole, and a file is either whole or not there.

    <sweep>/batches/000000000-000000512.npz    what the settings 0 to 511 earned

What a killed driver had written is read again; only the gaps between are evaluated.
"""

from __future__ import annotations

import fcntl
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.errors import UserError
from spyhop.storage.files import replace_durably


class Batch(NamedTuple):
    """What the settings from number `first` on earned, and why those that failed did, by their number in the batch."""

    first: int
    pnl: npt.NDArray[np.float32]
    num_trades: npt.NDArray[np.int32]
    failures: dict[int, str]

    @property
    def stop(self) -> int:
        """Return the number after the last."""
        return self.first + len(self.pnl)


class Batches:
    """The batches of one sweep in a folder of their own; one process at a time writes there.

    Raises UserError when another one does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise UserError(f"another process is sweeping into {folder.parent}; wait for it or stop it") from None

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._lock)

    def keep(self, batch: Batch) -> None:
        """Write a batch durably; raise StorageFailed."""
        reasons = msgspec.json.encode(batch.failures)
        written = io.BytesIO()
        np.savez(written, pnl=batch.pnl, num_trades=batch.num_trades, failures=np.frombuffer(reasons, np.uint8))
        replace_durably(self.folder / f"{batch.first:09d}-{batch.stop:09d}.npz", written.getvalue())

    def kept(self, num_periods: int) -> Iterator[Batch]:
        """Yield what was kept, by number; a file that cannot be read back, or repeats settings, is removed."""
        reached = 0
        for path in sorted(self.folder.glob("*.npz")):
            batch = _read(path)
            if batch is None or batch.first < reached or batch.pnl.shape[1:] != (num_periods,):
                path.unlink()
                continue
            reached = batch.stop
            yield batch


def _read(path: Path) -> Batch | None:
    first, _, stop = path.stem.partition("-")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            pnl: Any = file["pnl"]
            num_trades: Any = file["num_trades"]
            failures = msgspec.json.decode(file["failures"].tobytes(), type=dict[int, str])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.DecodeError):
        return None
    whole = first.isdigit() and len(pnl) == len(num_trades) == int(stop) - int(first)
    return Batch(int(first), pnl, num_trades, failures) if whole else None
