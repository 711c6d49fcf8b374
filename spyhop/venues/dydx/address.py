"""Addresses of the dYdX chain: bech32 text of the hash of a secp256k1 public key (BIP-173)."""

from __future__ import annotations

import hashlib
from typing import Final

PREFIX: Final = "dydx"
_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH: Final = 6


def address_of(public_key: bytes) -> str:
    """Return the `dydx1...` address of a compressed public key (33 bytes)."""
    digest = hashlib.new("ripemd160", hashlib.sha256(public_key).digest()).digest()
    values = _regroup(digest, 8, 5)
    return f"{PREFIX}1{''.join(_ALPHABET[value] for value in values + _checksum(PREFIX, values))}"


def is_address(text: str) -> bool:
    """Return whether `text` is an address of this chain with a right checksum."""
    prefix, separator, data = text.rpartition("1")
    if prefix != PREFIX or not separator or not set(data) <= set(_ALPHABET):
        return False
    values = [_ALPHABET.index(letter) for letter in data]
    body, checksum = values[:-_CHECKSUM_LENGTH], values[-_CHECKSUM_LENGTH:]
    return len(body) * 5 // 8 in (20, 32) and _checksum(prefix, body) == checksum


def _checksum(prefix: str, values: list[int]) -> list[int]:
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    remainder = _polymod([*expanded, *values, *([0] * _CHECKSUM_LENGTH)]) ^ 1
    return [(remainder >> 5 * (_CHECKSUM_LENGTH - 1 - place)) & 31 for place in range(_CHECKSUM_LENGTH)]


def _polymod(values: list[int]) -> int:
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate(_GENERATOR):
            remainder ^= term if top >> place & 1 else 0
    return remainder


def _regroup(data: bytes, width: int, into: int) -> list[int]:
    """Return the bits of `data` (groups of `width`) as groups of `into`, the last one filled with zeros."""
    bits = "".join(f"{value:0{width}b}" for value in data)
    return [int(bits[at : at + into].ljust(into, "0"), 2) for at in range(0, len(bits), into)]
