"""Signed transactions: taken apart, and proved to come from the address they speak for.

Only what order entry uses is served: one signer, a secp256k1 key, SIGN_MODE_DIRECT.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from coincurve import PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact

from spyhop.errors import SpyhopError
from spyhop.venues.dydx.address import address_of
from spyhop.venuesim.dydx.messages import (
    SERVED,
    AuthInfo,
    MsgBatchCancel,
    MsgCancelOrder,
    MsgPlaceOrder,
    OrderFlags,
    OrderId,
    PubKey,
    SignDoc,
    TxBody,
    TxRaw,
)
from spyhop.venuesim.dydx.protobuf import Malformed, Message, decode, encode

_SIGN_MODE_DIRECT: Final = 1
_KEY_TYPE: Final = "/cosmos.crypto.secp256k1.PubKey"


class Rejected(SpyhopError):
    """A transaction that the node does not let into its mempool, with the codespace and code it answers."""

    def __init__(self, codespace: str, code: int, log: str) -> None:
        super().__init__(codespace, code, log)
        self.codespace, self.code, self.log = codespace, code, log

    def __str__(self) -> str:
        return self.log


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that could be read; who signed it is not proved yet. `hash` is what nodes and indexers show."""

    hash: str
    body_bytes: bytes
    auth_info_bytes: bytes
    signature: bytes
    public_key: bytes
    sequence: int
    memo: str
    timeout_height: int
    messages: tuple[Message, ...]

    @property
    def signer(self) -> str:
        """Return the address of the key that the transaction names."""
        return address_of(self.public_key)

    @property
    def is_short_term(self) -> bool:
        """Return whether this is one short-term order or cancel, whose sequence nobody checks."""
        if len(self.messages) != 1:
            return False
        message = self.messages[0]
        if isinstance(message, MsgBatchCancel):
            return True
        order_id = order_id_of(message)
        return order_id is not None and order_id.order_flags == OrderFlags.SHORT_TERM


def order_id_of(message: Message) -> OrderId | None:
    """Return the id of the order that a place or cancel speaks of."""
    if isinstance(message, MsgPlaceOrder):
        return message.order.order_id if message.order else None
    return message.order_id if isinstance(message, MsgCancelOrder) else None


def parse(raw: bytes) -> Transaction:
    """Return the transaction in `raw`; raise Rejected with the SDK's own codes."""
    try:
        tx = decode(TxRaw, raw)
        body = decode(TxBody, tx.body_bytes)
        auth = decode(AuthInfo, tx.auth_info_bytes)
    except Malformed as reason:
        raise Rejected("sdk", 2, f"{reason}: tx parse error") from reason
    if len(auth.signer_infos) != 1 or len(tx.signatures) != 1:
        raise Rejected("sdk", 4, f"expected 1 signer, got {len(auth.signer_infos)}: unauthorized")
    signer = auth.signer_infos[0]
    if signer.mode_info is None or signer.mode_info.single is None:
        raise Rejected("sdk", 4, "only single signatures are served: unauthorized")
    if signer.mode_info.single.mode != _SIGN_MODE_DIRECT:
        raise Rejected("sdk", 4, f"sign mode {signer.mode_info.single.mode} is not SIGN_MODE_DIRECT: unauthorized")
    if body.extension_options:
        raise Rejected("sdk", 31, "unknown extension options")
    return Transaction(
        hash=hashlib.sha256(raw).hexdigest().upper(),
        body_bytes=tx.body_bytes,
        auth_info_bytes=tx.auth_info_bytes,
        signature=tx.signatures[0],
        public_key=_public_key(signer.public_key.type_url, signer.public_key.value) if signer.public_key else b"",
        sequence=signer.sequence,
        memo=body.memo,
        timeout_height=body.timeout_height,
        messages=_messages([(message.type_url, message.value) for message in body.messages]),
    )


def is_signed(tx: Transaction, chain_id: str, account_number: int) -> bool:
    """Return whether the key that `tx` names signed it for this chain and account number."""
    document = encode(
        SignDoc(
            body_bytes=tx.body_bytes,
            auth_info_bytes=tx.auth_info_bytes,
            chain_id=chain_id,
            account_number=account_number,
        )
    )
    if len(tx.signature) != 64:
        return False
    try:
        # libsecp256k1 takes only the lower of the two values of s, which is what the chain asks for too
        signature = cdata_to_der(deserialize_compact(tx.signature))
        return bool(PublicKey(tx.public_key).verify(signature, document))
    except ValueError:
        return False


def _public_key(type_url: str, value: bytes) -> bytes:
    if type_url != _KEY_TYPE:
        raise Rejected("sdk", 8, f"{type_url or 'no type'}: invalid pubkey")
    try:
        key = decode(PubKey, value).key
        PublicKey(key)
    except (Malformed, ValueError) as reason:
        raise Rejected("sdk", 8, f"{reason}: invalid pubkey") from reason
    return key


def _messages(packed: list[tuple[str, bytes]]) -> tuple[Message, ...]:
    if not packed:
        raise Rejected("sdk", 18, "must contain at least one message: invalid request")
    messages = []
    for type_url, value in packed:
        kind = SERVED.get(type_url)
        if kind is None:
            raise Rejected("sdk", 2, f"unable to resolve type URL {type_url}: tx parse error")
        try:
            messages.append(decode(kind, value))
        except Malformed as reason:
            raise Rejected("sdk", 2, f"{reason}: tx parse error") from reason
    return tuple(messages)
