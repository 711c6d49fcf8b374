"""Raw records: all that a venue's adapter is told, in order, so that it can be told the same again.

    kind     source            connection          data
    FRAME    socket's name     its number          a message as it came
    MORE     socket's name     its number          one that was decoded together with the frame before
    OPENED   socket's name     its number          -
    CLOSED   socket's name     its number          -
    ASKED    method, its       number of the call  -
             arguments
    ANSWER   when asked (ns),  number of the call  the body as it came
             METHOD, URL
    REFUSED  METHOD, URL       number of the call  why there is no answer
    CALL     method, its       number of the call  -
             arguments
    FAILED   method, its       number of the call  why
             arguments
    MARK     -                 -                   a Mark as JSON

Every call begins with ASKED and ends with CALL, where its rows went onto the tape, or with FAILED; its answers stand
between them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from spyhop.model.instruments import Instrument


class RawKind(IntEnum):
    """What a raw record is."""

    FRAME = 0
    OPENED = 1
    CLOSED = 2
    ANSWER = 3
    CALL = 4
    FAILED = 5
    MARK = 6
    MORE = 7
    ASKED = 8
    REFUSED = 9


class RawRecord(NamedTuple):
    """One record; `ts` is our clock's time, `feed` the key of the instrument whose adapter was told."""

    kind: RawKind
    ts: int
    feed: str
    source: str
    connection: int
    data: bytes


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the recorder says about itself.

    `begin` stands first in every file and says whose records follow and under which settings they were made; `end`
    stands where a recorder stopped; `cut` where one goes on after it was killed, and `shed` where `count` records were
    dropped because the disk was too slow. `since` is the last record before the hole, `run` when the recorder began:
    files of one run go on where the one before ended.
    """

    what: Literal["begin", "end", "cut", "shed"]
    since: int = 0
    count: int = 0
    run: int = 0
    instruments: tuple[Instrument, ...] = ()
    settings: dict[str, Any] = {}


class RawKeeper(Protocol):
    """Takes raw records; called from the threads of feeds, so it must be quick."""

    def add(self, record: RawRecord) -> None: ...
