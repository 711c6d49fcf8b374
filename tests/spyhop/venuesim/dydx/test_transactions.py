from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from coincurve import PrivateKey

from spyhop.venues.dydx.address import address_of
from spyhop.venuesim.dydx import messages as pb
from spyhop.venuesim.dydx.protobuf import encode
from spyhop.venuesim.dydx.transactions import Rejected, is_signed, parse

CHAIN = "dydx-mainnet-1"
KEY = PrivateKey(bytes.fromhex("11" * 32))
PUBLIC = KEY.public_key.format(compressed=True)
ORDER_OF_CURVE = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


Protos = Callable[..., dict[str, Any]]


def by_others(protos: Protos, account_number: int, sequence: int = 0) -> bytes:
    """A transaction made with the public protobuf package alone."""
    order = {
        "orderId": {"subaccountId": {"owner": address_of(PUBLIC)}, "clientId": 7},
        "side": 1,
        "quantums": 10_000_000,
        "subticks": 6_400_000_000,
        "goodTilBlock": 120,
    }
    answer = protos(
        op="order", secret="11" * 32, chain_id=CHAIN, account_number=account_number, sequence=sequence, order=order
    )
    return bytes.fromhex(answer["hex"])


@pytest.mark.oracle
def test_a_transaction_of_the_public_package_is_read_and_its_signature_holds(dydx_protos: Protos) -> None:
    raw = by_others(dydx_protos, account_number=42, sequence=3)
    tx = parse(raw)
    assert tx.hash == hashlib.sha256(raw).hexdigest().upper()
    assert tx.signer == address_of(PUBLIC)
    assert tx.sequence == 3
    assert tx.is_short_term
    placed = tx.messages[0]
    assert isinstance(placed, pb.MsgPlaceOrder)
    assert placed.order is not None
    assert (placed.order.quantums, placed.order.subticks, placed.order.good_til_block) == (10**7, 6_400_000_000, 120)
    assert is_signed(tx, CHAIN, 42)


@pytest.mark.oracle
@pytest.mark.parametrize(("chain", "number"), [(CHAIN, 41), ("dydx-testnet-4", 42)])
def test_a_signature_holds_for_one_chain_and_account(dydx_protos: Protos, chain: str, number: int) -> None:
    assert not is_signed(parse(by_others(dydx_protos, account_number=42)), chain, number)


@pytest.mark.oracle
@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_a_changed_signature_does_not_hold(dydx_protos: Protos, place: int) -> None:
    raw = bytearray(by_others(dydx_protos, account_number=42))
    raw[len(raw) - 64 + place] ^= 1
    assert not is_signed(parse(bytes(raw)), CHAIN, 42)


@pytest.mark.oracle
def test_the_other_root_of_a_signature_does_not_hold(dydx_protos: Protos) -> None:
    raw = by_others(dydx_protos, account_number=42)
    upper = ORDER_OF_CURVE - int.from_bytes(raw[-32:], "big")
    assert not is_signed(parse(raw[:-32] + upper.to_bytes(32, "big")), CHAIN, 42)


def tx(
    messages: tuple[pb.Any, ...] = (pb.Any("/dydxprotocol.clob.MsgCancelOrder", b""),),
    mode: int = 1,
    num_signatures: int = 1,
    key: pb.Any | None = None,
) -> bytes:
    key = key or pb.Any("/cosmos.crypto.secp256k1.PubKey", encode(pb.PubKey(PUBLIC)))
    signer = pb.SignerInfo(key, pb.ModeInfo(pb.SingleMode(mode)), 1)
    return encode(
        pb.TxRaw(
            encode(pb.TxBody(messages=messages)),
            encode(pb.AuthInfo((signer,) * num_signatures)),
            (bytes(64),) * num_signatures,
        )
    )


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\x01\x02", 2),
        (b"", 4),
        (tx(num_signatures=2), 4),
        (tx(mode=127), 4),
        (tx(messages=()), 18),
        (tx(messages=(pb.Any("/cosmos.bank.v1beta1.MsgSend", b""),)), 2),
        (tx(messages=(pb.Any("/dydxprotocol.clob.MsgPlaceOrder", b"\xff"),)), 2),
        (tx(key=pb.Any("/cosmos.crypto.ed25519.PubKey", b"")), 8),
        (tx(key=pb.Any("/cosmos.crypto.secp256k1.PubKey", encode(pb.PubKey(b"\x02" + b"\xff" * 32)))), 8),
    ],
)
def test_what_is_no_transaction_is_rejected_with_the_sdks_code(raw: bytes, code: int) -> None:
    with pytest.raises(Rejected) as rejected:
        parse(raw)
    assert (rejected.value.codespace, rejected.value.code) == ("sdk", code)


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda raw: b"\xff" + raw])
def test_torn_transactions_are_rejected(change: Callable[[bytes], Any]) -> None:
    with pytest.raises(Rejected):
        parse(change(tx()))
