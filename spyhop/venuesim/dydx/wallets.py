"""Who may sign: addresses with their keys, sequences and nonces, the USDC they hold outside their subaccounts."""

from __future__ import annotations

import base64
from typing import Final

import msgspec
from coincurve import PrivateKey

from spyhop.venues.dydx.address import address_of
from spyhop.venuesim.dydx import chain
from spyhop.venuesim.dydx.transactions import Rejected
from spyhop.venuesim.keys import TEST_WALLET

TEST_PUBLIC_KEY: Final = PrivateKey(bytes.fromhex(TEST_WALLET)).public_key.format(compressed=True)
TEST_ADDRESS: Final = address_of(TEST_PUBLIC_KEY)


class Wallet(msgspec.Struct):
    """An account of the chain. `quantums` is USDC in millionths; the public key is known once it has signed."""

    address: str
    number: int
    quantums: int = 0
    public_key: bytes = b""
    sequence: int = 0
    nonces: tuple[int, ...] = ()

    def spend(self, sequence: int, block_time: int) -> None:
        """Use `sequence` up, be it the next number or a time in ms; raise Rejected when it cannot be used."""
        if sequence < chain.TIMESTAMP_NONCE:
            if sequence != self.sequence:
                raise Rejected(
                    "sdk",
                    32,
                    f"account sequence mismatch, expected {self.sequence}, got {sequence}: incorrect account sequence",
                )
            self.sequence += 1
            return
        if abs(sequence - chain.epoch_ms(block_time)) > chain.NONCE_WINDOW_MS:
            raise Rejected("sdk", 32, f"timestamp nonce {sequence} not within valid time window")
        is_full = len(self.nonces) >= chain.NUM_NONCES
        if sequence in self.nonces or (is_full and sequence <= self.nonces[0]):
            raise Rejected("sdk", 32, f"timestamp nonce {sequence} rejected")
        self.nonces = tuple(sorted((*(self.nonces[1:] if is_full else self.nonces), sequence)))

    def info(self) -> dict[str, object]:
        """Return the body that the auth module answers."""
        key = {"@type": "/cosmos.crypto.secp256k1.PubKey", "key": base64.b64encode(self.public_key).decode()}
        return {
            "address": self.address,
            "pub_key": key if self.public_key else None,
            "account_number": str(self.number),
            "sequence": str(self.sequence),
        }


class Wallets:
    """The wallets of the chain by address, numbered in the order in which they came."""

    def __init__(self) -> None:
        self._by_address: dict[str, Wallet] = {}

    def __contains__(self, address: str) -> bool:
        return address in self._by_address

    def __getitem__(self, address: str) -> Wallet:
        return self._by_address[address]

    def get(self, address: str) -> Wallet | None:
        """Return the wallet of `address`, None when the chain has never seen it."""
        return self._by_address.get(address)

    def open(self, address: str, public_key: bytes = b"") -> Wallet:
        """Return the wallet of `address`, new if need be."""
        wallet = self._by_address.setdefault(address, Wallet(address, len(self._by_address) + 1))
        wallet.public_key = wallet.public_key or public_key
        return wallet

    def add(self, public_key: bytes) -> Wallet:
        """Return the wallet of a key."""
        return self.open(address_of(public_key), public_key)

    def addresses(self) -> tuple[str, ...]:
        """Return the known addresses, oldest first."""
        return tuple(self._by_address)
