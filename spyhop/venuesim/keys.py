"""The keys that the simulator takes unless others are asked for; worthless by construction."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec


class ApiKey(msgspec.Struct, frozen=True):
    """A key and the secret that signs with it, both of a test account of the simulator."""

    account: str
    key: str
    secret: str

    def __repr__(self) -> str:
        return f"ApiKey({self.account!r}, {self.key!r}, ***)"


TEST_KEY: Final = ApiKey("main", "spyhop-test-key", "spyhop-test-secret")
TEST_WALLET: Final = hashlib.sha256(b"spyhop test wallet").hexdigest()
"""The private key of a wallet of dYdX."""
