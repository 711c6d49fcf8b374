"""Everything Spyhop raises, drawn as a tree; the class says who must act.

    SpyhopError
    ├── UserError                the person at the keyboard: one sentence, exit code 2
    │   ├── UnknownSetting       a settings key that does not exist, with the nearest that does
    │   ├── InvalidSetting       a value that its type or range does not permit
    │   ├── MissingInput         a file, lake or session that is not there
    │   └── NotAvailable         asked for what this version does not do yet
    ├── DataError                the recording or the stream: quarantine, count, go on
    │   ├── UnreadableLine       file, line and reason of what could not be decoded
    │   ├── SequenceGap          an update id is missing: the book must be snapshot again
    │   ├── LakeDamaged          a file of the lake cannot be read back
    │   └── JournalDamaged       what a journal had acknowledged cannot be read back
    ├── StateError               a programmer: an invariant does not hold
    │   ├── IllegalTransition    an order left its table of life
    │   ├── SnapshotMismatch     bytes offered to `restore` belong to another layout
    │   ├── OutOfOrder           a message older than its stream's watermark
    │   └── Superseded           an entry's number is taken by another life of who says it
    ├── VenueError               a venue or the way to it; the class says whether anything happened there
    │   ├── ConnectFailed        no connection came about: DNS, TCP, TLS, handshake
    │   ├── ConnectionLost       an open connection ended, with its close code
    │   ├── Throttled            429 or 418: wait `retry_after_s`; nothing was executed
    │   ├── VenueRefused         the venue understood and said no: status, code, message
    │   ├── VenueUnavailable     the venue failed and says that nothing was executed
    │   └── OutcomeUnknown       a time-out or an unclear 5xx: ask the venue before anything else
    ├── StorageFailed            the disk or database: nothing may be acknowledged
    └── ReplayDiverged           replay and journal differ; names the first difference

Constructors are positional and hand the same values to `super().__init__`, so every one survives a pickle
(and so Ray).
"""

from __future__ import annotations


class SpyhopError(Exception):
    """Root of every error that Spyhop raises on purpose."""


class UserError(SpyhopError):
    """A mistake that the person at the keyboard can mend; printed as one sentence, exit code 2."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class UnknownSetting(UserError):
    """A settings key that does not exist."""

    def __init__(self, key: str, nearest: str = "", origin: str = "") -> None:
        where = f" in {origin}" if origin else ""
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"unknown setting {key!r}{where}{hint}")
        self.args = (key, nearest, origin)
        self.key, self.nearest, self.origin = key, nearest, origin


class InvalidSetting(UserError):
    """A value that its type or range does not permit."""

    def __init__(self, key: str, reason: str, origin: str = "") -> None:
        where = f" (from {origin})" if origin else ""
        super().__init__(f"setting {key!r}{where}: {reason}")
        self.args = (key, reason, origin)
        self.key, self.reason, self.origin = key, reason, origin


class MissingInput(UserError):
    """A file, lake or session that is not where it was said to be."""


class NotAvailable(UserError):
    """Something this version does not do yet."""


class DataError(SpyhopError):
    """A recording or stream that cannot be trusted at one place."""


class UnreadableLine(DataError):
    """One line of input that could not be decoded."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(file, line, reason)
        self.file, self.line, self.reason = file, line, reason

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class SequenceGap(DataError):
    """An update id is missing from a venue's stream."""

    def __init__(self, expected: int, received: int) -> None:
        super().__init__(expected, received)
        self.expected, self.received = expected, received

    def __str__(self) -> str:
        return f"expected update id {self.expected}, received {self.received}"


class LakeDamaged(DataError):
    """A file of the lake cannot be read back."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class JournalDamaged(DataError):
    """What a journal had acknowledged cannot be read back; a torn tail is not damage."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class StateError(SpyhopError):
    """An invariant of our own does not hold."""


class IllegalTransition(StateError):
    """An order was asked to leave its table of life."""

    def __init__(self, client_order_id: str, status: str, to: str) -> None:
        super().__init__(client_order_id, status, to)
        self.client_order_id, self.status, self.to = client_order_id, status, to

    def __str__(self) -> str:
        return f"order {self.client_order_id} cannot go from {self.status} to {self.to}"


class SnapshotMismatch(StateError):
    """Bytes offered to `restore` belong to another layout."""

    def __init__(self, stage: str, expected: str, received: str) -> None:
        super().__init__(stage, expected, received)
        self.stage, self.expected, self.received = stage, expected, received

    def __str__(self) -> str:
        return f"{self.stage}: snapshot of layout {self.received} offered to layout {self.expected}"


class OutOfOrder(StateError):
    """A message is older than the watermark its stream has already declared."""

    def __init__(self, stream: str, watermark: int, ts: int) -> None:
        super().__init__(stream, watermark, ts)
        self.stream, self.watermark, self.ts = stream, watermark, ts

    def __str__(self) -> str:
        return f"stream {self.stream} declared {self.watermark} complete and then sent {self.ts}"


class Superseded(StateError):
    """Another life of the same stage has said something else under the number of an entry: this one is over."""

    def __init__(self, stage: str, seq: int) -> None:
        super().__init__(stage, seq)
        self.stage, self.seq = stage, seq

    def __str__(self) -> str:
        return f"another life of {self.stage} has said entry {self.seq}"


class VenueError(SpyhopError):
    """A venue, or the way to it, did not do what was asked."""


class ConnectFailed(VenueError):
    """No connection came about: the name, the route, TLS or the handshake failed."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def __str__(self) -> str:
        return f"cannot connect to {self.url}: {self.reason}"


class ConnectionLost(VenueError):
    """An open connection ended; `code` is the WebSocket close code, 1006 when there was none."""

    def __init__(self, url: str, code: int, reason: str) -> None:
        super().__init__(url, code, reason)
        self.url, self.code, self.reason = url, code, reason

    def __str__(self) -> str:
        return f"{self.url} closed with {self.code}: {self.reason or 'no reason given'}"


class Throttled(VenueError):
    """The venue wants fewer requests; nothing was executed. Wait `retry_after_s` before the next one."""

    def __init__(self, url: str, status: int, retry_after_s: float) -> None:
        super().__init__(url, status, retry_after_s)
        self.url, self.status, self.retry_after_s = url, status, retry_after_s

    def __str__(self) -> str:
        return f"{self.url} answered {self.status}: wait {self.retry_after_s:g} s"


class VenueRefused(VenueError):
    """The venue understood the request and said no; `code` is its own error code, 0 without one."""

    def __init__(self, url: str, status: int, code: int, message: str) -> None:
        super().__init__(url, status, code, message)
        self.url, self.status, self.code, self.message = url, status, code, message

    def __str__(self) -> str:
        return f"{self.url} answered {self.status} ({self.code}): {self.message}"


class VenueUnavailable(VenueError):
    """The venue failed and says that nothing was executed; the same request may be sent again."""

    def __init__(self, url: str, status: int, message: str) -> None:
        super().__init__(url, status, message)
        self.url, self.status, self.message = url, status, message

    def __str__(self) -> str:
        return f"{self.url} answered {self.status}: {self.message}"


class OutcomeUnknown(VenueError):
    """Nobody can say whether the request was executed; ask the venue before doing anything else."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def __str__(self) -> str:
        return f"outcome of {self.url} unknown: {self.reason}"


class StorageFailed(SpyhopError):
    """The disk or the database refused; nothing may be acknowledged."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class ReplayDiverged(SpyhopError):
    """A replay did not reproduce its journal."""

    def __init__(self, index: int, recorded: str, replayed: str) -> None:
        super().__init__(index, recorded, replayed)
        self.index, self.recorded, self.replayed = index, recorded, replayed

    def __str__(self) -> str:
        return f"first difference at fact {self.index}: recorded {self.recorded}, replayed {self.replayed}"
