"""What surrounds a request: budget, time, log and errors; ccxt is a stand-in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import ccxt
import pytest

from spyhop.clock import EventClock
from spyhop.errors import MissingInput, OutcomeUnknown, Throttled, VenueRefused, VenueUnavailable
from spyhop.venues.ccxt.calls import Calls, exchange


class Budget:
    """Writes down what it is asked and told."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.told: list[tuple[int, Mapping[str, str], float | None]] = []
        self.refusal: Throttled | None = None

    async def acquire(self, weight: int = 1, orders: int = 0) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((weight, orders))

    async def note(self, headers: Mapping[str, str], status: int, retry_after_s: float | None = None) -> None:
        self.told.append((status, headers, retry_after_s))
        raise VenueUnavailable("budget", 0, "the file is gone")


def stand_in() -> Any:
    client = SimpleNamespace(on_rest_response=lambda code, reason, url, method, headers, body, *rest: body)
    client.is_closed = False

    async def close() -> None:
        client.is_closed = True

    client.close = close
    return client


def answered(client: Any, status: int, headers: Mapping[str, str], outcome: Any) -> Any:
    """A request that gets this answer, and then raises or returns."""

    async def request() -> Any:
        client.on_rest_response(status, "", "url", "GET", headers, "body", None, None)
        await asyncio.sleep(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return request


def test_the_budget_is_asked_before_and_told_after_and_its_troubles_cost_no_answer() -> None:
    async def go() -> None:
        client, budget = stand_in(), Budget()
        calls = Calls(client, EventClock(5_000_000), name="x", budget=budget)
        headers = {"X-MBX-USED-WEIGHT-1M": "7", "Retry-After": "3"}
        assert await calls.ask("what", answered(client, 200, headers, 41), lambda told: told + 1, weight=5) == 42
        assert budget.asked == [(5, 0)]
        assert budget.told == [(200, {"x-mbx-used-weight-1m": "7", "retry-after": "3"}, 3.0)]
        budget.refusal = Throttled("x", 429, 2.0)
        with pytest.raises(Throttled):
            await calls.ask("what", answered(client, 200, {}, 41), int)
        assert len(budget.told) == 1
        assert client.milliseconds() == 5
        await calls.close()
        assert client.is_closed

    asyncio.run(go())


def test_a_status_belongs_to_its_own_request() -> None:
    """Two at once: the refusal (400) stays one, though a 500 comes between; and the 500 leaves its effect unknown."""

    async def go() -> None:
        client = stand_in()
        calls = Calls(client, EventClock(), name="x")
        refused, broken = await asyncio.gather(
            calls.ask("one", answered(client, 400, {}, ccxt.ExchangeError("no")), int, is_effect=True),
            calls.ask("two", answered(client, 500, {}, ccxt.ExchangeError("oh")), int, is_effect=True),
            return_exceptions=True,
        )
        assert type(refused) is VenueRefused
        assert type(broken) is OutcomeUnknown
        assert calls.num_failures == calls.num_requests == 2

    asyncio.run(go())


def test_an_effect_whose_answer_cannot_be_read_is_unknown() -> None:
    async def go() -> None:
        client = stand_in()
        calls = Calls(client, EventClock(), name="x")
        with pytest.raises(OutcomeUnknown, match="ccxt://x/place"):
            await calls.ask("place", answered(client, 200, {}, {}), lambda told: told["orderId"], is_effect=True)
        with pytest.raises(VenueUnavailable):
            await calls.ask("look", answered(client, 200, {}, {}), lambda told: told["orderId"])

    asyncio.run(go())


def test_what_an_exchange_repeats_of_our_credentials_is_not_repeated() -> None:
    async def go() -> None:
        client = stand_in()
        client.apiKey, client.secret, client.password = "KEY-42", "WORD-42", ""
        calls = Calls(client, EventClock(), name="x")
        for error in (ccxt.AuthenticationError("no key KEY-42 with WORD-42"), KeyError("WORD-42")):
            with pytest.raises((VenueRefused, OutcomeUnknown)) as raised:
                await calls.ask("place", answered(client, 400, {}, error), int, is_effect=True)
            assert "42" not in str(raised.value) + repr(raised.value)

    asyncio.run(go())


def test_being_cancelled_is_no_failure() -> None:
    async def go() -> None:
        calls = Calls(stand_in(), EventClock(), name="x")

        async def for_ever() -> None:
            await asyncio.Event().wait()

        task = asyncio.create_task(calls.ask("what", for_ever, lambda told: told, is_effect=True))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())


def test_ccxt_logs_nothing(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    client = exchange("binanceusdm", {"apiKey": "very-secret"})
    client.logger.propagate = True
    Calls(client, EventClock(), name="x")
    with caplog.at_level(logging.DEBUG):
        client.logger.debug("headers %s", client.apiKey)
        client.logger.critical("headers %s", client.apiKey)
    assert "very-secret" not in caplog.text + capsys.readouterr().err


def test_an_exchange_that_ccxt_does_not_know() -> None:
    with pytest.raises(MissingInput, match="nowhere"):
        exchange("nowhere", {})
