"""Numbers of the indexer: decimal texts to integers of an instrument, times to nanoseconds, event ids to words.

A text that is none raises ValueError with a reason fit for counting: it never holds what the venue sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from spyhop.model.instruments import Instrument
from spyhop.venues.catalogue import decimals_of

NOT_A_NUMBER = "not a number"
NEGATIVE = "negative number"
OUT_OF_RANGE = "number or time out of range"
OFF_GRID = "price or quantity off the instrument's grid"
NOT_POSITIVE = "price or quantity not positive"
BAD_EVENT_ID = "not an event id"
EVENT_ID_TOO_LARGE = "event id beyond what the tape holds"

_MAX_DIGITS = 18  # any such number fits 63 bits
_LIMIT = 10**_MAX_DIGITS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_NS, _LAST_NS = 100_000_000 * 10**9, 4_102_444_800 * 10**9  # 1973 to 2099

_HEIGHT_BITS, _TRANSACTION_BITS, _EVENT_BITS = 31, 12, 20


class Grid:
    """The tick and lot of one instrument as integers."""

    def __init__(self, instrument: Instrument) -> None:
        self._tick_decimals, self._tick_unit = decimals_of(instrument.tick_size)
        self._lot_decimals, self._lot_unit = decimals_of(instrument.lot_size)
        self._tick_size = instrument.tick_size

    def ticks(self, text: str) -> int:
        """Return the price `text` in ticks, at least 1; raise ValueError."""
        number = _multiple(text, self._tick_decimals, self._tick_unit)
        if number == 0:
            raise ValueError(NOT_POSITIVE)
        return number

    def lots(self, text: str) -> int:
        """Return the quantity `text` in lots, at least 0; raise ValueError."""
        return _multiple(text, self._lot_decimals, self._lot_unit)

    def nearest_tick(self, text: str) -> int:
        """Return the price or difference `text` in ticks, halves away from zero; raise ValueError."""
        return _rounded(_decimal(text) / self._tick_size)


def rounded(text: str, decimals: int) -> int:
    """Return the signed number `text` in units of 10^-decimals, halves away from zero; raise ValueError."""
    return _rounded(_decimal(text).scaleb(decimals))


def whole(text: str) -> int:
    """Return the whole number `text`, at least 0; raise ValueError."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(NOT_A_NUMBER)
    if len(text) > _MAX_DIGITS:
        raise ValueError(OUT_OF_RANGE)
    return int(text)


def nanoseconds(moment: datetime) -> int:
    """Return nanoseconds since 1970 of an aware `moment` between 1973 and 2099; raise ValueError."""
    span = moment - _EPOCH
    ns = ((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds) * 1_000
    if not _FIRST_NS <= ns < _LAST_NS:
        raise ValueError(OUT_OF_RANGE)
    return ns


def packed_event_id(text: str) -> int:
    """Return an event id of 24 hex digits as one number of 63 bits in the same order; raise ValueError.

    The indexer's id is the block's height, the transaction's index (plus 2, so that a block's own events come first)
    and the event's index, four bytes each, big-endian. Here they have 31, 12 and 20 bits; an id that needs more (a
    height of 2^31 lies 60 years away) is refused, since a cut one would not keep the order.
    """
    if len(text) != 24:
        raise ValueError(BAD_EVENT_ID)
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raise ValueError(BAD_EVENT_ID) from None
    if len(raw) != 12:  # fromhex skips blanks
        raise ValueError(BAD_EVENT_ID)
    height = int.from_bytes(raw[:4], "big")
    transaction = int.from_bytes(raw[4:8], "big")
    event = int.from_bytes(raw[8:], "big")
    if height >> _HEIGHT_BITS or transaction >> _TRANSACTION_BITS or event >> _EVENT_BITS:
        raise ValueError(EVENT_ID_TOO_LARGE)
    return (height << _TRANSACTION_BITS | transaction) << _EVENT_BITS | event


def event_id(packed: int) -> str:
    """Return the 24 hex digits of a packed event id, the inverse of `packed_event_id`."""
    event = packed & (1 << _EVENT_BITS) - 1
    transaction = packed >> _EVENT_BITS & (1 << _TRANSACTION_BITS) - 1
    height = packed >> _EVENT_BITS + _TRANSACTION_BITS
    return f"{height:08x}{transaction:08x}{event:08x}"


def event_id_parts(packed: int) -> tuple[int, int, int]:
    """Return (block height, transaction index, event index) of a packed event id."""
    text = event_id(packed)
    return int(text[:8], 16), int(text[8:16], 16), int(text[16:], 16)


def packed_event(height: int, transaction: int, event: int) -> int:
    """Return the packed event id of its parts; raise ValueError where they do not fit."""
    return packed_event_id(f"{height:08x}{transaction:08x}{event:08x}")


def _multiple(text: str, decimals: int, unit: int) -> int:
    before, point, after = text.partition(".")
    digits = before + after
    if not (digits.isascii() and digits.isdigit()) or not before or (point and not after):
        if text[:1] == "-" and text != "-":
            raise ValueError(NEGATIVE)
        raise ValueError(NOT_A_NUMBER)
    if len(after) > decimals:
        if after[decimals:].strip("0"):
            raise ValueError(OFF_GRID)
        after = after[:decimals]
    if len(before) + decimals > _MAX_DIGITS:
        raise ValueError(OUT_OF_RANGE)
    number, rest = divmod(int(before + after.ljust(decimals, "0")), unit)
    if rest:
        raise ValueError(OFF_GRID)
    return number


def _decimal(text: str) -> Decimal:
    if len(text) > 64 or not text.isascii() or "_" in text or text != text.strip():
        raise ValueError(NOT_A_NUMBER)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(NOT_A_NUMBER) from None
    if not number.is_finite():
        raise ValueError(NOT_A_NUMBER)
    if number and not -40 <= number.adjusted() <= _MAX_DIGITS:
        raise ValueError(OUT_OF_RANGE)
    return number


def _rounded(number: Decimal) -> int:
    if number and number.adjusted() >= _MAX_DIGITS:
        raise ValueError(OUT_OF_RANGE)
    return int(number.to_integral_value(ROUND_HALF_UP))
