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
