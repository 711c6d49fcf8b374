"""What a recording says about itself: how often and for how long it was interrupted, and what was shed on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Status
from spyhop.storage.checks import Check, Places, Said
from spyhop.storage.merge import Merged


class StatusCheck:
    """Gaps and shed events that the tape itself marks; nothing is wrong with a lake that says so."""

    def __init__(self, files: Sequence[str]) -> None:
        self._gaps, self._shed = Places(files), Places(files)
        self._length = self._num_shed = 0

    def on(self, batch: Merged) -> None:
        """Note the STATUS rows of a batch."""
        statuses = batch.events["aux"]
        is_gap, is_shed = statuses == Status.GAP, statuses == Status.SHED
        self._gaps.add(batch, np.flatnonzero(is_gap))
        self._shed.add(batch, np.flatnonzero(is_shed))
        self._length += int(batch.events["aux2"][is_gap].sum())
        self._num_shed += int(batch.events["qty"][is_shed].sum())

    def said(self) -> Iterator[Said]:
        """Yield what was noted."""
        text = f"the recording marks gaps, {self._length / NS_PER_S:,.1f} s of known length in all"
        yield from self._gaps.said(Check.SILENCE, text, is_fault=False)
        yield from self._shed.said(Check.SEQUENCE, f"{self._num_shed:,} events were shed on purpose", is_fault=False)
