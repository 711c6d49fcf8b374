"""The messages of a dYdX transaction, as the chain's protocol declares them."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Final

from spyhop.venuesim.dydx.protobuf import Field, Message, Scalar


class OrderFlags(IntEnum):
    """What keeps an order alive: a validator's memory, the chain's state, or the state and a trigger."""

    SHORT_TERM = 0
    CONDITIONAL = 32
    LONG_TERM = 64
    TWAP = 128


class OrderSide(IntEnum):
    """Buy or sell, as the chain numbers them."""

    UNSPECIFIED = 0
    BUY = 1
    SELL = 2


class TimeInForce(IntEnum):
    """How long an order waits, as the chain numbers it."""

    UNSPECIFIED = 0
    IOC = 1
    POST_ONLY = 2
    FILL_OR_KILL = 3


class ConditionType(IntEnum):
    """What a conditional order waits for."""

    UNSPECIFIED = 0
    STOP_LOSS = 1
    TAKE_PROFIT = 2


class Any(Message):
    """A message that says what it is."""

    type_url: str = ""
    value: bytes = b""
    shape: ClassVar[tuple[Field, ...]] = (Field(1, "type_url", Scalar.STRING), Field(2, "value", Scalar.BYTES))


class TxRaw(Message):
    """A signed transaction."""

    body_bytes: bytes = b""
    auth_info_bytes: bytes = b""
    signatures: tuple[bytes, ...] = ()
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "body_bytes", Scalar.BYTES),
        Field(2, "auth_info_bytes", Scalar.BYTES),
        Field(3, "signatures", Scalar.BYTES, is_repeated=True),
    )


class TxBody(Message):
    """What a transaction asks for."""

    messages: tuple[Any, ...] = ()
    memo: str = ""
    timeout_height: int = 0
    extension_options: tuple[Any, ...] = ()
    non_critical_extension_options: tuple[Any, ...] = ()
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "messages", Any, is_repeated=True),
        Field(2, "memo", Scalar.STRING),
        Field(3, "timeout_height", Scalar.UINT64),
        Field(1023, "extension_options", Any, is_repeated=True),
        Field(2047, "non_critical_extension_options", Any, is_repeated=True),
    )


class SingleMode(Message):
    """How one key signs; 1 is SIGN_MODE_DIRECT."""

    mode: int = 0
    shape: ClassVar[tuple[Field, ...]] = (Field(1, "mode", Scalar.ENUM),)


class ModeInfo(Message):
    """How a transaction is signed; several keys are not served here."""

    single: SingleMode | None = None
    shape: ClassVar[tuple[Field, ...]] = (Field(1, "single", SingleMode),)


class SignerInfo(Message):
    """Who signs, how, and with which sequence number."""

    public_key: Any | None = None
    mode_info: ModeInfo | None = None
    sequence: int = 0
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "public_key", Any),
        Field(2, "mode_info", ModeInfo),
        Field(3, "sequence", Scalar.UINT64),
    )


class Coin(Message):
    """An amount of a denomination."""

    denom: str = ""
    amount: str = ""
    shape: ClassVar[tuple[Field, ...]] = (Field(1, "denom", Scalar.STRING), Field(2, "amount", Scalar.STRING))


class Fee(Message):
    """What the signer offers for gas."""

    amount: tuple[Coin, ...] = ()
    gas_limit: int = 0
    payer: str = ""
    granter: str = ""
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "amount", Coin, is_repeated=True),
        Field(2, "gas_limit", Scalar.UINT64),
        Field(3, "payer", Scalar.STRING),
        Field(4, "granter", Scalar.STRING),
    )


class AuthInfo(Message):
    """Who signs and what is paid."""

    signer_infos: tuple[SignerInfo, ...] = ()
    fee: Fee | None = None
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "signer_infos", SignerInfo, is_repeated=True),
        Field(2, "fee", Fee),
    )


class SignDoc(Message):
    """What is hashed and signed."""

    body_bytes: bytes = b""
    auth_info_bytes: bytes = b""
    chain_id: str = ""
    account_number: int = 0
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "body_bytes", Scalar.BYTES),
        Field(2, "auth_info_bytes", Scalar.BYTES),
        Field(3, "chain_id", Scalar.STRING),
        Field(4, "account_number", Scalar.UINT64),
    )


class PubKey(Message):
    """A compressed secp256k1 public key."""

    key: bytes = b""
    shape: ClassVar[tuple[Field, ...]] = (Field(1, "key", Scalar.BYTES),)


class SubaccountId(Message):
    """A numbered purse of an address."""

    owner: str = ""
    number: int = 0
    shape: ClassVar[tuple[Field, ...]] = (Field(1, "owner", Scalar.STRING), Field(2, "number", Scalar.UINT32))


class OrderId(Message):
    """What makes an order the same order."""

    subaccount_id: SubaccountId | None = None
    client_id: int = 0
    order_flags: int = 0
    clob_pair_id: int = 0
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "subaccount_id", SubaccountId),
        Field(2, "client_id", Scalar.FIXED32),
        Field(3, "order_flags", Scalar.UINT32),
        Field(4, "clob_pair_id", Scalar.UINT32),
    )


class TwapParameters(Message):
    """How a TWAP order is cut; decoded, not served."""

    duration: int = 0
    interval: int = 0
    price_tolerance: int = 0
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "duration", Scalar.UINT32),
        Field(2, "interval", Scalar.UINT32),
        Field(3, "price_tolerance", Scalar.UINT32),
    )


class BuilderCodeParameters(Message):
    """Whom a fee goes to that the order's maker of software asks; kept, not charged."""

    builder_address: str = ""
    fee_ppm: int = 0
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "builder_address", Scalar.STRING),
        Field(2, "fee_ppm", Scalar.UINT32),
    )


class ChainOrder(Message):
    """An order; quantities in quantums, prices in subticks."""

    order_id: OrderId | None = None
    side: int = 0
    quantums: int = 0
    subticks: int = 0
    good_til_block: int | None = None
    good_til_block_time: int | None = None
    time_in_force: int = 0
    reduce_only: bool = False
    client_metadata: int = 0
    condition_type: int = 0
    conditional_order_trigger_subticks: int = 0
    twap_parameters: TwapParameters | None = None
    builder_code_parameters: BuilderCodeParameters | None = None
    order_router_address: str = ""
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "order_id", OrderId),
        Field(2, "side", Scalar.ENUM),
        Field(3, "quantums", Scalar.UINT64),
        Field(4, "subticks", Scalar.UINT64),
        Field(5, "good_til_block", Scalar.UINT32, is_optional=True),
        Field(6, "good_til_block_time", Scalar.FIXED32, is_optional=True),
        Field(7, "time_in_force", Scalar.ENUM),
        Field(8, "reduce_only", Scalar.BOOL),
        Field(9, "client_metadata", Scalar.UINT32),
        Field(10, "condition_type", Scalar.ENUM),
        Field(11, "conditional_order_trigger_subticks", Scalar.UINT64),
        Field(12, "twap_parameters", TwapParameters),
        Field(13, "builder_code_parameters", BuilderCodeParameters),
        Field(14, "order_router_address", Scalar.STRING),
    )


class MsgPlaceOrder(Message):
    """Place this order."""

    order: ChainOrder | None = None
    shape: ClassVar[tuple[Field, ...]] = (Field(1, "order", ChainOrder),)


class MsgCancelOrder(Message):
    """Cancel this order, and refuse it until the cancel itself expires."""

    order_id: OrderId | None = None
    good_til_block: int | None = None
    good_til_block_time: int | None = None
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "order_id", OrderId),
        Field(2, "good_til_block", Scalar.UINT32, is_optional=True),
        Field(3, "good_til_block_time", Scalar.FIXED32, is_optional=True),
    )


class OrderBatch(Message):
    """Short-term orders of one market by their client ids."""

    clob_pair_id: int = 0
    client_ids: tuple[int, ...] = ()
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "clob_pair_id", Scalar.UINT32),
        Field(2, "client_ids", Scalar.UINT32, is_repeated=True),
    )


class MsgBatchCancel(Message):
    """Cancel several short-term orders."""

    subaccount_id: SubaccountId | None = None
    short_term_cancels: tuple[OrderBatch, ...] = ()
    good_til_block: int = 0
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "subaccount_id", SubaccountId),
        Field(2, "short_term_cancels", OrderBatch, is_repeated=True),
        Field(3, "good_til_block", Scalar.UINT32),
    )


class MsgDepositToSubaccount(Message):
    """Move an asset from an address to a subaccount."""

    sender: str = ""
    recipient: SubaccountId | None = None
    asset_id: int = 0
    quantums: int = 0
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "sender", Scalar.STRING),
        Field(2, "recipient", SubaccountId),
        Field(3, "asset_id", Scalar.UINT32),
        Field(4, "quantums", Scalar.UINT64),
    )


class MsgWithdrawFromSubaccount(Message):
    """Move an asset from a subaccount to an address."""

    recipient: str = ""
    sender: SubaccountId | None = None
    asset_id: int = 0
    quantums: int = 0
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "recipient", Scalar.STRING),
        Field(2, "sender", SubaccountId),
        Field(3, "asset_id", Scalar.UINT32),
        Field(4, "quantums", Scalar.UINT64),
    )


class Transfer(Message):
    """An amount between two subaccounts."""

    sender: SubaccountId | None = None
    recipient: SubaccountId | None = None
    asset_id: int = 0
    amount: int = 0
    shape: ClassVar[tuple[Field, ...]] = (
        Field(1, "sender", SubaccountId),
        Field(2, "recipient", SubaccountId),
        Field(3, "asset_id", Scalar.UINT32),
        Field(4, "amount", Scalar.UINT64),
    )


class MsgCreateTransfer(Message):
    """Transfer between subaccounts."""

    transfer: Transfer | None = None
    shape: ClassVar[tuple[Field, ...]] = (Field(1, "transfer", Transfer),)


SERVED: Final[dict[str, type[Message]]] = {
    "/dydxprotocol.clob.MsgPlaceOrder": MsgPlaceOrder,
    "/dydxprotocol.clob.MsgCancelOrder": MsgCancelOrder,
    "/dydxprotocol.clob.MsgBatchCancel": MsgBatchCancel,
    "/dydxprotocol.sending.MsgDepositToSubaccount": MsgDepositToSubaccount,
    "/dydxprotocol.sending.MsgWithdrawFromSubaccount": MsgWithdrawFromSubaccount,
    "/dydxprotocol.sending.MsgCreateTransfer": MsgCreateTransfer,
}
"""The messages that a transaction may carry, by their type."""
