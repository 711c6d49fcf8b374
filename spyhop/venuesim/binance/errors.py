"""What Binance answers when it will not: code, message, HTTP status; and its numbers for the exchange's refusals."""

from __future__ import annotations

from spyhop.errors import SpyhopError
from spyhop.venuesim.words import RefusalCode, Refused


class BinanceError(SpyhopError):
    """An error body: `{"code": code, "msg": text}` with an HTTP `status`; `retry_after_s` above 0 becomes a header."""

    def __init__(self, code: int, text: str, status: int = 400, retry_after_s: int = 0) -> None:
        super().__init__(code, text, status, retry_after_s)
        self.code, self.text, self.status, self.retry_after_s = code, text, status, retry_after_s

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


def missing(name: str) -> BinanceError:
    """Return -1102 for a parameter that is not there or makes no sense."""
    return BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


UNKNOWN = BinanceError(-1006, "Unknown error, please check your request or try again later.", 503)
"""503 that leaves open whether the request was executed."""
BAD_SYMBOL = BinanceError(-1121, "Invalid symbol.")
NO_SUCH_ORDER = BinanceError(-2013, "Order does not exist.")
CANCEL_REJECTED = BinanceError(-2011, "Unknown order sent.")
NO_LISTEN_KEY = BinanceError(-1125, "This listenKey does not exist.")
USE_ALGO = BinanceError(
    -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
)

_USDM: dict[RefusalCode, tuple[int, str]] = {
    RefusalCode.BAD_PRICE: (-4016, "Limit price can't be higher than the allowed maximum or lower than the minimum."),
    RefusalCode.BAD_QTY: (-4005, "Quantity greater than max quantity."),
    RefusalCode.MIN_NOTIONAL: (-4164, "Order's notional must be no smaller than {} (unless you choose reduce only)."),
    RefusalCode.MARGIN: (-2019, "Margin is insufficient."),
    RefusalCode.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    RefusalCode.WOULD_TAKE: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not be "
        "recorded in the order history",
    ),
    RefusalCode.NOT_FILLABLE: (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. The order will not be "
        "recorded in the order history",
    ),
    RefusalCode.WOULD_TRIGGER: (-2021, "Order would immediately trigger."),
    RefusalCode.NO_COUNTERPARTY: (
        -4131,
        "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    ),
    RefusalCode.DUPLICATE_ID: (-4116, "ClientOrderId is duplicated."),
    RefusalCode.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    RefusalCode.TOO_MANY_ORDERS: (-2025, "Reach max open order limit."),
    RefusalCode.LEVERAGE: (-4028, "Leverage is not valid."),
}
_SPOT: dict[RefusalCode, tuple[int, str]] = {
    RefusalCode.BAD_PRICE: (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    RefusalCode.BAD_QTY: (-1013, "Filter failure: LOT_SIZE"),
    RefusalCode.MIN_NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
    RefusalCode.MARGIN: (-2010, "Account has insufficient balance for requested action."),
    RefusalCode.REDUCE_ONLY: (-2010, "This action is disabled on this account."),
    RefusalCode.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    RefusalCode.NOT_FILLABLE: (-2010, "FOK orders would not be filled immediately."),
    RefusalCode.WOULD_TRIGGER: (-2010, "Stop price would trigger immediately."),
    RefusalCode.NO_COUNTERPARTY: (-2010, "Market is closed."),
    RefusalCode.DUPLICATE_ID: (-2010, "Duplicate order sent."),
    RefusalCode.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    RefusalCode.TOO_MANY_ORDERS: (-1013, "Filter failure: MAX_NUM_ORDERS"),
    RefusalCode.LEVERAGE: (-2010, "This action is disabled on this account."),
}


def usdm(refused: Refused) -> BinanceError:
    """Return what the USDT-M market answers for a refusal of the exchange."""
    code, text = _USDM[refused.code]
    return BinanceError(code, text.format(refused.detail.rsplit(" ", 1)[-1] or "the minimum"))


def spot(refused: Refused) -> BinanceError:
    """Return what the spot market answers for a refusal of the exchange."""
    return BinanceError(*_SPOT[refused.code])
