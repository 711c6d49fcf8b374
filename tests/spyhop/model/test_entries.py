from __future__ import annotations

import msgspec

from spyhop.model.entries import Entry
from spyhop.model.verdicts import EpochBegan


def test_an_entry_survives_its_encoding() -> None:
    entry = Entry(5, "risk", 2, EpochBegan(ts=5, epoch=3, at_seq=2))
    assert msgspec.json.decode(msgspec.json.encode(entry), type=Entry) == entry


def test_stages_follow_each_other_at_one_instant() -> None:
    began = EpochBegan(ts=5, epoch=1, at_seq=0)
    order = [Entry(5, stage, 0, began).order for stage in ("decision", "risk", "order")]
    assert order == sorted(order)
