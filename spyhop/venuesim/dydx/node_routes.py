"""A node's HTTP: CometBFT's RPC by GET, the Cosmos REST that signing needs, and a faucet."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from aiohttp import web

from spyhop.venues.dydx.address import is_address
from spyhop.venuesim.dydx import chain
from spyhop.venuesim.dydx.indexer_rest import LABEL
from spyhop.venuesim.dydx.messages import TxBody, TxRaw
from spyhop.venuesim.dydx.node import Node, Receipt
from spyhop.venuesim.dydx.protobuf import Malformed, decode
from spyhop.venuesim.dydx.wallets import Wallets
from spyhop.venuesim.faults import FaultKind
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.words import Refused

_MAX_GAS = "18446744073709551615"
_USED_GAS = "86055"


class NodeRoutes:
    """Answers for `node` on `floor`; `hold` keeps back until a time what subaccounts would be told."""

    def __init__(self, floor: Floor, node: Node, wallets: Wallets, hold: Callable[[int], None]) -> None:
        self._floor, self._node, self._wallets, self._hold = floor, node, wallets, hold
        self.num_broadcasts = 0

    def routes(self, app: web.Application) -> None:
        """Add every route."""
        router = app.router
        router.add_get("/abci_info", self._abci_info)
        router.add_get("/status", self._status)
        router.add_get("/block", self._block)
        router.add_get("/tx", self._tx)
        router.add_get("/broadcast_tx_sync", self._broadcast)
        router.add_get("/broadcast_tx_async", self._broadcast)
        router.add_get("/cosmos/auth/v1beta1/account_info/{address}", self._account_info)
        router.add_post("/cosmos/tx/v1beta1/simulate", self._simulate)
        router.add_post("/faucet/tokens", self._faucet)

    async def _abci_info(self, request: web.Request) -> web.Response:
        height = self._now()
        return _result(
            {
                "response": {
                    "data": "dydxprotocol",
                    "version": "9.1.0",
                    "last_block_height": str(height),
                    "last_block_app_hash": base64.b64encode(_hash_of(height)).decode(),
                }
            }
        )

    async def _status(self, request: web.Request) -> web.Response:
        height = self._now()
        return _result(
            {
                "node_info": {"network": chain.CHAIN_ID, "version": "0.38.6", "moniker": "spyhop"},
                "sync_info": {
                    "latest_block_hash": _hash_of(height).hex().upper(),
                    "latest_block_height": str(height),
                    "latest_block_time": chain.iso(chain.time_of(height)),
                    "catching_up": False,
                },
            }
        )

    async def _block(self, request: web.Request) -> web.Response:
        newest = self._now()
        text = request.query.get("height", "").strip('"')
        height = int(text) if text.isdecimal() else newest
        if not 0 < height <= newest:
            return _failure(-32603, f"height {height} must be less than or equal to the current blockchain height")
        return _result(
            {
                "block_id": {"hash": _hash_of(height).hex().upper()},
                "block": {
                    "header": {
                        "chain_id": chain.CHAIN_ID,
                        "height": str(height),
                        "time": chain.iso(chain.time_of(height)),
                    },
                    "data": {"txs": [tx.tx.hash for tx in self._node.included.values() if tx.height == height]},
                },
            }
        )

    async def _tx(self, request: web.Request) -> web.Response:
        self._now()
        found = self._node.included.get(request.query.get("hash", "").strip('"').removeprefix("0x").upper())
        if found is None:
            return _failure(-32603, "tx not found")
        result = {"code": found.code, "codespace": found.codespace, "log": found.log}
        return _result({"hash": found.tx.hash, "height": str(found.height), "tx_result": result})

    async def _broadcast(self, request: web.Request) -> web.Response:
        self._now()
        self.num_broadcasts += 1
        faults, names = self._floor.faults, ("broadcast_tx_sync", request.path)
        try:
            raw = bytes.fromhex(request.query.get("tx", "").strip('"').removeprefix("0x"))
        except ValueError:
            return _failure(-32602, "failed to decode tx: it is not hex")
        if not raw:
            return _failure(-32602, "tx is missing")
        if failure := faults.hit(FaultKind.SERVER_ERROR, LABEL, *names):
            return _failure(-32603, "the node is down", failure.status)
        if faults.hit(FaultKind.UNKNOWN_LOST, LABEL, *names):
            return _failure(-32603, "timed out waiting for tx to be included in a block", 503)
        if reject := faults.hit(FaultKind.REJECT, LABEL, *names):
            tx_hash = hashlib.sha256(raw).hexdigest().upper()
            return _receipt(Receipt(tx_hash, abs(reject.code), "clob", "rejected on request"))
        if later := faults.hit(FaultKind.REPLY_FIRST, LABEL, *names):
            self._hold(self._floor.exchange.now + later.delay_ns)
        partial = faults.hit(FaultKind.PARTIAL_FILL, LABEL, *names)
        receipt = self._node.broadcast(raw, partial.fraction if partial else 1.0)
        self._floor.publish()
        if faults.hit(FaultKind.UNKNOWN_EXECUTED, LABEL, *names):
            return _failure(-32603, "timed out waiting for tx to be included in a block", 503)
        if sooner := faults.hit(FaultKind.EVENT_FIRST, LABEL, *names):
            await self._floor.clock.sleep(sooner.delay_s)
        return _receipt(receipt)

    async def _account_info(self, request: web.Request) -> web.Response:
        self._now()
        address = request.match_info["address"]
        wallet = self._wallets.get(address)
        if wallet is None:
            return _json({"code": 5, "message": f"account {address} not found", "details": []}, 404)
        return _json({"info": wallet.info()})

    async def _simulate(self, request: web.Request) -> web.Response:
        self._now()
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
            raw = base64.b64decode(str(body.get("txBytes") or body.get("tx_bytes") or ""), validate=True)
            messages = decode(TxBody, decode(TxRaw, raw).body_bytes).messages
        except (msgspec.MsgspecError, binascii.Error, Malformed) as reason:
            return _json({"code": 3, "message": f"invalid transaction: {reason}", "details": []}, 400)
        if not messages:
            return _json({"code": 3, "message": "empty transaction", "details": []}, 400)
        return _json(
            {
                "gas_info": {"gas_wanted": _MAX_GAS, "gas_used": _USED_GAS},
                "result": {"data": "", "log": "", "events": []},
            }
        )

    async def _faucet(self, request: web.Request) -> web.Response:
        self._now()
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
            address, number = str(body["address"]), int(body.get("subaccountNumber", 0))
            amount = Decimal(str(body.get("amount", 1_000)))
        except (msgspec.MsgspecError, KeyError, ValueError, InvalidOperation):
            return _json({"errors": [{"msg": "address, subaccountNumber and amount are wanted"}]}, 400)
        if not is_address(address) or not 0 <= number <= 128_000 or not 0 < amount <= 10**9:
            return _json({"errors": [{"msg": "no such subaccount or no such amount"}]}, 400)
        try:
            self._node.fund(address, number, amount)
        except Refused as reason:
            return _json({"errors": [{"msg": str(reason)}]}, 400)
        self._floor.publish()
        return _json({})

    def _now(self) -> int:
        self._floor.advance()
        self._floor.publish()
        return self._node.height


def _hash_of(height: int) -> bytes:
    return hashlib.sha256(f"{chain.CHAIN_ID}/{height}".encode()).digest()


def _receipt(receipt: Receipt) -> web.Response:
    return _result(
        {"code": receipt.code, "data": "", "log": receipt.log, "codespace": receipt.codespace, "hash": receipt.hash}
    )


def _result(result: object) -> web.Response:
    return _json({"jsonrpc": "2.0", "id": -1, "result": result})


def _failure(code: int, data: str, status: int = 500) -> web.Response:
    message = "Invalid params" if code == -32602 else "Internal error"
    return _json({"jsonrpc": "2.0", "id": -1, "error": {"code": code, "message": message, "data": data}}, status)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
