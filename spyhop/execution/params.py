"""How approvals become orders: the settings of the order stage."""

from __future__ import annotations

from typing import Annotated

import msgspec

from spyhop.execution.brackets import BracketParams
from spyhop.execution.legs import PairParams
from spyhop.execution.trips import EntryType


class ExecutionParams(BracketParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How approvals become orders."""

    entry_type: EntryType = "market"
    """What is not a market entry stands at the decision's reference price."""
    entry_wait_ms: Annotated[float, msgspec.Meta(gt=0)] = 5_000.0
    """How long an entry that rests may wait before what is left of it is cancelled."""
    retry_ms: Annotated[float, msgspec.Meta(gt=0)] = 500.0
    """Before an exit that left something open, or a cancellation that was rejected, is tried again."""
    pair: PairParams = PairParams()
    """How an intent with a hedge is entered."""
    close_parts: Annotated[int, msgspec.Meta(ge=1)] = 10
    """At ESCAPE and at the end of a session: the most slices in which a position is closed; 1 closes all at once."""
    max_close_attempts: Annotated[int, msgspec.Meta(ge=1)] = 100_000
