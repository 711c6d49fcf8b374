from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.venuesim.dydx import messages as ours
from spyhop.venuesim.dydx.protobuf import Malformed, Message, Scalar, decode, encode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tx_pb2 = pytest.importorskip("v4_proto.cosmos.tx.v1beta1.tx_pb2")
    clob_pb2 = pytest.importorskip("v4_proto.dydxprotocol.clob.tx_pb2")
    order_pb2 = pytest.importorskip("v4_proto.dydxprotocol.clob.order_pb2")
    transfer_pb2 = pytest.importorskip("v4_proto.dydxprotocol.sending.transfer_pb2")
    sending_pb2 = pytest.importorskip("v4_proto.dydxprotocol.sending.tx_pb2")
    keys_pb2 = pytest.importorskip("v4_proto.cosmos.crypto.secp256k1.keys_pb2")

pytestmark = pytest.mark.oracle

PAIRS = (
    (ours.MsgPlaceOrder, clob_pb2.MsgPlaceOrder),
    (ours.MsgCancelOrder, clob_pb2.MsgCancelOrder),
    (ours.MsgBatchCancel, clob_pb2.MsgBatchCancel),
    (ours.MsgDepositToSubaccount, transfer_pb2.MsgDepositToSubaccount),
    (ours.MsgWithdrawFromSubaccount, transfer_pb2.MsgWithdrawFromSubaccount),
    (ours.MsgCreateTransfer, sending_pb2.MsgCreateTransfer),
    (ours.TxRaw, tx_pb2.TxRaw),
    (ours.TxBody, tx_pb2.TxBody),
    (ours.AuthInfo, tx_pb2.AuthInfo),
    (ours.SignDoc, tx_pb2.SignDoc),
    (ours.PubKey, keys_pb2.PubKey),
)
ONE_OF = ("good_til_block", "good_til_block_time")
SCALARS = {
    Scalar.UINT32: st.integers(0, 2**32 - 1),
    Scalar.UINT64: st.integers(0, 2**64 - 1),
    Scalar.FIXED32: st.integers(0, 2**32 - 1),
    Scalar.BOOL: st.booleans(),
    Scalar.ENUM: st.integers(0, 3),
    Scalar.STRING: st.text(max_size=8),
    Scalar.BYTES: st.binary(max_size=8),
}


def built(kind: type[Message]) -> st.SearchStrategy[Message]:
    columns = {}
    for field in kind.shape:
        one = SCALARS[field.type] if isinstance(field.type, Scalar) else built(field.type)
        if field.is_repeated:
            columns[field.name] = st.lists(one, max_size=3).map(tuple)
        elif field.is_optional or not isinstance(field.type, Scalar):
            columns[field.name] = st.none() | one
        else:
            columns[field.name] = one

    def only_one(values: dict[str, object]) -> Message:
        if values.get(ONE_OF[0]) is not None:
            values = {name: None if name == ONE_OF[1] else value for name, value in values.items()}
        return kind(**values)

    return st.fixed_dictionaries(columns).map(only_one)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "oracle"), PAIRS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_bytes_mean_the_same_to_the_public_package_both_ways(
    kind: type[Message], oracle: type, data: st.DataObject
) -> None:
    message = data.draw(built(kind))
    theirs = oracle.FromString(encode(message))
    assert decode(kind, theirs.SerializeToString(deterministic=True)) == message
    assert encode(message) == theirs.SerializeToString(deterministic=True)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    try:
        message = decode(ours.MsgPlaceOrder, data)
    except Malformed:
        return
    assert decode(ours.MsgPlaceOrder, encode(message)) == message
    clob_pb2.MsgPlaceOrder.FromString(data)  # what we take, the runtime takes too


ORDER = encode(
    ours.MsgPlaceOrder(
        order=ours.ChainOrder(
            order_id=ours.OrderId(subaccount_id=ours.SubaccountId(owner="dydx1x"), client_id=7),
            side=1,
            quantums=10_000_000,
            subticks=6_400_000_000,
            good_til_block=120,
        )
    )
)


@given(cut=st.integers(1, len(ORDER) - 1))
def test_torn_data_is_malformed(cut: int) -> None:
    with pytest.raises(Malformed):
        decode(ours.MsgPlaceOrder, ORDER[:cut])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x20\x01", "has no field 4"),
        (b"\x10\x01\x10\x01", "comes twice"),
        (b"\x12\x01\x01", "has wire type 2"),
        (b"\x10\xff\xff\xff\xff\x1f", "too wide"),
        (b"\x10" + b"\xff" * 10, "does not end"),
        (b"\x10" + b"\xff" * 9 + b"\x7f", "wider than 64 bits"),
        (b"\x0a\x01\xff", "not UTF-8"),
        (b"\x00\x00", "number 0"),
        (b"\x11" + b"\0" * 8, "wire type 1"),
    ],
)
def test_what_a_chain_refuses_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decode(ours.SubaccountId, data)
