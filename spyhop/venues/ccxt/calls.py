"""One ccxt exchange that is asked: the budget before, the clock's time in it, and our errors out of it.

Only signing, addresses and HTTP are ccxt's. Nothing is retried; ccxt's own log, which shows headers with keys, is off.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from spyhop.clock import NS_PER_MS, Clock
from spyhop.errors import MissingInput, VenueError
from spyhop.venues.ccxt.errors import failure
from spyhop.venues.net.limits import Budget, retry_after_s

Read = TypeVar("Read")

TIMEOUT_S = 10.0
"""How long an answer is waited for, of the machine."""
_CREDENTIALS = ("apiKey", "secret", "password", "twofa", "privateKey", "token")
_SILENT = logging.CRITICAL + 1

_heard: ContextVar[list[tuple[int, dict[str, str]]] | None] = ContextVar("_heard", default=None)
"""Status and headers of the answers to the request that this task has sent; others may be on their way beside it."""


class Calls:
    """A ccxt exchange and what surrounds a request of it. Made in the loop that uses it.

    `client` is ccxt's exchange; `budget` is asked before each request and told what the answers' headers say.
    """

    def __init__(
        self, client: Any, clock: Clock, *, name: str, timeout_s: float = TIMEOUT_S, budget: Budget | None = None
    ) -> None:
        self.client, self.clock = client, clock
        self._name, self._budget = name, budget
        self._secrets = tuple(told for name in _CREDENTIALS if (told := str(getattr(client, name, "") or "")))
        self.num_requests = self.num_failures = 0
        client.timeout = round(timeout_s * 1_000)
        client.milliseconds = lambda: clock.now_ns() // NS_PER_MS
        client.logger = logging.Logger("ccxt", _SILENT)
        client.verbose = False
        hear = client.on_rest_response

        def heard(code: int, reason: Any, url: str, method: str, headers: Mapping[str, str], *rest: Any) -> Any:
            answers = _heard.get()
            if answers is not None:
                answers.append((code, {name.lower(): value for name, value in headers.items()}))
            return hear(code, reason, url, method, headers, *rest)

        client.on_rest_response = heard

    async def ask(
        self,
        what: str,
        request: Callable[[], Awaitable[Any]],
        read: Callable[[Any], Read],
        *,
        is_effect: bool = False,
        weight: int = 1,
        orders: int = 0,
    ) -> Read:
        """Send a request and return what `read` makes of the answer; raise VenueError, named by `what`.

        An answer to an effect that cannot be read leaves its outcome unknown.
        """
        if self._budget is not None:
            await self._budget.acquire(weight, orders)
        self.num_requests += 1
        answers: list[tuple[int, dict[str, str]]] = []
        token = _heard.set(answers)
        try:
            return read(await request())
        except VenueError:
            self.num_failures += 1
            raise
        except Exception as error:  # noqa: BLE001 - whatever ccxt or reading raises must be told as ours
            self.num_failures += 1
            status = answers[-1][0] if answers else 0
            raise failure(
                error, f"ccxt://{self._name}/{what}", status, is_effect=is_effect, secrets=self._secrets
            ) from None
        finally:
            _heard.reset(token)
            await self._note(answers)

    async def close(self) -> None:
        """Let connections go."""
        await self.client.close()

    async def _note(self, answers: Sequence[tuple[int, dict[str, str]]]) -> None:
        if self._budget is None:
            return
        for status, headers in answers:
            with contextlib.suppress(VenueError):  # the answer counts more than the budget's troubles
                await self._budget.note(headers, status, retry_after_s(headers, 1.0))


def exchange(name: str, settings: Mapping[str, Any]) -> Any:
    """Return ccxt's exchange of that name, for asyncio; raise MissingInput for one that it does not know."""
    ccxt: Any = importlib.import_module("ccxt.async_support")
    if name not in ccxt.exchanges:
        raise MissingInput(f"ccxt knows no exchange called {name!r}")
    return getattr(ccxt, name)(dict(settings))
