"""The public protobuf package of the dYdX chain, in a process of its own: it and ccxt's copy cannot share one.

Reads a JSON object a line and answers with one:
    {"op": "read", "type": full name, "hex": bytes}  ->  {"hex": written again, "json": its fields by name} or {"error"}
    {"op": "order", "secret", "chain_id", "account_number", "sequence", "order": columns}  ->  {"hex": signed TxRaw}
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from coincurve import PrivateKey

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from google.protobuf import any_pb2, json_format, message
    from v4_proto.cosmos.crypto.secp256k1 import keys_pb2
    from v4_proto.cosmos.tx.v1beta1 import tx_pb2
    from v4_proto.dydxprotocol.clob import order_pb2
    from v4_proto.dydxprotocol.clob import tx_pb2 as clob_pb2
    from v4_proto.dydxprotocol.sending import transfer_pb2
    from v4_proto.dydxprotocol.sending import tx_pb2 as sending_pb2

KINDS: dict[str, Any] = {
    kind.DESCRIPTOR.name: kind
    for kind in (
        clob_pb2.MsgPlaceOrder,
        clob_pb2.MsgCancelOrder,
        clob_pb2.MsgBatchCancel,
        transfer_pb2.MsgDepositToSubaccount,
        transfer_pb2.MsgWithdrawFromSubaccount,
        sending_pb2.MsgCreateTransfer,
        tx_pb2.TxRaw,
        tx_pb2.TxBody,
        tx_pb2.AuthInfo,
        tx_pb2.SignDoc,
        keys_pb2.PubKey,
        any_pb2.Any,
    )
}


def read(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what the runtime makes of bytes."""
    try:
        found = KINDS[asked["type"]].FromString(bytes.fromhex(asked["hex"]))
    except message.DecodeError as reason:
        return {"error": str(reason)}
    return {"hex": found.SerializeToString(deterministic=True).hex(), "json": fields(found)}


def fields(found: Any) -> dict[str, Any]:
    """Return the fields that are set, by name; bytes as hex, an Any as it stands."""
    columns: dict[str, Any] = {}
    for field, value in found.ListFields():
        if field.is_repeated:
            columns[field.name] = [plain(one) for one in value]
        else:
            columns[field.name] = plain(value)
    return columns


def plain(value: Any) -> Any:
    if isinstance(value, message.Message):
        return fields(value)
    return value.hex() if isinstance(value, bytes) else value


def order(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a signed transaction that places an order."""
    key = PrivateKey(bytes.fromhex(asked["secret"]))
    public_key = key.public_key.format(compressed=True)
    placed = clob_pb2.MsgPlaceOrder(order=json_format.ParseDict(asked["order"], order_pb2.Order()))
    packed = any_pb2.Any(type_url="/dydxprotocol.clob.MsgPlaceOrder", value=placed.SerializeToString())
    body = tx_pb2.TxBody(messages=[packed]).SerializeToString()
    signer = tx_pb2.SignerInfo(
        public_key=any_pb2.Any(
            type_url="/cosmos.crypto.secp256k1.PubKey", value=keys_pb2.PubKey(key=public_key).SerializeToString()
        ),
        mode_info=tx_pb2.ModeInfo(single=tx_pb2.ModeInfo.Single(mode=1)),
        sequence=asked["sequence"],
    )
    auth = tx_pb2.AuthInfo(signer_infos=[signer], fee=tx_pb2.Fee(gas_limit=1_000_000)).SerializeToString()
    document = tx_pb2.SignDoc(
        body_bytes=body, auth_info_bytes=auth, chain_id=asked["chain_id"], account_number=asked["account_number"]
    )
    signature = key.sign_recoverable(document.SerializeToString())[:64]
    raw = tx_pb2.TxRaw(body_bytes=body, auth_info_bytes=auth, signatures=[signature])
    return {"hex": raw.SerializeToString().hex()}


if __name__ == "__main__":
    for line in sys.stdin:
        wanted = json.loads(line)
        sys.stdout.write(json.dumps((read if wanted["op"] == "read" else order)(wanted)) + "\n")
        sys.stdout.flush()
