"""USDC between wallets and subaccounts: the messages that move it, and what the indexer remembers of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from spyhop.model.tape import Venue
from spyhop.venuesim.dydx import chain, names
from spyhop.venuesim.dydx.messages import MsgCreateTransfer, MsgDepositToSubaccount, MsgWithdrawFromSubaccount
from spyhop.venuesim.dydx.protobuf import Message
from spyhop.venuesim.dydx.tickets import account_name
from spyhop.venuesim.dydx.transactions import Rejected
from spyhop.venuesim.dydx.wallets import Wallets
from spyhop.venuesim.exchange import Exchange

ASSET = "USDC"


class Place(msgspec.Struct, frozen=True):
    """Where an amount lies: a wallet (`number` -1) or one of its subaccounts."""

    address: str
    number: int = -1

    @property
    def account(self) -> str:
        return account_name(self.address, self.number) if self.number >= 0 else ""

    def body(self) -> dict[str, Any]:
        """Return the place as the indexer shows it."""
        if self.number < 0:
            return {"address": self.address}
        return {"address": self.address, "subaccountNumber": self.number}


class Move(msgspec.Struct, frozen=True):
    """A transfer that a message asks for; `quantums` are millionths of a USDC."""

    sender: Place
    recipient: Place
    quantums: int

    @property
    def amount(self) -> Decimal:
        return Decimal(self.quantums).scaleb(chain.USDC_RESOLUTION)


class Transfer(msgspec.Struct, frozen=True):
    """A transfer that happened."""

    move: Move
    event: str
    tx_hash: str
    ts: int

    def body(self, account: str) -> dict[str, Any]:
        """Return the transfer as the indexer shows it to `account`."""
        sender, recipient = self.move.sender, self.move.recipient
        if sender.number < 0:
            kind = "DEPOSIT"
        elif recipient.number < 0:
            kind = "WITHDRAWAL"
        else:
            kind = "TRANSFER_OUT" if sender.account == account else "TRANSFER_IN"
        return {
            "id": names.transfer_uuid(self.event, str(sender.account), str(recipient.account)),
            "sender": sender.body(),
            "recipient": recipient.body(),
            "size": chain.plain(self.move.amount),
            "createdAt": chain.iso(self.ts),
            "createdAtHeight": str(chain.height_at(self.ts)),
            "symbol": ASSET,
            "type": kind,
            "transactionHash": self.tx_hash,
        }


def move_of(message: Message) -> Move | None:
    """Return the transfer that `message` asks for, None when it asks for something else; raise Rejected."""
    asset = 0
    if isinstance(message, MsgDepositToSubaccount) and message.recipient:
        asset, quantums = message.asset_id, message.quantums
        move = Move(Place(message.sender), Place(message.recipient.owner, message.recipient.number), quantums)
    elif isinstance(message, MsgWithdrawFromSubaccount) and message.sender:
        asset, quantums = message.asset_id, message.quantums
        move = Move(Place(message.sender.owner, message.sender.number), Place(message.recipient), quantums)
    elif isinstance(message, MsgCreateTransfer) and (transfer := message.transfer):
        if transfer.sender is None or transfer.recipient is None:
            raise Rejected("sending", 2, "Sender is the same as recipient")
        move = Move(
            Place(transfer.sender.owner, transfer.sender.number),
            Place(transfer.recipient.owner, transfer.recipient.number),
            transfer.amount,
        )
        asset = transfer.asset_id
    else:
        return None
    if asset != 0:
        raise Rejected("sending", 6, "Non-USDC asset transfer not implemented")
    if move.quantums == 0:
        raise Rejected("sending", 5, "Invalid transfer amount")
    if move.sender == move.recipient:
        raise Rejected("sending", 2, "Sender is the same as recipient")
    return move


def execute(move: Move, exchange: Exchange, wallets: Wallets, asset: str) -> None:
    """Move the amount, which the exchange calls `asset`; raise Refused or Rejected, then nothing has changed."""
    if move.sender.number < 0:
        wallet = wallets[move.sender.address]
        if wallet.quantums < move.quantums:
            raise Rejected("sdk", 5, f"spendable balance {wallet.quantums}uusdc is smaller: insufficient funds")
        wallet.quantums -= move.quantums
    else:
        exchange.transfer(move.sender.account, asset, -move.amount)
    if move.recipient.number < 0:
        wallets.open(move.recipient.address).quantums += move.quantums
    else:
        wallets.open(move.recipient.address)
        exchange.open_account(move.recipient.account, Venue.DYDX, {asset: Decimal(0)})
        exchange.transfer(move.recipient.account, asset, move.amount)
