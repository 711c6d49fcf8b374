"""Where unreadable lines are set aside: all counted by reason, the first of them kept as they were."""

from __future__ import annotations

import base64
from collections import Counter

import msgspec

MAX_KEPT_LINES = 10_000
MAX_KEPT_BYTES = 2_048
MAX_REASONS = 100
OTHER = "other reasons"


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a quarantine file; `raw` is text, `raw_base64` what is not UTF-8, cut to 2 KiB."""

    file: str
    line: int
    reason: str
    raw: str = ""
    raw_base64: str = ""
    is_cut: bool = False


class QuarantineFile:
    """Collects what could not be read of one file; a Quarantine. At most 10,000 lines are kept, all are counted."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self._lines: list[bytes] = []

    def put(self, file: str, line: int, reason: str, raw: bytes) -> None:
        """Set one line aside."""
        is_known = reason in self.reasons or len(self.reasons) < MAX_REASONS
        self.reasons[reason if is_known else OTHER] += 1
        if len(self._lines) >= MAX_KEPT_LINES:
            return
        cut = bytes(raw[:MAX_KEPT_BYTES])
        is_cut = len(cut) < len(raw)
        try:
            kept = Kept(file, line, reason, raw=cut.decode(), is_cut=is_cut)
        except UnicodeDecodeError:
            kept = Kept(file, line, reason, raw_base64=base64.b64encode(cut).decode(), is_cut=is_cut)
        self._lines.append(msgspec.json.encode(kept))

    @property
    def total(self) -> int:
        """Return how many lines were set aside."""
        return self.reasons.total()

    def encoded(self) -> bytes:
        """Return the kept lines as JSON lines, empty when nothing was set aside."""
        return b"".join(line + b"\n" for line in self._lines)
