"""The kill switch: a file beside the sessions that every desk looks at, so that killing needs nobody's help."""

from __future__ import annotations

from pathlib import Path

import msgspec

from spyhop.clock import Clock, iso_ms
from spyhop.storage.files import replace_durably

NAME = "kill.json"


class Pulled(msgspec.Struct, frozen=True):
    """When the switch was pulled (nanoseconds UTC) and why."""

    ts: int
    reason: str


class KillSwitch:
    """The switch of all sessions in one folder; pulled, it stays so until somebody lifts it."""

    def __init__(self, runs: Path) -> None:
        self.path = runs / NAME

    def pulled(self) -> Pulled | None:
        """Return when and why it was pulled, None when it was not; a file that cannot be read counts as pulled."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Pulled)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError):
            return Pulled(0, f"{self.path} cannot be read")

    def reason(self) -> str:
        """Return why nothing may be opened, "" when it may."""
        pulled = self.pulled()
        return "" if pulled is None else f"killed at {iso_ms(pulled.ts)}: {pulled.reason}"

    def pull(self, clock: Clock, reason: str) -> None:
        """Let nobody open anything any more; durable when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(self.path, msgspec.json.encode(Pulled(clock.now_ns(), reason)))

    def lift(self) -> bool:
        """Permit entries again; say whether it was pulled."""
        was = self.path.exists()
        self.path.unlink(missing_ok=True)
        return was
