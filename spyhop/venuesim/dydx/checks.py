"""What a validator refuses when it first sees an order or cancel; codes and words are those of the chain's clob module.

The rules are pure: they read the message, the height and time, and what is known of the same order id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from spyhop.clock import NS_PER_S
from spyhop.venues.dydx.address import is_address
from spyhop.venuesim.dydx import chain
from spyhop.venuesim.dydx.messages import (
    ChainOrder,
    ConditionType,
    MsgBatchCancel,
    MsgCancelOrder,
    OrderFlags,
    OrderId,
    OrderSide,
    SubaccountId,
    TimeInForce,
)
from spyhop.venuesim.dydx.quantums import ClobPair
from spyhop.venuesim.dydx.tickets import Ticket
from spyhop.venuesim.dydx.transactions import Rejected
from spyhop.venuesim.words import RefusalCode

_SERVED_FLAGS: Final = (OrderFlags.SHORT_TERM, OrderFlags.CONDITIONAL, OrderFlags.LONG_TERM)
_MAX_SUBACCOUNT: Final = 128_000

MESSAGES: Final = {
    3: "Invalid order side",
    4: "Invalid order quantums",
    5: "Invalid order goodTilBlock",
    6: "Invalid order subticks",
    7: "Attempt to place an order that is already canceled",
    8: "ClobPair ID does not reference a valid CLOB",
    9: "A cancel already exists in the memclob for this order with a greater than or equal GoodTilBlock",
    10: "The next block height is greater than the GoodTilBlock of the message",
    11: "The GoodTilBlock of the message is further than ShortBlockWindow blocks into the future",
    12: "MsgPlaceOrder is invalid",
    20: "An order with the same `OrderId` already exists for this CLOB with a greater-than-or-equal `GoodTilBlock` "
    "or Order Hash",
    24: "Order is fully filled",
    29: "Invalid stateful order cancellation",
    45: "Invalid batch cancel message",
    46: "Batch cancel has failed",
    48: "This field has been deprecated",
    49: "Invalid TWAP order placement",
    2000: "FillOrKill order could not be fully filled",
    2001: "Reduce-only orders cannot increase the position size",
    2003: "Post-only order would cross one or more maker orders",
    2004: "IOC order is already filled, remaining size is cancelled.",
    3000: "Invalid order flags",
    3001: "Invalid order goodTilBlockTime",
    3002: "Stateful orders cannot require immediate execution",
    3003: "The block time is greater than the GoodTilBlockTime of the message",
    3004: "The GoodTilBlockTime of the message is further than StatefulOrderTimeWindow into the future",
    3005: "Existing stateful order has higher-or-equal priority than the new one",
    3006: "Stateful order does not exist",
    3007: "Stateful order collateralization check failed",
    5001: "Block rate limit exceeded",
    6000: "Conditional type is invalid",
    6001: "Conditional order trigger subticks is invalid",
    9003: "Reduce-only is currently disabled for non-IOC orders",
    10001: "Subaccount cannot open more orders due to equity tier limit.",
}

OF_REFUSAL: Final[Mapping[RefusalCode, int]] = {
    RefusalCode.BAD_PRICE: 6,
    RefusalCode.BAD_QTY: 4,
    RefusalCode.MIN_NOTIONAL: 4,
    RefusalCode.REDUCE_ONLY: 2001,
    RefusalCode.WOULD_TAKE: 2003,
    RefusalCode.NOT_FILLABLE: 2000,
    RefusalCode.MARGIN: 3007,
    RefusalCode.LEVERAGE: 3007,
    RefusalCode.TOO_MANY_ORDERS: 10001,
    RefusalCode.DUPLICATE_ID: 20,
    RefusalCode.UNKNOWN_ORDER: 3006,
}


def clob(code: int, detail: str = "") -> Rejected:
    """Return the clob module's refusal `code`."""
    return Rejected("clob", code, f"{detail}: {MESSAGES[code]}" if detail else MESSAGES[code])


def check_owner(owner: SubaccountId | None, signer: str) -> SubaccountId:
    """Return the subaccount that a message speaks for; raise unless it is the signer's."""
    if owner is None or not is_address(owner.owner) or owner.number > _MAX_SUBACCOUNT:
        raise Rejected("sdk", 18, "invalid subaccount id: invalid request")
    if owner.owner != signer:
        raise Rejected("sdk", 4, f"{signer} may not speak for {owner.owner}: unauthorized")
    return owner


def check_order(order: ChainOrder, pair: ClobPair | None, height: int, block_time: int) -> OrderId:
    """Return the id of `order`; raise what it is refused for on its own account."""
    order_id = order.order_id
    assert order_id is not None
    _check_words(order, order_id)
    if pair is None:
        raise clob(8, f"{order_id.clob_pair_id}")
    if pair.lots(order.quantums) is None:
        raise clob(4, f"order quantums {order.quantums} must be a multiple of {pair.lot_quantums}")
    for subticks, code in ((order.subticks, 6), (order.conditional_order_trigger_subticks, 6001)):
        if pair.ticks(subticks) is None:
            raise clob(code, f"{subticks} must be a multiple of {pair.tick_subticks}")
    if order_id.order_flags == OrderFlags.SHORT_TERM:
        check_good_til_block(order.good_til_block, height)
        if order.good_til_block_time is not None:
            raise clob(5, "a short-term order has no goodTilBlockTime")
    else:
        check_good_til_time(order.good_til_block_time, block_time)
    return order_id


def _check_words(order: ChainOrder, order_id: OrderId) -> None:
    flags = order_id.order_flags
    if flags == OrderFlags.TWAP or order.twap_parameters is not None:
        raise clob(49, "TWAP orders are not served")
    if flags not in _SERVED_FLAGS:
        raise clob(3000, f"{flags}")
    if order.side not in (OrderSide.BUY, OrderSide.SELL):
        raise clob(3, f"{order.side}")
    if order.quantums == 0:
        raise clob(4, "order size quantums cannot be 0")
    if order.subticks == 0:
        raise clob(6, "order subticks cannot be 0")
    if order.time_in_force == TimeInForce.FILL_OR_KILL:
        raise clob(48, "fill-or-kill has been deprecated")
    if flags == OrderFlags.LONG_TERM and order.time_in_force == TimeInForce.IOC:
        raise clob(3002)
    if order.reduce_only and order.time_in_force != TimeInForce.IOC:
        raise clob(9003)
    is_conditional = flags == OrderFlags.CONDITIONAL
    if is_conditional != (order.condition_type in (ConditionType.STOP_LOSS, ConditionType.TAKE_PROFIT)):
        raise clob(6000, f"{order.condition_type}")
    if is_conditional != (order.conditional_order_trigger_subticks > 0):
        raise clob(6001, f"{order.conditional_order_trigger_subticks}")


def check_good_til_block(good_til_block: int | None, height: int) -> None:
    """Raise unless a short-term message ends within the next 40 blocks."""
    if not good_til_block:
        raise clob(5, "goodTilBlock cannot be 0")
    if height + 1 > good_til_block:
        raise clob(10, f"GoodTilBlock {good_til_block}, next block {height + 1}")
    if good_til_block > height + chain.SHORT_BLOCK_WINDOW:
        raise clob(11, f"GoodTilBlock {good_til_block}, block {height}")


def check_good_til_time(good_til_block_time: int | None, block_time: int) -> None:
    """Raise unless a stateful message ends after `block_time` and within 95 days."""
    if not good_til_block_time:
        raise clob(3001, "goodTilBlockTime cannot be 0")
    if good_til_block_time * NS_PER_S <= block_time:
        raise clob(3003, f"GoodTilBlockTime {good_til_block_time}")
    if good_til_block_time * NS_PER_S > block_time + chain.STATEFUL_WINDOW_NS:
        raise clob(3004, f"GoodTilBlockTime {good_til_block_time}")


def check_replacement(order: ChainOrder, before: Ticket | None, lots: int) -> None:
    """Raise unless `order` of `lots` may take the place of what was known under its id."""
    if before is None:
        return
    if before.is_short_term:
        if not before.status.is_open and before.filled == 0:
            return
        if (order.good_til_block or 0) <= (before.order.good_til_block or 0):
            raise clob(20)
        if before.filled and order.time_in_force == TimeInForce.IOC:
            raise clob(2004)
    elif before.status.is_open and (order.good_til_block_time or 0) <= (before.order.good_til_block_time or 0):
        raise clob(3005)
    if before.filled >= lots:
        raise clob(24)


def check_cancel(cancel: MsgCancelOrder, before: Ticket | None, height: int, block_time: int) -> OrderId:
    """Return the id that `cancel` speaks of; raise what it is refused for."""
    order_id = cancel.order_id
    assert order_id is not None
    if order_id.order_flags == OrderFlags.SHORT_TERM:
        check_good_til_block(cancel.good_til_block, height)
        return order_id
    if order_id.order_flags not in _SERVED_FLAGS:
        raise clob(3000, f"{order_id.order_flags}")
    check_good_til_time(cancel.good_til_block_time, block_time)
    if before is None or not before.status.is_open:
        raise clob(3006)
    if (cancel.good_til_block_time or 0) < (before.order.good_til_block_time or 0):
        raise clob(29, "the cancel ends before its order does")
    return order_id


def check_batch(batch: MsgBatchCancel, height: int) -> None:
    """Raise unless `batch` names 1 to 100 orders, each once, and ends within the window."""
    check_good_til_block(batch.good_til_block, height)
    asked = [(part.clob_pair_id, client_id) for part in batch.short_term_cancels for client_id in part.client_ids]
    if not asked or any(not part.client_ids for part in batch.short_term_cancels):
        raise clob(45, "no orders")
    if len(asked) > chain.MAX_BATCH_CANCEL or len(set(asked)) < len(asked):
        raise clob(45, "too many orders, or one twice")
