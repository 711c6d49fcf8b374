"""The right to trade an account: one process at a time has it, for seconds, and must renew it; a file says who.

Two things are held together. The file's record runs out by itself, for an owner whose machine is gone or cut off. A
lock of the kernel ends with its process: on the same machine it says at once that the owner is dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from spyhop.clock import NS_PER_S, Clock
from spyhop.errors import StorageFailed
from spyhop.storage.files import replace_durably

LASTS_S = 4.0
"""How long a right lasts that is not renewed; a loop that stands still for so long sends nothing any more."""
GRACE_S = 5.5
"""How much longer another machine waits: a request that was signed in time is void then (5 s at Binance), and clocks
may differ by half a second."""


class Holder(msgspec.Struct, frozen=True):
    """Who may trade: its name, its machine, which life of the right this is, and until when (nanoseconds UTC).

    `is_locked` says that it had the kernel's lock, too: whoever gets that on the same machine has outlived it.
    """

    owner: str
    machine: str
    epoch: int
    until: int
    is_locked: bool


class Lease:
    """One process's claim to `path`. `machine` is what no two machines share, and no two starts of one."""

    def __init__(
        self, path: Path, owner: str, machine: str, clock: Clock, lasts_s: float = LASTS_S, grace_s: float = GRACE_S
    ) -> None:
        self.path = path
        self._owner, self._machine, self._clock = owner, machine, clock
        self._lasts_ns, self._grace_ns = int(lasts_s * NS_PER_S), int(grace_s * NS_PER_S)
        self._until = self._until_monotonic = 0
        self._life = -1
        self.epoch = 0

    @property
    def is_held(self) -> bool:
        """Say whether this process may act now; cheap, and true only while nobody else can have the right."""
        # both clocks: one stands still while a machine sleeps, the other may be put back
        return self._clock.now_ns() < self._until and self._clock.monotonic_ns() < self._until_monotonic

    def holder(self) -> Holder | None:
        """Return who has or had the right last; None when nobody ever had. Raise StorageFailed."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Holder)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            # who cannot be read may well be alive
            raise StorageFailed(str(self.path), str(error)) from error

    def take(self) -> bool:
        """Take the right if it is free, under a new epoch; say whether it is ours now. Raise StorageFailed."""
        with self._alone() as is_alone:
            if not is_alone:
                return False
            last = self.holder()
            if last is not None and not self._is_free(last):
                self._let_live()
                return False
            self.epoch = 1 if last is None else last.epoch + 1
            self._write()
            return True

    def renew(self) -> bool:
        """Have the right last from now on; False when another has it, and then it will not come back to this claim."""
        with self._alone() as is_alone:
            if not is_alone:
                # somebody looks at the record just now; the next renewal is soon
                return True
            last = self.holder()
            if last is None or (last.owner, last.machine, last.epoch) != (self._owner, self._machine, self.epoch):
                self._until = 0
                return False
            self._write()
            return True

    def release(self) -> None:
        """Give the right back, if it is ours: the next one need not wait."""
        with contextlib.suppress(StorageFailed), self._alone() as is_alone:
            last = self.holder()
            if is_alone and last is not None and (last.owner, last.epoch) == (self._owner, self.epoch):
                replace_durably(self.path, msgspec.json.encode(msgspec.structs.replace(last, until=0)))
        self._until = 0
        self._let_live()

    def _write(self) -> None:
        now, monotonic = self._clock.now_ns(), self._clock.monotonic_ns()
        until = now + self._lasts_ns
        # a process that stands still keeps the kernel's lock from us; then only time says that we are gone
        holder = Holder(self._owner, self._machine, self.epoch, until, self._outlive())
        replace_durably(self.path, msgspec.json.encode(holder))
        self._until, self._until_monotonic = until, monotonic + self._lasts_ns

    def _is_free(self, last: Holder) -> bool:
        if last.machine == self._machine and last.is_locked and self._outlive():
            return True
        return last.until == 0 or self._clock.now_ns() >= last.until + self._grace_ns

    def _outlive(self) -> bool:
        """Take the kernel's lock, which is free only when its last owner on this machine is dead."""
        if self._life < 0:
            life = self._opened(".alive")
            try:
                fcntl.flock(life, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(life)
                return False
            self._life = life
        return True

    def _let_live(self) -> None:
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Yield whether nobody else reads and writes the record meanwhile."""
        lock = self._opened(".lock")
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)

    def _opened(self, suffix: str) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.path.with_suffix(suffix), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageFailed(str(self.path), error.strerror or str(error)) from error


def this_machine() -> str:
    """Return what tells this start of this machine's kernel from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
