from __future__ import annotations

import numpy as np

from spyhop.model import tape
from spyhop.model.channels import CHANNELS, KINDS_OF_CHANNEL, NO_CHANNEL, channels_of
from spyhop.model.tape import Kind


def test_every_kind_but_the_timer_has_one_channel() -> None:
    told = [kind for kinds in KINDS_OF_CHANNEL.values() for kind in kinds]
    assert sorted(told) == sorted(set(Kind) - {Kind.TIMER})


def test_rows_find_their_channels() -> None:
    rows = tape.empty(4)
    rows["kind"] = [Kind.STATUS, Kind.TIMER, Kind.SNAPSHOT, Kind.RATIO]
    found = channels_of(rows)
    assert found.tolist() == [CHANNELS.index("status"), NO_CHANNEL, CHANNELS.index("book"), CHANNELS.index("ratios")]
    assert found.dtype == np.int64
