"""Asks the ledger over Ray for the past of a supervisor that has no checkpoint."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from spyhop.engine.rebuilding import Past, past_of
from spyhop.engine.vessels import RECORDS_DECODER, RiskVessel
from spyhop.model.entries import Entry, Recorded

log = logging.getLogger(__name__)


async def told_by(ledger: Any) -> Past:
    """Return what the ledger actor keeps of the stages risk and order, read a parcel at a time."""
    return past_of([*await _entries(ledger, "risk"), *await _entries(ledger, "order")])


async def become(vessel: RiskVessel, past: Past) -> None:
    """Give a new supervisor its past, if it has any."""
    if past.num_entries:
        # in a thread: a long past takes seconds, and the loop has to turn
        await asyncio.to_thread(vessel.rebuild, past)
        log.warning("no checkpoint: rebuilt from the %d entries that the ledger keeps", past.num_entries)


async def repeated_by(ledger: Any, first: int) -> list[Recorded]:
    """Return what the ledger actor keeps of the stage risk from its `first`-th entry on."""
    return [entry.message for entry in await _entries(ledger, "risk", first)]


async def _entries(ledger: Any, stage: str, first: int = 0) -> list[Entry]:
    entries: list[Entry] = []
    while said := RECORDS_DECODER.decode(await ledger.entries.remote(stage, first + len(entries))).entries:
        entries += said
    return entries
