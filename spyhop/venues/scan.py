"""Compiled JSON scanner: finds the values of one flat frame and checks the grammar of everything else.

A frame is looked at once; what it holds under the keys that we know is noted by slot in `spans`, an i8 array of three
rows: kinds, starts, ends. The slot of a one-letter key is its ASCII code, + NESTED inside the object under "k" or "o";
the few longer keys that matter have slots of their own. Keys that nobody asked for are skipped, but must be valid JSON.
"""

from __future__ import annotations

import numpy as np

from spyhop.numerics._borrowed import kernel
from spyhop.venues.decimals import BAD_JSON, DUPLICATE_KEY, OK, TRUNCATED, Bytes, Ints

NUM_SLOTS = 256
NESTED = 128
SLOT_LAST_UPDATE_ID = 1
SLOT_STREAM = 2
SLOT_OPEN_INTEREST = 3
SLOT_TIME = 4
SLOT_AVERAGE = 5
SLOT_PREVIOUS = 6
SLOT_DATA = 7

ABSENT, STRING, NUMBER, TRUE, FALSE, NULL, ARRAY, OBJECT = range(8)


_MAX_DEPTH = 60
_BLOCK = 64


def _word(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


_LAST_UPDATE_ID = _word("lastUpdateId")
_OPEN_INTEREST = _word("openInterest")
_SYMBOL = _word("symbol")
_STREAM = _word("stream")
_BIDS = _word("bids")
_ASKS = _word("asks")
_DATA = _word("data")
_TIME = _word("time")
_TRUE = _word("true")
_FALSE = _word("false")
_NULL = _word("null")


@kernel
def is_word(buf: Bytes, start: int, end: int, word: Bytes) -> bool:
    """Return whether buf[start:end] is `word`."""
    if end - start != len(word):
        return False
    for k in range(len(word)):
        if buf[start + k] != word[k]:
            return False
    return True


@kernel
def skip_spaces(buf: Bytes, i: int, end: int) -> int:
    """Return the first place from `i` on that is no JSON white space."""
    while i < end and buf[i] <= 32 and (buf[i] == 32 or buf[i] == 9 or buf[i] == 13):
        i += 1
    return i


@kernel
def find_line_feed(buf: Bytes, i: int, end: int) -> int:
    """Return the first place from `i` on that holds a line feed, or `end`."""
    while i + _BLOCK <= end:  # a loop that always goes to its end becomes vector code
        num_found = 0
        for c in buf[i : i + _BLOCK]:
            num_found += c == 10
        if num_found:
            break
        i += _BLOCK
    while i < end and buf[i] != 10:
        i += 1
    return i


@kernel
def _hex(c: int) -> bool:
    return 48 <= c <= 57 or 65 <= c <= 70 or 97 <= c <= 102


@kernel
def skip_string(buf: Bytes, i: int, end: int) -> tuple[int, bool, bool]:
    """Return (place after the closing quote, is it valid, has it escapes); `i` is after the opening quote."""
    escaped = False
    while i < end:
        c = buf[i]
        if c == 34:
            return i + 1, True, escaped
        if c < 32:
            return i, False, escaped
        if c == 92:
            escaped = True
            i += 1
            if i >= end:
                break
            c = buf[i]
            if c == 117:
                if i + 4 >= end:
                    return end, False, escaped
                for k in range(1, 5):
                    if not _hex(buf[i + k]):
                        return i, False, escaped
                i += 4
            elif not (c == 34 or c == 92 or c == 47 or c == 98 or c == 102 or c == 110 or c == 114 or c == 116):
                return i, False, escaped
        i += 1
    return end, False, escaped


@kernel
def _digits(buf: Bytes, i: int, end: int) -> int:
    while i < end and 48 <= buf[i] <= 57:
        i += 1
    return i


@kernel
def _skip_number(buf: Bytes, i: int, end: int) -> tuple[int, bool]:
    if buf[i] == 45:
        i += 1
    j = _digits(buf, i, end)
    if j == i or (buf[i] == 48 and j > i + 1):
        return j, False
    if j < end and buf[j] == 46:
        i = j + 1
        j = _digits(buf, i, end)
        if j == i:
            return j, False
    if j < end and (buf[j] == 101 or buf[j] == 69):
        i = j + 1
        if i < end and (buf[i] == 43 or buf[i] == 45):
            i += 1
        j = _digits(buf, i, end)
        if j == i:
            return j, False
    return j, True


@kernel
def _skip_scalar(buf: Bytes, i: int, end: int) -> tuple[int, int]:
    c = buf[i]
    if c == 34:
        i, valid, _ = skip_string(buf, i + 1, end)
        return i, STRING if valid else ABSENT
    if c == 45 or 48 <= c <= 57:
        i, valid = _skip_number(buf, i, end)
        return i, NUMBER if valid else ABSENT
    if i + 4 <= end and is_word(buf, i, i + 4, _TRUE):
        return i + 4, TRUE
    if i + 5 <= end and is_word(buf, i, i + 5, _FALSE):
        return i + 5, FALSE
    if i + 4 <= end and is_word(buf, i, i + 4, _NULL):
        return i + 4, NULL
    return i, ABSENT


@kernel
def skip_value(buf: Bytes, i: int, end: int) -> tuple[int, int]:
    """Return (place after the value at `i`, its kind, or ABSENT if it is not valid JSON)."""
    if i >= end:
        return end, ABSENT
    c = buf[i]
    if c != 91 and c != 123:
        return _skip_scalar(buf, i, end)
    kind = ARRAY if c == 91 else OBJECT
    stack = 0  # one bit a level: 1 = object
    depth = 0
    fresh = True  # a bracket was just opened
    wants_value = True
    while True:
        if wants_value:
            if i >= end:
                return end, ABSENT
            c = buf[i]
            if c == 91 or c == 123:
                if depth >= _MAX_DEPTH:
                    return i, ABSENT
                depth += 1
                stack = (stack << 1) | (1 if c == 123 else 0)
                fresh = True
                i = skip_spaces(buf, i + 1, end)
            else:
                i, scalar = _skip_scalar(buf, i, end)
                if scalar == ABSENT:
                    return i, ABSENT
                fresh = False
                i = skip_spaces(buf, i, end)
            wants_value = False
        if i >= end:
            return end, ABSENT
        c = buf[i]
        in_object = (stack & 1) == 1
        if (in_object and c == 125) or (not in_object and c == 93):
            i += 1
            stack >>= 1
            depth -= 1
            if depth == 0:
                return i, kind
            fresh = False
            i = skip_spaces(buf, i, end)
            continue
        if not fresh:
            if c != 44:
                return i, ABSENT
            i = skip_spaces(buf, i + 1, end)
        if in_object:
            if i >= end or buf[i] != 34:
                return i, ABSENT
            i, valid, _ = skip_string(buf, i + 1, end)
            i = skip_spaces(buf, i, end)
            if not valid or i >= end or buf[i] != 58:
                return i, ABSENT
            i = skip_spaces(buf, i + 1, end)
        wants_value = True


@kernel
def _skip_plain(buf: Bytes, i: int, end: int) -> tuple[int, int]:
    # strings without escapes and whole numbers, which nearly all values are; the rest by the grammar
    start = i
    if buf[i] == 34:
        i += 1
        while i < end and buf[i] != 34 and buf[i] != 92 and buf[i] >= 32:
            i += 1
        if i < end and buf[i] == 34:
            return i + 1, STRING
        return _skip_scalar(buf, start, end)
    i = _digits(buf, i, end)
    if i < end and (buf[i] == 44 or buf[i] == 125):
        return i, NUMBER
    return _skip_scalar(buf, start, end)


@kernel
def _skip_pairs(buf: Bytes, i: int, end: int) -> tuple[int, int]:
    if i + 1 < end and buf[i + 1] == 93:
        return i + 2, ARRAY
    while i + _BLOCK < end:
        block = buf[i : i + 1 + _BLOCK]
        num_found = 0
        for k in range(len(block) - 1):
            num_found += (block[k] == 93) & (block[k + 1] == 93)
        if num_found:
            break
        i += _BLOCK
    i += 1
    while i < end:
        if buf[i] == 93 and buf[i - 1] == 93:
            return i + 1, ARRAY
        i += 1
    return end, ABSENT


@kernel
def _slot(buf: Bytes, start: int, end: int) -> int:
    length = end - start
    if length == 1:
        c = buf[start]
        return int(c) if 65 <= c <= 122 else 0
    if length == 2:
        if buf[start] == 112 and buf[start + 1] == 117:  # pu
            return SLOT_PREVIOUS
        if buf[start] == 97 and buf[start + 1] == 112:  # ap
            return SLOT_AVERAGE
        return 0
    if length == 4:
        if is_word(buf, start, end, _DATA):
            return SLOT_DATA
        if is_word(buf, start, end, _BIDS):
            return 98
        if is_word(buf, start, end, _ASKS):
            return 97
        if is_word(buf, start, end, _TIME):
            return SLOT_TIME
        return 0
    if length == 6:
        if is_word(buf, start, end, _STREAM):
            return SLOT_STREAM
        if is_word(buf, start, end, _SYMBOL):
            return 115
        return 0
    if is_word(buf, start, end, _LAST_UPDATE_ID):
        return SLOT_LAST_UPDATE_ID
    if is_word(buf, start, end, _OPEN_INTEREST):
        return SLOT_OPEN_INTEREST
    return 0


@kernel
def scan_frame(buf: Bytes, i: int, end: int, is_quick: bool, spans: Ints) -> int:
    """Fill the spans of the object at `i`, which must be all that is left of the line; return OK or the reason.

    The object under "data" counts as part of the frame; the one under "k" or "o" fills the slots from NESTED on.
    Spans of strings exclude the quotes.  `is_quick` takes the first "]]" for the end of the arrays under "b" and "a":
    whoever reads those must then check that they end there, and that nothing else was wrong, or scan again in full.
    """
    spans[0, :] = ABSENT
    i = skip_spaces(buf, i, end)
    if i >= end:
        return TRUNCATED
    if buf[i] != 123:
        return BAD_JSON
    i += 1
    base = 0
    in_data = False
    fresh = True
    while True:
        i = skip_spaces(buf, i, end)
        if i >= end:
            return TRUNCATED
        if buf[i] == 34:
            key = i + 1
            if i + 2 < end and buf[i + 2] == 34 and 65 <= buf[key] <= 122 and buf[key] != 92:
                slot = int(buf[key])  # what most keys are
                i += 3
            else:
                i, valid, escaped = skip_string(buf, key, end)
                if not valid:
                    return TRUNCATED if i >= end else BAD_JSON
                slot = 0 if escaped else _slot(buf, key, i - 1)
            i = skip_spaces(buf, i, end)
            if i >= end:
                return TRUNCATED
            if buf[i] != 58:
                return BAD_JSON
            i = skip_spaces(buf, i + 1, end)
            if i >= end:
                return TRUNCATED
            if slot != 0:
                slot += base
                if spans[0, slot] != ABSENT:
                    return DUPLICATE_KEY
            if buf[i] == 123 and base == 0 and (slot == SLOT_DATA or slot == 107 or slot == 111):
                if slot != SLOT_DATA:
                    base = NESTED
                    spans[0, slot] = OBJECT
                    i += 1
                    fresh = True
                    continue
                if not in_data:
                    in_data = True
                    spans[0, slot] = OBJECT
                    i += 1
                    fresh = True
                    continue
            start = i
            if is_quick and buf[i] == 91 and (slot == 97 or slot == 98):
                i, kind = _skip_pairs(buf, i, end)
            elif buf[i] == 34 or 49 <= buf[i] <= 57:
                i, kind = _skip_plain(buf, i, end)
            else:
                i, kind = skip_value(buf, i, end)
            if kind == ABSENT:
                return TRUNCATED if i >= end else BAD_JSON
            if slot != 0:
                spans[0, slot] = kind
                spans[1, slot] = start
                spans[2, slot] = i
                if kind == STRING:
                    spans[1, slot] = start + 1
                    spans[2, slot] = i - 1
        elif not (buf[i] == 125 and fresh):
            return BAD_JSON
        while True:
            i = skip_spaces(buf, i, end)
            if i >= end:
                return TRUNCATED
            if buf[i] == 44:
                i += 1
                fresh = False
                break
            if buf[i] != 125:
                return BAD_JSON
            i += 1
            if base != 0:
                base = 0
            elif in_data:
                in_data = False
            else:
                return OK if skip_spaces(buf, i, end) == end else BAD_JSON
