"""What the exchange does to positions by itself: funding at its stamps, liquidation when the mark has passed."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Protocol

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Side
from spyhop.venuesim.accounts import LIQUIDATION_FEE, Account, fee_of
from spyhop.venuesim.views import IncomeKind, MarginMode
from spyhop.venuesim.words import Change, Execution, Lasting, Order, OrderKind, OrderRequest, OrderState

_EXACT = Decimal("1e-8")


class Books(Protocol):
    """What upkeep needs of the desk."""

    now: int
    accounts: dict[str, Account]
    insurance: Decimal

    def mark(self, number: int) -> int: ...

    def open_orders(self, account: str, number: int = -1) -> list[Order]: ...

    def registered(self, request: OrderRequest) -> Order: ...

    def close(self, order: Order) -> None: ...

    def end(self, order: Order, state: OrderState, change: Change, reason: str = "") -> None: ...

    def settle(self, order: Order, price: int, lots: int, fee: Decimal, change: Change, *, is_maker: bool) -> None: ...

    def enter_income(
        self, account: str, kind: IncomeKind, number: int, amount: Decimal, trade_id: int = 0, asset: str = ""
    ) -> None: ...

    def watch(self, number: int) -> None: ...

    def tell_order(self, order: Order, change: Change, execution: Execution | None) -> None: ...

    def tell_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None: ...


class Upkeep:
    """Charges funding and takes broken positions over.

    A broken isolated position is closed; a broken cross account loses its positions, the one with the largest
    maintenance margin first, until what is left may live. Both are closed at the mark for a liquidation fee, after the
    open orders that stand behind them are cancelled; what the account cannot pay is the insurance fund's.
    """

    def __init__(self, books: Books, instruments: tuple[Instrument, ...], pits: Any) -> None:
        self._books, self._instruments, self._pits = books, instruments, pits

    def pay(self, number: int) -> None:
        """Charge or credit the funding that the pit says is payable: lots x mark x rate, longs pay above 0."""
        books, rate = self._books, int(self._pits[number]["payable_rate"]) * Decimal("1e-12")
        for account in books.accounts.values():
            if account.lots(number):
                amount = (-account.value(number) * rate).quantize(_EXACT, ROUND_HALF_UP)
                account.credit(self._instruments[number].quote, amount, number)
                books.enter_income(account.name, IncomeKind.FUNDING_FEE, number, amount)
                books.tell_account(account.name, Change.FUNDING, (number,))

    def liquidate(self, number: int) -> None:
        """Take over what the mark of an instrument has broken."""
        books = self._books
        for account in list(books.accounts.values()):
            if not account.is_broke(number):
                continue
            is_isolated = account.holding(number).mode is MarginMode.ISOLATED
            for order in books.open_orders(account.name, number if is_isolated else -1):
                books.end(order, OrderState.CANCELED, Change.CANCELED, "liquidation")
                books.watch(order.request.instrument)
            at_risk = [number] if is_isolated else sorted(account.held, key=account.maintenance, reverse=True)
            for one in at_risk:
                if account.is_broke(one):
                    self._take_over(account, one)
                    books.watch(one)

    def _take_over(self, account: Account, number: int) -> None:
        books, holding, instrument = self._books, account.holding(number), self._instruments[number]
        is_isolated, before, price = holding.mode is MarginMode.ISOLATED, holding.margin, books.mark(number)
        side, lots = Side(-1 if holding.lots > 0 else 1), abs(holding.lots)
        order = books.registered(
            OrderRequest(
                account=account.name,
                instrument=number,
                client_id=f"autoclose-{books.now}-{number}",
                side=side,
                kind=OrderKind.LIMIT,
                lots=lots,
                price=price,
                lasting=Lasting.IOC,
            )
        )
        books.tell_order(order, Change.NEW, None)
        order.filled, order.tick_lots, order.state = lots, price * lots, OrderState.FILLED
        books.close(order)
        realized = holding.realized
        fee = fee_of(instrument, side, price, lots, LIQUIDATION_FEE)
        books.settle(order, price, lots, fee, Change.LIQUIDATED, is_maker=False)
        books.insurance += fee
        left = before + holding.realized - realized if is_isolated else account.cross_wallet
        # a cross account that still holds something may earn it back
        if left < 0 and (is_isolated or not account.held):
            account.credit(instrument.quote, -left)
            books.insurance += left
            books.enter_income(account.name, IncomeKind.INSURANCE_CLEAR, number, -left)
            books.tell_account(account.name, Change.LIQUIDATED, (number,))
