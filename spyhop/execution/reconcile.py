"""What a venue knows against what we know: the differences by class, and the reports that mend them.

Where the venue's word is clear (a fill, the end of an order, that it never had one) it is taken; what is not of our
making is never adopted. Orders that are on their way are not judged.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.execution.account import ENDED, UNHEARD, Account, OwnOrder
from spyhop.model.accounts import VenueFill, VenueOrder, VenuePosition
from spyhop.model.orders import (
    Difference,
    DifferenceKind,
    Fill,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderStatus,
    Reconciled,
    Report,
)

_K = DifferenceKind
_S = OrderStatus

_AT_VENUE = frozenset({_S.OPEN, _S.PARTIALLY_FILLED, _S.CANCEL_PENDING, _S.FILLED})


class Theirs(msgspec.Struct, kw_only=True):
    """What the venue says: every open order, what it answered about single orders of ours (None: it never had that
    one), fills since we last agreed, and positions, None where they are not to be judged.
    """

    open: Sequence[VenueOrder] = ()
    asked: dict[str, VenueOrder | None] = {}
    fills: Sequence[VenueFill] = ()
    positions: Sequence[VenuePosition] | None = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One difference; with `repairs`, the reports that make us agree, it is repaired."""

    instrument: int
    kind: DifferenceKind
    ours: float
    theirs: float
    order: str = ""
    note: str = ""
    repairs: tuple[Report, ...] = ()

    @property
    def is_repaired(self) -> bool:
        return bool(self.repairs)


def follows(own: OwnOrder, theirs: VenueOrder, ts: int) -> list[Report]:
    """Return what the venue's word about an order of ours tells besides fills, which have names of their own."""
    key, instrument, at = own.key, own.submit.instrument, theirs.ts_venue or ts
    left = own.submit.lots - theirs.filled
    match theirs.status:
        case OrderStatus.CANCELLED:
            end = OrderCancelled(ts=ts, ts_venue=at, client_order_id=key, instrument=instrument, lots_left=left)
            return [end] if own.is_alive else []
        case OrderStatus.EXPIRED:
            gone = OrderExpired(ts=ts, ts_venue=at, client_order_id=key, instrument=instrument, lots_left=left)
            return [gone] if own.is_alive else []
        case OrderStatus.REJECTED:
            return [_rejected(own, ts, at, "the venue rejected it")] if own.is_alive else []
    if theirs.status in _AT_VENUE and own.status in UNHEARD:
        return [OrderAccepted(ts=ts, ts_venue=at, client_order_id=key, instrument=instrument)]
    return []


def absent(own: OwnOrder, ts: int) -> Report:
    """Return how an order ends that the venue is certain not to have: rejected, or expired if it was there once."""
    if own.status in UNHEARD:
        return _rejected(own, ts, ts, "the venue never had it")
    return OrderExpired(
        ts=ts, ts_venue=ts, client_order_id=own.key, instrument=own.submit.instrument, lots_left=own.left
    )


def _rejected(own: OwnOrder, ts: int, ts_venue: int, reason: str) -> OrderRejected:
    return OrderRejected(
        ts=ts, ts_venue=ts_venue, client_order_id=own.key, instrument=own.submit.instrument, reason=reason
    )


def fill_of(own: OwnOrder, fill: VenueFill, ts: int) -> Fill:
    """Return the report of an execution that the venue lists for an order of ours."""
    return Fill(
        ts=ts,
        ts_venue=fill.ts_venue,
        fill_id=fill.fill_id,
        client_order_id=own.key,
        instrument=fill.instrument,
        side=fill.side,
        price=fill.price,
        lots=fill.lots,
        liquidity=fill.liquidity,
        fee=fill.fee,
        slippage=0.0,
    )


def compare(
    ours: Account, theirs: Theirs, ts: int, grace_s: float = 0.0, busy: Set[str] = frozenset()
) -> list[Finding]:
    """Return every difference, fills first, then orders, then positions (as the repairs leave them).

    Orders sent in the last `grace_s` and those in `busy`, about which a request is under way, are not judged.
    """
    fills = _missing_fills(ours, theirs, ts)
    told: dict[str, int] = {}
    held = dict(ours.lots)
    for finding in fills:
        told[finding.order] = told.get(finding.order, 0) + int(abs(finding.theirs))
        held[finding.instrument] = held.get(finding.instrument, 0) + int(finding.theirs)
    listed = {order.client_order_id: order for order in theirs.open if order.client_order_id in ours.orders}
    young = ts - round(grace_s * NS_PER_S)
    findings = fills
    for key, own in ours.alive.items():
        if own.status is _S.PENDING_NEW or key in busy or own.ts_sent > young:
            continue
        if key in listed or key in theirs.asked:
            findings += _order(own, listed.get(key) or theirs.asked[key], told.get(key, 0), ts)
    findings += _strangers(ours, theirs.open, busy)
    return findings + ([] if theirs.positions is None else _positions(held, theirs.positions))


def _missing_fills(ours: Account, theirs: Theirs, ts: int) -> list[Finding]:
    findings: list[Finding] = []
    seen = set(ours.fills)
    for fill in theirs.fills:
        own = ours.order_of(fill.instrument, fill.client_order_id, fill.venue_order_id)
        if own is None or (fill.instrument, fill.fill_id) in seen:
            continue
        seen.add((fill.instrument, fill.fill_id))
        findings.append(
            Finding(
                instrument=fill.instrument,
                kind=_K.MISSING_FILL,
                ours=0.0,
                theirs=float(fill.side * fill.lots),
                order=own.key,
                note=f"fill {fill.fill_id}",
                repairs=(fill_of(own, fill, ts),),
            )
        )
    return findings


def _order(own: OwnOrder, theirs: VenueOrder | None, told: int, ts: int) -> list[Finding]:
    """Judge an order that we hold alive, `told` lots of which are repaired as fills already."""
    side, instrument = int(own.submit.side), own.submit.instrument
    ours = float(side * own.left)
    if theirs is None:
        note = f"held {own.status}"
        mend = (absent(own, ts),)
        return [
            Finding(
                instrument=instrument,
                kind=_K.UNKNOWN_ORDER,
                ours=ours,
                theirs=0.0,
                order=own.key,
                note=note,
                repairs=mend,
            )
        ]
    filled = own.filled + told
    is_short = theirs.filled > filled
    is_over = filled == own.submit.lots  # its last fill ends it
    mends = () if is_short or is_over else tuple(follows(own, theirs, ts))
    if told:  # a fill says already that the venue has it
        mends = tuple(mend for mend in mends if not isinstance(mend, OrderAccepted))
    if not mends and not is_short:
        return []
    left = 0 if theirs.status in ENDED else own.submit.lots - theirs.filled
    note = f"{theirs.filled - filled} lots filled that no fill explains" if is_short else f"{theirs.status} there"
    return [
        Finding(
            instrument=instrument,
            kind=_K.ORDER_STATUS,
            ours=ours,
            theirs=float(side * left),
            order=own.key,
            note=note,
            repairs=mends,
        )
    ]


def _strangers(ours: Account, listed: Sequence[VenueOrder], busy: Set[str]) -> list[Finding]:
    findings = []
    for order in listed:
        own = ours.order_of(order.instrument, order.client_order_id, order.venue_order_id)
        if own is not None and (own.is_alive or own.key in busy):
            continue
        findings.append(
            Finding(
                instrument=order.instrument,
                kind=_K.FOREIGN_ORDER if own is None else _K.ORDER_STATUS,
                ours=0.0,
                theirs=float(order.side * (order.lots - order.filled)),
                order=order.venue_order_id if own is None else own.key,
                note="" if own is None else f"stands there and is {own.status} here",
            )
        )
    return findings


def _positions(held: dict[int, int], positions: Sequence[VenuePosition]) -> list[Finding]:
    theirs = {position.instrument: position.lots for position in positions}
    return [
        Finding(
            instrument=number,
            kind=_K.SIZE_MISMATCH if held.get(number, 0) else _K.FOREIGN_POSITION,
            ours=float(held.get(number, 0)),
            theirs=float(theirs.get(number, 0)),
        )
        for number in sorted(held.keys() | theirs.keys())
        if held.get(number, 0) != theirs.get(number, 0)
    ]


def balance(asset: str, ours: float, theirs: float, tolerance: float, instrument: int) -> list[Finding]:
    """Return the finding that money changed by `theirs` where what we know explains `ours`, both in `asset`.

    It is told under `instrument`, one of those that settle in it.
    """
    if abs(ours - theirs) <= tolerance:
        return []
    note = f"{asset} changed otherwise than fills, fees and funding say"
    return [Finding(instrument=instrument, kind=_K.BALANCE, ours=ours, theirs=theirs, note=note)]


def repairs(findings: Sequence[Finding]) -> list[Report]:
    """Return the reports that mend what can be mended, fills before the ends of their orders."""
    return [report for finding in findings for report in finding.repairs]


def told(
    findings: Sequence[Finding], instruments: Sequence[int], ts: int, cause: str, doubtful: Set[int] = frozenset()
) -> list[Report]:
    """Return what is said of a comparison after its repairs: each difference, then by instrument if it is clean.

    Those in `doubtful`, where the venue is still being asked about an order, are not.
    """
    reports: list[Report] = [
        Difference(
            ts=ts,
            instrument=finding.instrument,
            kind=finding.kind,
            ours=finding.ours,
            theirs=finding.theirs,
            is_repaired=finding.is_repaired,
            order=finding.order,
            note=finding.note,
        )
        for finding in findings
    ]
    for number in instruments:
        own = [finding for finding in findings if finding.instrument == number]
        is_clean = number not in doubtful and all(one.is_repaired or one.kind is _K.BALANCE for one in own)
        reports.append(Reconciled(ts=ts, instrument=number, is_clean=is_clean, cause=cause, num_differences=len(own)))
    return reports
