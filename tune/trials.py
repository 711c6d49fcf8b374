"""The ledger of trials: how many settings were ever looked at on which recordings, and which final periods are open.

Whoever looks at many settings finds a good one by luck; how good, depends on how many were looked at, by anybody, ever.
So every sweep says here what it looks at, and the best setting is judged by the sum. One line of JSON a fact, appended
with fsync under a lock; a torn last line was never acknowledged and is cut off.

A sweep's id is a digest of all that decides its trials: the same sweep run again is the same trials. Two sweeps share
data when they share a recording, so a lake that grew is not a new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from spyhop.errors import JournalDamaged, StorageFailed, UserError

LEDGER_FILE = "trials.jsonl"


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag="sweep"):
    """A sweep begins to look at `data`, the digests of the recordings it reads. Times are ns UTC."""

    sweep: str
    objective: str
    data: tuple[str, ...]
    ts: int


class Looked(msgspec.Struct, frozen=True, kw_only=True, tag="batch"):
    """The settings `first` to `first + count - 1` of a sweep were evaluated."""

    sweep: str
    first: int
    count: int


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The final period of `data`, which begins at `since`, was looked at with one `setting`."""

    sweep: str
    data: tuple[str, ...]
    since: int
    setting: dict[str, float | bool | str]
    ts: int


Fact = Begun | Looked | Opened
_DECODER = msgspec.json.Decoder(Fact)


class Trials:
    """The ledger in one file; several processes may append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._looked = {(fact.sweep, fact.first, fact.count) for fact in self.facts() if isinstance(fact, Looked)}

    def facts(self) -> list[Fact]:
        """Return all that was acknowledged; raise JournalDamaged where a whole line cannot be read."""
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]
        found: list[Fact] = []
        for number, line in enumerate(lines, 1):
            try:
                found.append(_DECODER.decode(line))
            except msgspec.DecodeError as error:
                raise JournalDamaged(str(self.path), f"line {number}: {error}") from error
        return found

    def begin(self, sweep: str, objective: str, data: Sequence[str], ts: int) -> None:
        """Note that a sweep begins, unless it is known."""
        if not any(isinstance(fact, Begun) and fact.sweep == sweep for fact in self.facts()):
            self._append(Begun(sweep=sweep, objective=objective, data=tuple(data), ts=ts))

    def look(self, sweep: str, first: int, count: int) -> None:
        """Note that `count` settings from number `first` on were looked at, unless that is known."""
        if (sweep, first, count) not in self._looked:
            self._append(Looked(sweep=sweep, first=first, count=count))
            self._looked.add((sweep, first, count))

    def num_trials(self, data: Collection[str]) -> int:
        """Return how many settings were ever looked at on recordings of which at least one is in `data`."""
        facts = self.facts()
        sweeps = {fact.sweep for fact in facts if isinstance(fact, Begun) and not set(data).isdisjoint(fact.data)}
        reached = dict.fromkeys(sweeps, 0)
        total = 0
        # a sweep that ran twice looked at the same settings, in other batches
        for looked in sorted((fact for fact in facts if isinstance(fact, Looked)), key=lambda fact: fact.first):
            if looked.sweep in sweeps:
                stop = looked.first + looked.count
                total += max(0, stop - max(looked.first, reached[looked.sweep]))
                reached[looked.sweep] = max(reached[looked.sweep], stop)
        return total

    def open_final(self, opened: Opened) -> None:
        """Note that a final period is looked at.

        Raises UserError when it, or a part of it, was looked at with another setting before.
        """
        with self._locked() as file:
            for fact in self.facts():
                if not isinstance(fact, Opened) or set(fact.data).isdisjoint(opened.data):
                    continue
                if fact.setting == opened.setting and fact.since == opened.since:
                    return
                words = ", ".join(f"{path}={value}" for path, value in fact.setting.items())
                raise UserError(
                    f"the final period of these recordings was opened with {words} (sweep {fact.sweep}): it can judge "
                    "no other setting any more; record new data"
                )
            _write(file, opened)

    def _append(self, fact: Fact) -> None:
        with self._locked() as file:
            _write(file, fact)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _write(file: BinaryIO, fact: Fact) -> None:
    try:
        if _is_torn(file):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(msgspec.json.encode(fact) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise StorageFailed(file.name, error.strerror or str(error)) from error


def _is_torn(file: BinaryIO) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
