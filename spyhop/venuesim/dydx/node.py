"""A node of the chain: it checks transactions, keeps what waits for a block, and makes blocks.

Code 0 means that a transaction passed the checks, no more. A short-term order meets the book at once, and what came of
it is told with the next block; everything else waits for that block. Short-term orders that reach their last block go
without a word, and the indexer lists them as CANCELED from then on.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from spyhop.model.tape import Venue
from spyhop.venuesim.dydx import chain, checks, transfers
from spyhop.venuesim.dydx.books import Books
from spyhop.venuesim.dydx.limits import BlockRates, check_equity
from spyhop.venuesim.dydx.messages import MsgBatchCancel, MsgCancelOrder, MsgPlaceOrder, OrderFlags, OrderId
from spyhop.venuesim.dydx.protobuf import Message
from spyhop.venuesim.dydx.quantums import ClobPair
from spyhop.venuesim.dydx.tickets import OrderStatus, Ticket, uuid_of
from spyhop.venuesim.dydx.transactions import Rejected, Transaction, is_signed, parse
from spyhop.venuesim.dydx.wallets import Wallet, Wallets
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.thinning import thin
from spyhop.venuesim.words import RefusalCode, Refused

_CACHE: Final = 10_000
_UNSEEN: Final = frozenset({RefusalCode.WOULD_TAKE, RefusalCode.WOULD_TRIGGER, RefusalCode.NOT_FILLABLE})
"""What a stateful order is not checked for before it is in a block."""


class Receipt(msgspec.Struct, frozen=True):
    """What the node answers to a broadcast; `code` 0 = passed the checks."""

    hash: str
    code: int = 0
    codespace: str = ""
    log: str = ""


class Included(msgspec.Struct, frozen=True):
    """A transaction that a block holds."""

    tx: Transaction
    height: int
    code: int = 0
    codespace: str = ""
    log: str = ""


class Node:
    """The chain's state over the exchange's. `books` is what the indexer knows of orders, fills and positions."""

    def __init__(self, exchange: Exchange, pairs: Mapping[int, ClobPair], wallets: Wallets, books: Books) -> None:
        self._exchange, self._pairs, self._wallets, self._books = exchange, pairs, wallets, books
        self._asset = next((pair.instrument.quote for pair in pairs.values()), transfers.ASSET)
        self.height = chain.height_at(exchange.now)
        self.included: dict[str, Included] = {}
        self.num_rejected = 0
        self._seen: deque[str] = deque(maxlen=_CACHE)
        self._cache: set[str] = set()
        self._waiting: list[tuple[Transaction, Message]] = []
        self._memory: dict[str, Ticket] = {}
        self._cancels: dict[str, int] = {}
        self._rates = BlockRates()
        self._fraction = 1.0

    @property
    def block_time(self) -> int:
        """Return when the newest block was made, nanoseconds."""
        return chain.time_of(self.height)

    @property
    def num_waiting(self) -> int:
        """Return how many messages wait for the next block."""
        return len(self._waiting)

    def broadcast(self, raw: bytes, fraction: float = 1.0) -> Receipt:
        """Check a signed transaction and let it in; a short-term order finds `fraction` of what it would find."""
        tx_hash = hashlib.sha256(raw).hexdigest().upper()
        if tx_hash in self._cache:
            return Receipt(tx_hash, 19, "sdk", "tx already in mempool")
        try:
            tx = parse(raw)
            self._fraction = fraction
            self._admit(tx)
        except Rejected as refusal:
            self.num_rejected += 1
            return Receipt(tx_hash, refusal.code, refusal.codespace, refusal.log)
        if len(self._seen) == _CACHE:
            self._cache.discard(self._seen[0])
        self._seen.append(tx_hash)
        self._cache.add(tx_hash)
        return Receipt(tx_hash, log="[]")

    def commit(self) -> list[int]:
        """Make the blocks that are due at the exchange's now and return their heights."""
        due = list(range(self.height + 1, chain.height_at(self._exchange.now) + 1))
        if not due:
            return due
        self.height = due[-1]
        waiting, self._waiting = self._waiting, []
        for tx, message in waiting:
            self._deliver(tx, message)
        self._expire()
        self._books.close_block(self.height)
        return due

    def fund(self, address: str, number: int, amount: Decimal) -> None:
        """Give a subaccount `amount` USDC out of thin air, as a faucet does."""
        self._wallets.open(address)
        name = transfers.Place(address, number).account
        self._exchange.open_account(name, Venue.DYDX, {self._asset: Decimal(0)})
        self._exchange.transfer(name, self._asset, amount)

    # checks

    def _admit(self, tx: Transaction) -> None:
        wallet = self._authenticate(tx)
        before = (wallet.sequence, wallet.nonces)
        try:
            if tx.timeout_height and tx.timeout_height < self.height + 1:
                raise Rejected("sdk", 30, f"tx timeout height {tx.timeout_height}: tx timeout height")
            if tx.is_short_term:
                self._admit_short_term(tx, tx.messages[0])
                return
            wallet.spend(tx.sequence, self.block_time)
            for message in tx.messages:
                self._check_stateful(tx, message)
        except Rejected:
            wallet.sequence, wallet.nonces = before
            raise
        self._waiting += [(tx, message) for message in tx.messages]

    def _authenticate(self, tx: Transaction) -> Wallet:
        wallet = self._wallets.get(tx.signer)
        if wallet is None:
            raise Rejected("sdk", 9, f"account {tx.signer} does not exist: unknown address")
        if not is_signed(tx, chain.CHAIN_ID, wallet.number):
            raise Rejected(
                "sdk",
                4,
                f"signature verification failed; please verify account number ({wallet.number}), sequence "
                f"({tx.sequence}) and chain-id ({chain.CHAIN_ID}): unauthorized",
            )
        wallet.public_key = tx.public_key
        return wallet

    def _admit_short_term(self, tx: Transaction, message: Message) -> None:
        self._rates.count_short_term(tx.signer, self.height)
        if isinstance(message, MsgPlaceOrder):
            self._place_short_term(self._ticket(tx, message))
        elif isinstance(message, MsgCancelOrder):
            order_id = self._owned(message.order_id, tx)
            checks.check_cancel(message, None, self.height, self.block_time)
            self._cancel_short_term(uuid_of(order_id), message.good_til_block or 0)
        elif isinstance(message, MsgBatchCancel):
            self._cancel_batch(tx, message)

    def _cancel_batch(self, tx: Transaction, batch: MsgBatchCancel) -> None:
        owner = checks.check_owner(batch.subaccount_id, tx.signer)
        checks.check_batch(batch, self.height)
        num_done = 0
        for part in batch.short_term_cancels:
            for client_id in part.client_ids:
                order_id = OrderId(owner, client_id, OrderFlags.SHORT_TERM, part.clob_pair_id)
                try:
                    self._cancel_short_term(uuid_of(order_id), batch.good_til_block)
                    num_done += 1
                except Rejected:
                    continue
        if not num_done:
            raise checks.clob(46, "every cancel failed")

    def _ticket(self, tx: Transaction, message: MsgPlaceOrder) -> Ticket:
        """Return the ticket of a new order that passed every check of its own; it is not noted anywhere yet."""
        order = message.order
        if order is None:
            raise checks.clob(12, "no order")
        self._owned(order.order_id, tx)
        pair = self._pairs.get(order.order_id.clob_pair_id) if order.order_id else None
        order_id = checks.check_order(order, pair, self.height, self.block_time)
        assert pair is not None
        uuid = uuid_of(order_id)
        before = self._memory.get(uuid)
        checks.check_replacement(order, before, pair.lots(order.quantums) or 0)
        is_short_term = order_id.order_flags == OrderFlags.SHORT_TERM
        return Ticket(
            uuid=uuid,
            order_id=order_id,
            order=order,
            pair=pair,
            tx_hash=tx.hash,
            status=OrderStatus.BEST_EFFORT_OPENED if is_short_term else OrderStatus.OPEN,
            height=self.height + 1,
            updated=self._exchange.now,
            updated_height=self.height + 1,
            filled=before.filled if before else 0,
        )

    def _owned(self, order_id: OrderId | None, tx: Transaction) -> OrderId:
        if order_id is None:
            raise checks.clob(12, "no order id")
        checks.check_owner(order_id.subaccount_id, tx.signer)
        return order_id

    def _check_stateful(self, tx: Transaction, message: Message) -> None:
        if isinstance(message, MsgPlaceOrder):
            ticket = self._ticket(tx, message)
            if ticket.is_short_term:
                raise Rejected("sdk", 18, "a short-term order must be the only message: invalid request")
            self._check_equity(ticket.account)
            try:
                self._exchange.check(ticket.request())
            except Refused as refusal:
                if refusal.code not in _UNSEEN:
                    raise checks.clob(checks.OF_REFUSAL.get(refusal.code, 12), refusal.detail) from refusal
            except KeyError as reason:
                raise checks.clob(3007, "the subaccount does not exist") from reason
            self._rates.count_stateful(tx.signer, self.height)
        elif isinstance(message, MsgCancelOrder):
            order_id = self._owned(message.order_id, tx)
            checks.check_cancel(message, self._memory.get(uuid_of(order_id)), self.height, self.block_time)
        elif isinstance(message, MsgBatchCancel):
            raise Rejected("sdk", 18, "a batch cancel must be the only message: invalid request")
        else:
            move = transfers.move_of(message)
            if move is None:
                raise Rejected("sdk", 18, "incomplete message: invalid request")
            if move.sender.address != tx.signer:
                raise Rejected("sdk", 4, f"{tx.signer} may not speak for {move.sender.address}: unauthorized")

    def _check_equity(self, account: str) -> None:
        if account not in self._exchange.accounts(Venue.DYDX):
            raise checks.clob(3007, "the subaccount does not exist")
        num_open = sum(
            1
            for ticket in self._memory.values()
            if ticket.account == account and not ticket.is_short_term and ticket.status.is_open
        )
        equity = sum((balance.wallet + balance.unrealized for balance in self._exchange.balances(account)), Decimal(0))
        check_equity(equity, num_open)

    # what follows

    def _place_short_term(self, ticket: Ticket) -> None:
        if self._cancels.get(ticket.uuid, 0) >= (ticket.order.good_til_block or 0):
            raise checks.clob(7)
        before = self._memory.get(ticket.uuid)
        if before is not None and before.status.is_open:
            self._withdraw(before)
        self._books.hold(ticket)
        if self._fraction < 1.0:
            thin(self._exchange, ticket.request(), self._fraction)
        try:
            self._submit(ticket)
        except Refused as refusal:
            if refusal.code is not RefusalCode.MARGIN:
                self._restore(ticket, before)
                raise checks.clob(checks.OF_REFUSAL.get(refusal.code, 12), refusal.detail) from refusal
            # the collateral is looked at when the order meets the book, which is after the check has passed
            ticket.change(OrderStatus.BEST_EFFORT_CANCELED, self._exchange.now, "UNDERCOLLATERALIZED")
            self._books.tell_now(ticket)
        else:
            self._memory[ticket.uuid] = ticket

    def _restore(self, refused: Ticket, before: Ticket | None) -> None:
        """Note again what `refused` was to replace; if that was open it is gone all the same."""
        self._books.forget(refused)
        if before is not None:
            self._books.hold(before)
            if before.is_silent:
                before.change(OrderStatus.BEST_EFFORT_CANCELED, self._exchange.now, "REPLACED")
                self._books.tell_now(before)

    def _submit(self, ticket: Ticket) -> None:
        try:
            self._exchange.submit(ticket.request())
        except KeyError as reason:
            raise Refused(RefusalCode.MARGIN, "the subaccount does not exist") from reason
        except Refused as refusal:
            if refusal.code is not RefusalCode.WOULD_TRIGGER:
                raise
            # the chain knows no such refusal: the condition holds already, so the order goes to the book
            self._books.trigger(ticket)
            self._exchange.submit(ticket.request())

    def _cancel_short_term(self, uuid: str, good_til_block: int) -> None:
        if self._cancels.get(uuid, 0) >= good_til_block:
            raise checks.clob(9)
        ticket = self._memory.get(uuid)
        if ticket is not None and (ticket.order.good_til_block or 0) > good_til_block:
            return  # the order outlives the cancel, so the cancel does nothing
        self._cancels[uuid] = good_til_block
        if ticket is not None and ticket.status.is_open:
            self._exchange.cancel(ticket.account, ticket.exchange_id, "USER_CANCELED")

    def _withdraw(self, ticket: Ticket) -> None:
        ticket.is_silent = True
        if ticket.exchange_id:
            self._exchange.cancel(ticket.account, ticket.exchange_id, "REPLACED")

    def _deliver(self, tx: Transaction, message: Message) -> None:
        code, codespace, log = 0, "", ""
        try:
            if isinstance(message, MsgPlaceOrder):
                self._deliver_order(self._ticket(tx, message))
            elif isinstance(message, MsgCancelOrder) and message.order_id is not None:
                ticket = self._memory.get(uuid_of(message.order_id))
                if ticket is None or not ticket.status.is_open:
                    raise checks.clob(3006)
                self._exchange.cancel(ticket.account, ticket.exchange_id, "USER_CANCELED")
            elif (move := transfers.move_of(message)) is not None:
                transfers.execute(move, self._exchange, self._wallets, self._asset)
                self._books.note_transfer(move, tx.hash)
        except Rejected as refusal:
            code, codespace, log = refusal.code, refusal.codespace, refusal.log
        except (Refused, KeyError) as refusal:
            code, codespace, log = 402, "subaccounts", str(refusal)
        self.included[tx.hash] = Included(tx, self.height, code, codespace, log)
        if len(self.included) > _CACHE:
            del self.included[next(iter(self.included))]

    def _deliver_order(self, ticket: Ticket) -> None:
        before = self._memory.get(ticket.uuid)
        if before is not None and before.status.is_open:
            self._withdraw(before)
        self._memory[ticket.uuid] = ticket
        self._books.hold(ticket)
        try:
            self._submit(ticket)
        except Refused as refusal:
            removal = _REMOVALS.get(refusal.code, "INTERNAL_ERROR")
            ticket.change(OrderStatus.CANCELED, self._exchange.now, removal)
            self._books.tell_with_block(ticket)
        if ticket.status is OrderStatus.CANCELED:
            self._memory.pop(ticket.uuid, None)

    def _expire(self) -> None:
        for uuid, ticket in list(self._memory.items()):
            if ticket.is_short_term:
                if (ticket.order.good_til_block or 0) <= self.height:
                    self._drop(uuid, ticket, is_silent=True)
            elif not ticket.status.is_open:
                del self._memory[uuid]
            elif ticket.good_til_ns <= self.block_time:
                self._drop(uuid, ticket, is_silent=False)
        for uuid, good_til_block in list(self._cancels.items()):
            if good_til_block <= self.height:
                del self._cancels[uuid]

    def _drop(self, uuid: str, ticket: Ticket, *, is_silent: bool) -> None:
        del self._memory[uuid]
        if ticket.status.is_open and ticket.exchange_id:
            ticket.is_silent = is_silent
            self._exchange.expire(ticket.account, ticket.exchange_id, "EXPIRED")

    def state(self) -> dict[str, Any]:
        """Return what a test harness may ask about."""
        return {
            "height": self.height,
            "waiting": self.num_waiting,
            "rejected": self.num_rejected,
            "included": len(self.included),
            "open": [ticket.body() for ticket in self._memory.values() if ticket.status.is_open],
        }


_REMOVALS: Final = {
    RefusalCode.MARGIN: "UNDERCOLLATERALIZED",
    RefusalCode.WOULD_TAKE: "POST_ONLY_WOULD_CROSS_MAKER_ORDER",
    RefusalCode.REDUCE_ONLY: "INVALID_REDUCE_ONLY",
    RefusalCode.NOT_FILLABLE: "FOK_ORDER_COULD_NOT_BE_FULLY_FULLED",
}
