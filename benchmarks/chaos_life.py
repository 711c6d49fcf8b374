"""What every life of a chaos run knows: its job, and a fuse that ends it at a point it was told of."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec

from benchmarks.chaos_script import Kill, Script
from spyhop.wiring.plan import SessionPlan


class Job(msgspec.Struct, frozen=True):
    """What a life is about: the run, the keys of its test account, and when its session ends, market seconds."""

    plan: SessionPlan
    script: Script
    api_key: str
    api_secret: str
    kill: Kill | None
    end_s: float

    @property
    def socket(self) -> str:
        """Return where the ledger listens."""
        return str(self.plan.folder / "l")


class Fuse:
    """Ends this process at the wanted passing of one point."""

    def __init__(self, kill: Kill | None, folder: Path) -> None:
        self._kill, self._left, self._folder = kill, kill.nth if kill else 0, folder

    def passing(self, point: str) -> None:
        """Die here if this is the passing."""
        if self._is_due(point):
            self.blow()

    def soon(self, point: str) -> None:
        """Die a little later if this is the passing."""
        if self._kill is not None and self._is_due(point):
            asyncio.get_running_loop().call_later(self._kill.after_s, self.blow)

    def _is_due(self, point: str) -> bool:
        if self._kill is None or self._kill.point != point:
            return False
        self._left -= 1
        return self._left == 0

    def blow(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def complain_into(path: Path) -> None:
    """Let what is logged and what a failure says go to a file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 2)
    os.close(file)
