"""The names that the indexer gives: UUIDs version 5 of what a thing is, and ids of events by their place in a block."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("0f9da948-a6fb-4c45-9edc-4685c3f3317d")


def subaccount_uuid(address: str, number: int) -> str:
    """Return the id of a subaccount."""
    return str(uuid5(NAMESPACE, f"{address}-{number}"))


def order_uuid(address: str, number: int, client_id: int, clob_pair_id: int, order_flags: int) -> str:
    """Return the id of an order: the same for every order with the same client id, pair and flags."""
    return str(uuid5(NAMESPACE, f"{subaccount_uuid(address, number)}-{client_id}-{clob_pair_id}-{order_flags}"))


def event_id(height: int, transaction: int, event: int) -> str:
    """Return the id of an event, 12 bytes in hex: block height, transaction and event in it."""
    return f"{height:08x}{transaction:08x}{event:08x}"


def fill_uuid(event: str, liquidity: str) -> str:
    """Return the id of one side of a fill; `liquidity` is TAKER or MAKER."""
    return str(uuid5(NAMESPACE, f"{event}-{liquidity}"))


def transfer_uuid(event: str, sender: str, recipient: str) -> str:
    """Return the id of a transfer."""
    return str(uuid5(NAMESPACE, f"0-{event}-{sender}-{recipient}"))


def candle_uuid(started_at: str, ticker: str, resolution: str) -> str:
    """Return the id of a candle."""
    return str(uuid5(NAMESPACE, f"{started_at}-{ticker}-{resolution}"))
