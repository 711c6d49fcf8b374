"""Compiled exact decimals: text to integers in units of a tick, without floats, and why a text is none.

`Bytes` are u1, `Ints` i8; the element type is left open so that arithmetic on it reads as int, which it is in a kernel.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spyhop.numerics._borrowed import kernel

Bytes: TypeAlias = npt.NDArray[Any]
Ints: TypeAlias = npt.NDArray[Any]

# why a line cannot be used; 0 is well
OK = 0
BAD_JSON = 1
TRUNCATED = 2
DUPLICATE_KEY = 3
BAD_NUMBER = 4
NEGATIVE = 5
OUT_OF_RANGE = 6
OFF_GRID = 7

_POWERS = 10 ** np.arange(19)
MAX_DIGITS = 18  # any such number fits 63 bits


@kernel
def fixed(buf: Bytes, i: int, end: int, decimals: int) -> tuple[int, int, int]:
    """Return (number in units of 10^-decimals, place after it, OK or the reason) of the decimal digits at `i`.

    Exact: digits beyond `decimals` must be zeros, else OFF_GRID and the number is cut there. No sign, no exponent.
    OUT_OF_RANGE where the digits before the point and `decimals` are more than 18 together.
    """
    number = 0
    start = i
    while i < end:
        digit = buf[i] - 48
        if digit < 0 or digit > 9:
            break
        number = number * 10 + digit
        i += 1
    if i == start:
        return 0, i, NEGATIVE if i < end and buf[i] == 45 else BAD_NUMBER
    if i - start + decimals > MAX_DIGITS:
        return 0, i, OUT_OF_RANGE
    reason = OK
    given = 0
    if i < end and buf[i] == 46:
        i += 1
        start = i
        stop = min(end, i + decimals)
        while i < stop:
            digit = buf[i] - 48
            if digit < 0 or digit > 9:
                break
            number = number * 10 + digit
            i += 1
        given = i - start
        while i < end:
            digit = buf[i] - 48
            if digit < 0 or digit > 9:
                break
            if digit != 0:
                reason = OFF_GRID
            i += 1
        if i == start:
            return 0, i, BAD_NUMBER
    number *= _POWERS[decimals - given]
    return number, i, reason


@kernel
def whole(buf: Bytes, start: int, end: int, decimals: int, unit: int) -> tuple[int, int]:
    """Return (multiple of unit x 10^-decimals that buf[start:end] says, OK or the reason)."""
    number, i, reason = fixed(buf, start, end, decimals)
    if reason != OK and reason != OFF_GRID:
        return 0, reason
    if i != end:
        return 0, BAD_NUMBER
    if reason == OK and unit != 1:
        if number % unit != 0:
            return 0, OFF_GRID
        number //= unit
    return number, reason


@kernel
def rounded(buf: Bytes, start: int, end: int, decimals: int) -> tuple[int, int]:
    """Return (number in units of 10^-decimals, halves away from zero, OK or the reason); a sign is allowed."""
    sign = 1
    if start < end and buf[start] == 45:
        sign = -1
        start += 1
    number, i, reason = fixed(buf, start, end, decimals)
    if reason != OK and reason != OFF_GRID:
        return 0, BAD_NUMBER if reason == NEGATIVE else reason
    if i != end:
        return 0, BAD_NUMBER
    if reason == OFF_GRID:
        point = start
        while buf[point] != 46:
            point += 1
        if buf[point + 1 + decimals] >= 53:
            number += 1
    return sign * number, OK


@kernel
def integer(buf: Bytes, start: int, end: int) -> tuple[int, int]:
    """Return (the whole number that buf[start:end] says, OK or the reason); 18 digits, or a time in ns."""
    number = 0
    for i in range(start, end):
        digit = buf[i] - 48
        if digit < 0 or digit > 9:
            return 0, NEGATIVE if i == start and buf[i] == 45 else BAD_NUMBER
        number = number * 10 + digit
    if start == end:
        return 0, BAD_NUMBER
    if end - start > MAX_DIGITS and not (end - start == MAX_DIGITS + 1 and buf[start] < 57):
        return 0, OUT_OF_RANGE
    return number, OK
