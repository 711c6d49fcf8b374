"""The one shape in which readers hand over what a file holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spyhop.model.channels import CHANNELS, NO_CHANNEL, channels_of
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, empty

MAX_ROWS_PER_LINE = 1 << 20
"""Rows of one line at most; position = line x MAX_ROWS_PER_LINE + row of the line."""

Positions = npt.NDArray[np.int64]


class SetAside(NamedTuple):
    """A line that could not be read; lines count from 1."""

    line: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Events of one instrument and channel, in the order of the file.

    `positions` order events of equal `ts_recv` across the channels of one file: line x 2^20 + row of the line. The
    events' `instrument` column holds `instrument.id`, which counts the instruments of the file. Every line of a file
    is decoded, `quarantined`, or counted under its reason in `ignored`; `last_line` is the last line looked at.
    `instrument` is None and `channel` empty when there is nothing but lines set aside.
    """

    instrument: Instrument | None
    channel: str
    events: Events = field(default_factory=empty)
    positions: Positions = field(default_factory=lambda: np.zeros(0, np.int64))
    first_line: int
    last_line: int
    quarantined: tuple[SetAside, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def by_channel(
    events: Events,
    positions: Positions,
    instruments: list[Instrument],
    *,
    first_line: int,
    last_line: int,
    quarantined: tuple[SetAside, ...] = (),
    ignored: Mapping[str, int] | None = None,
    notes: tuple[str, ...] = (),
) -> Iterator[Chunk]:
    """Yield the chunks of `events`, whose `instrument` column is an index of `instruments`; timers are left out.

    What was set aside rides on the first chunk, on an empty one when there are no events.
    """
    rest = (quarantined, ignored or {}, notes)
    channels = channels_of(events)
    if (is_left_out := channels == NO_CHANNEL).any():
        events, positions, channels = events[~is_left_out], positions[~is_left_out], channels[~is_left_out]
    keys = events["instrument"].astype(np.int64) * len(CHANNELS) + channels
    for key in np.unique(keys):
        number, channel = divmod(int(key), len(CHANNELS))
        where = np.flatnonzero(keys == key)
        yield Chunk(
            instrument=instruments[number],
            channel=CHANNELS[channel],
            events=events[where],
            positions=positions[where],
            first_line=first_line,
            last_line=last_line,
            quarantined=rest[0],
            ignored=rest[1],
            notes=rest[2],
        )
        rest = ((), {}, ())
    if any(rest):
        yield Chunk(
            instrument=None,
            channel="",
            first_line=first_line,
            last_line=last_line,
            quarantined=rest[0],
            ignored=rest[1],
            notes=rest[2],
        )
