"""The memory of one account: its orders, fills and changes of balance, the newest of each within a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from spyhop.venuesim.views import Income, IncomeKind
from spyhop.venuesim.words import Execution, Order, RefusalCode, Refused

T = TypeVar("T")

KEPT = 20_000


class Blotter:
    """Orders are kept while they are open and the newest `KEPT` closed ones after that."""

    def __init__(self) -> None:
        self._orders: dict[int, Order] = {}
        self._by_client: dict[str, Order] = {}
        self._closed: deque[int] = deque()
        self._executions: deque[Execution] = deque(maxlen=KEPT)
        self._income: deque[Income] = deque(maxlen=KEPT)

    def add(self, order: Order) -> None:
        """Remember a new order; its client id now means this one."""
        self._orders[order.order_id] = order
        self._by_client[order.request.client_id] = order

    def close(self, order: Order) -> None:
        """Note that an order is final; the oldest final one may be forgotten."""
        self._closed.append(order.order_id)
        if len(self._closed) > KEPT:
            old = self._orders.pop(self._closed.popleft())
            if self._by_client.get(old.request.client_id) is old:
                del self._by_client[old.request.client_id]

    def on_execution(self, execution: Execution) -> None:
        """Remember a fill."""
        self._executions.append(execution)

    def on_income(self, income: Income) -> None:
        """Remember a change of a balance."""
        self._income.append(income)

    def order(self, order_id: int = 0, client_id: str = "") -> Order:
        """Return an order by id or else by client id; raise Refused(UNKNOWN_ORDER)."""
        found = self._orders.get(order_id) if order_id else self._by_client.get(client_id)
        if found is None:
            raise Refused(RefusalCode.UNKNOWN_ORDER, f"no order {order_id or client_id}")
        return found

    def is_open(self, client_id: str) -> bool:
        """Return whether the newest order with this client id is open."""
        found = self._by_client.get(client_id)
        return found is not None and found.is_open

    def orders(self, instrument: int, from_id: int, start: int, end: int, limit: int) -> list[Order]:
        """Return orders; see `Exchange.orders`."""
        return _cut(
            (o for o in self._orders.values() if instrument in (-1, o.request.instrument) and o.order_id >= from_id),
            lambda order: order.created,
            start,
            end,
            limit,
            is_from=from_id > 0,
        )

    def executions(
        self, instrument: int, order_id: int, from_id: int, start: int, end: int, limit: int
    ) -> list[Execution]:
        """Return fills; see `Exchange.executions`."""
        return _cut(
            (
                e
                for e in self._executions
                if instrument in (-1, e.instrument) and order_id in (0, e.order_id) and e.trade_id >= from_id
            ),
            lambda execution: execution.ts,
            start,
            end,
            limit,
            is_from=from_id > 0,
        )

    def income(self, instrument: int, kind: IncomeKind | None, start: int, end: int, limit: int) -> list[Income]:
        """Return changes of balances; see `Exchange.income`."""
        return _cut(
            (i for i in self._income if instrument in (-1, i.instrument) and kind in (None, i.kind)),
            lambda income: income.ts,
            start,
            end,
            limit,
            is_from=False,
        )


def _cut(found: Iterable[T], ts_of: Callable[[T], int], start: int, end: int, limit: int, *, is_from: bool) -> list[T]:
    """Return the first `limit` of what lies in start..end when a beginning is named, else the newest."""
    kept = [one for one in found if ts_of(one) >= start and (end <= 0 or ts_of(one) <= end)]
    return kept[:limit] if is_from or start > 0 else kept[max(len(kept) - limit, 0) :]
