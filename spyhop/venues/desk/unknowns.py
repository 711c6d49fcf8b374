"""Asking a venue what became of an order until it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, TypeVar

import msgspec

from spyhop.clock import NS_PER_S, Clock
from spyhop.errors import OutcomeUnknown, Throttled, VenueError
from spyhop.execution.account import OwnOrder
from spyhop.model.accounts import VenueOrder
from spyhop.ports import Trader
from spyhop.venues.desk.ports import Expiring

Answer = TypeVar("Answer")
_MARGIN = 1.2
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class AskParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How patiently a venue is asked."""

    request_s: Seconds = 10.0
    """After so long a request counts as one whose outcome nobody knows."""
    ask_min_s: Seconds = 0.25
    ask_max_s: Seconds = 10.0
    """The back-off between questions doubles from the one to the other."""
    validity_s: Seconds = 6.0
    """How long after it left a request may still be executed: that there is no such order is believed only then.

    Binance takes what is at most `recvWindow` old (5 s); a short-term order of dYdX names its last block."""


Params = TypeVar("Params", bound=AskParams)


def fitted(params: Params, trader: Trader) -> Params:
    """Return `params` with a validity that is not shorter than that of the trader's requests."""
    if not isinstance(trader, Expiring):
        return params
    return msgspec.structs.replace(params, validity_s=max(params.validity_s, _MARGIN * trader.validity_s))


class Pause:
    """The time to wait before the next attempt: doubles, and is never shorter than the venue asks for."""

    def __init__(self, params: AskParams) -> None:
        self._next, self._max = params.ask_min_s, params.ask_max_s

    def after(self, error: VenueError | None = None) -> float:
        """Return how many seconds to wait now."""
        wait, self._next = self._next, min(2.0 * self._next, self._max)
        return max(wait, error.retry_after_s) if isinstance(error, Throttled) else wait


async def within(clock: Clock, seconds: float, call: Awaitable[Answer], what: str) -> Answer:
    """Return what `call` comes to; raise OutcomeUnknown when that takes more than `seconds` of `clock`."""
    task = asyncio.ensure_future(call)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise OutcomeUnknown(what, f"no answer within {seconds:g} s")
    finally:
        task.cancel()
        timer.cancel()


async def ask(trader: Trader, own: OwnOrder, clock: Clock, params: AskParams) -> VenueOrder | None:
    """Return the order as the venue has it, None when it certainly has none; asks until it says so, never gives up."""
    pause = Pause(params)
    while True:
        # an answer is about the moment of the question
        asked = clock.now_ns()
        error: VenueError | None = None
        try:
            theirs = await within(clock, params.request_s, trader.order(own.key, own.submit.instrument), "order")
            if theirs is not None or asked - own.ts_sent >= params.validity_s * NS_PER_S:
                return theirs
        except VenueError as failure:
            error = failure
        await clock.sleep(pause.after(error))
