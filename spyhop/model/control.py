"""What an operator may command, and what a session is."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from spyhop.model.instruments import Instrument


class Control(StrEnum):
    """An operator's command; distinct from every fact."""

    PAUSE = "pause"  # no new entries
    RESUME = "resume"
    KILL = "kill"  # no new entries, cancel all, flatten
    DRAIN = "drain"  # end the session cleanly


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator says to a running session: a command, or settings by their paths; `number` is its key.

    A word that is said again under its number changes nothing.
    """

    number: int
    control: Control | None = None
    settings: dict[str, bool | int | float | str] = {}

    @property
    def text(self) -> str:
        """Return what was said, for a person."""
        changes = [f"{path} = {value}" for path, value in self.settings.items()]
        return "; ".join([*changes, *([self.control.value] if self.control is not None else [])])


class Obeyed(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A word took effect: before everything at `ts`, behind everything earlier; `refused` says why it did not."""

    ts: int
    word: Word
    refused: str = ""


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The head of a journal: enough to build the same stages again."""

    id: str
    started: int
    mode: str
    source: str  # what the events came from, for a person
    is_simulated: bool  # True when no venue ever said these events
    instruments: tuple[Instrument, ...]
    settings: dict[str, object]  # the whole tree in force, secrets left out
    version: str
    runner: str  # "local" or "ray"
