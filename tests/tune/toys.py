"""Objectives small enough to be understood, for tests of the sweep; workers import them by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import ray

from spyhop.research.objectives.objective import Arrays, Evaluated

NUM_PERIODS = 24


def prices(seed: int = 0, count: int = 2_400) -> dict[str, npt.NDArray[Any]]:
    """Return a driftless tape."""
    return {"returns": np.random.default_rng(seed).normal(0.0, 0.001, count)}


class Momentum(msgspec.Struct, frozen=True):
    """Holds the next return's side after a return beyond `lead.fall_frac`; slow by `seconds` a setting if asked.

    A setting with `lead.rise_frac` above `raises_above` raises, one above `kills_above` kills its process; with `once`
    the first process that is given more than one setting dies, and leaves that file. Each call adds a line to `log`:
    the node, how many settings, whether the tape is read-only, and where it lies.
    """

    num_periods: int = NUM_PERIODS
    seconds: float = 0.0
    raises_above: float = np.inf
    kills_above: float = np.inf
    once: str = ""
    log: str = ""

    @property
    def name(self) -> str:
        return "momentum"

    @property
    def paths(self) -> Sequence[str]:
        return ("lead.fall_frac", "lead.rise_frac", "lead.direction")

    def periods(self, arrays: Arrays) -> npt.NDArray[Any]:
        return np.arange(self.num_periods, dtype=np.int64) * 3_600_000_000_000

    def evaluate(self, arrays: Arrays, names: Sequence[str], settings: npt.NDArray[Any]) -> Evaluated:
        rise = settings[:, list(names).index("lead.rise_frac")]
        fall = settings[:, list(names).index("lead.fall_frac")]
        self._note(arrays, len(rise))
        self._misbehave(rise)
        time.sleep(self.seconds * len(settings))
        returns = arrays["returns"]
        pnl = np.zeros((len(settings), self.num_periods), np.float32)
        num_trades = np.zeros(len(settings), np.int32)
        for row in range(len(settings)):
            side = (returns[:-1] > rise[row]).astype(float) - (returns[:-1] < -fall[row])
            earned = np.concatenate(([0.0], side * returns[1:]))
            pnl[row] = earned.reshape(self.num_periods, -1).sum(axis=1)
            num_trades[row] = np.count_nonzero(side)
        return Evaluated(pnl, num_trades)

    def _note(self, arrays: Arrays, count: int) -> None:
        if self.log:
            tape = arrays["returns"]
            node = ray.get_runtime_context().get_node_id()
            with Path(self.log).open("a") as file:
                file.write(f"{node} {count} {tape.flags.writeable} {_file_of(tape.ctypes.data)}\n")

    def _misbehave(self, rise: npt.NDArray[Any]) -> None:
        if (rise > self.kills_above).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (rise > self.raises_above).any():
            raise ValueError("above what this objective can bear")
        if self.once and len(rise) > 1:
            try:
                Path(self.once).touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)


def _file_of(address: int) -> str:
    """Return what is mapped at `address` of this process: a file's name, or - ."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, *_, name = line.split(maxsplit=5) if line.count(" ") > 4 else (line.split()[0], "-")
        first, last = (int(part, 16) for part in span.split("-"))
        if first <= address < last:
            return name.strip().replace(" ", "_") or "-"
    return "-"


def grid(count: int) -> npt.NDArray[np.float64]:
    """Return `count` settings of (lead.fall_frac, lead.rise_frac)."""
    steps = np.linspace(0.0001, 0.003, count)
    return np.column_stack((steps, steps[::-1]))


NAMES = ("lead.fall_frac", "lead.rise_frac")
