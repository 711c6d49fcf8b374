from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spyhop.venuesim.dydx import messages as ours
from spyhop.venuesim.dydx.protobuf import Malformed, Message, Scalar, decode, encode

KINDS = (
    ours.MsgPlaceOrder,
    ours.MsgCancelOrder,
    ours.MsgBatchCancel,
    ours.MsgDepositToSubaccount,
    ours.MsgWithdrawFromSubaccount,
    ours.MsgCreateTransfer,
    ours.TxRaw,
    ours.TxBody,
    ours.AuthInfo,
    ours.SignDoc,
    ours.PubKey,
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


def plain(message: Message) -> dict[str, Any]:
    """The fields that are set, by name; bytes as hex."""
    columns: dict[str, Any] = {}
    for field in message.shape:
        value = getattr(message, field.name)
        if field.is_repeated and value:
            columns[field.name] = [one_plain(one) for one in value]
        elif not field.is_repeated and value is not None and (field.is_optional or isinstance(value, Message) or value):
            columns[field.name] = one_plain(value)
    return columns


def one_plain(value: Any) -> Any:
    if isinstance(value, Message):
        return plain(value)
    return value.hex() if isinstance(value, bytes) else value


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_bytes_mean_the_same_to_the_public_package(
    kind: type[Message], dydx_protos: Callable[..., dict[str, Any]], data: st.DataObject
) -> None:
    message = data.draw(built(kind))
    theirs = dydx_protos(op="read", type=kind.__name__, hex=encode(message).hex())
    assert theirs["json"] == plain(message)
    assert theirs["hex"] == encode(message).hex()
    assert decode(kind, bytes.fromhex(theirs["hex"])) == message


@pytest.mark.slow
@pytest.mark.oracle
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=60) | st.builds(lambda flags, tail: bytes(flags) + tail, st.just([10]), st.binary()))
def test_any_bytes_are_malformed_or_a_message_for_the_public_package_too(
    dydx_protos: Callable[..., dict[str, Any]], data: bytes
) -> None:
    try:
        message = decode(ours.MsgPlaceOrder, data)
    except Malformed:
        return
    assert decode(ours.MsgPlaceOrder, encode(message)) == message
    assert dydx_protos(op="read", type="MsgPlaceOrder", hex=data.hex())["json"] == plain(message)


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
