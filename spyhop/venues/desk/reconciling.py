"""Comparing an account at its venue with what its desk knows: a steady look, the repairs, and what is said of it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, TypeVar

import msgspec

from spyhop.clock import NS_PER_S, Clock
from spyhop.errors import OutcomeUnknown
from spyhop.execution import reconcile
from spyhop.execution.reconcile import Finding, Theirs
from spyhop.model.accounts import VenueFill
from spyhop.model.orders import DifferenceKind, OrderStatus, Reconciled
from spyhop.ports import Trader
from spyhop.venues.desk.requests import Requests
from spyhop.venues.desk.telling import Teller
from spyhop.venues.desk.unknowns import AskParams, Seconds, within

Answer = TypeVar("Answer")

_OVERLAP_NS = 600 * NS_PER_S


class ReconcileParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and how carefully the venue is compared with us."""

    every_s: Seconds = 30.0
    grace_s: Annotated[float, msgspec.Meta(ge=0)] = 3.0
    """Orders sent so recently are not judged."""
    looks: Annotated[int, msgspec.Meta(ge=1)] = 3
    """What cannot be explained is looked at so often before it is said: one venue's answers may lag each other."""
    look_again_s: Seconds = 0.5
    unclean_s: Seconds = 5.0
    """Before the next comparison when the last one was not clean or could not be made."""
    has_positions: bool = True
    """Whether what the venue says is held came about by our fills alone; false at a spot market, where an account has
    coins of its own and fees are taken out of what was bought."""
    money_tolerance: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """By how much (quote currency) money may change between two comparisons without an explanation; 0 compares none.

    For venues whose balance changes by what is realized, fees and funding alone, as a futures wallet's does."""


class Reconciler:
    """`run` compares once; whoever holds the desk says when."""

    def __init__(
        self,
        trader: Trader,
        teller: Teller,
        requests: Requests,
        clock: Clock,
        params: ReconcileParams,
        asking: AskParams,
    ) -> None:
        self._trader, self._teller, self._requests, self._clock = trader, teller, requests, clock
        self._params, self._asking = params, asking
        self.unclean = set(teller.account.instruments)
        """Instruments that the last comparison did not find clean."""
        self._begun = clock.now_ns()
        self._agreed: dict[int, int] = {}
        self._money: dict[str, tuple[float, float]] = {}

    async def run(self, cause: str, is_blind: bool = False) -> list[Finding]:
        """Look at the venue, repair what is clear, tell the differences; raise VenueError when it cannot be asked.

        Nothing is clean while we are blind, that is without the private stream that there should be.
        """
        account = self._teller.account
        mended: list[Finding] = []
        for look in range(self._params.looks):
            if look:
                await self._clock.sleep(self._params.look_again_s)
            started = self._clock.now_ns()
            theirs = await self._steady()
            now = self._clock.now_ns()
            busy = self._requests.busy
            findings = reconcile.compare(account, theirs, now, self._params.grace_s, busy)
            mended += [finding for finding in findings if finding.is_repaired]
            self._teller.tell(*reconcile.repairs(findings))
            open_ones = [finding for finding in findings if not finding.is_repaired]
            if not open_ones:
                self._agreed = dict.fromkeys(account.instruments, started)
                break
        for finding in open_ones:
            if finding.kind is DifferenceKind.ORDER_STATUS and not account.orders[finding.order].is_alive:
                self._requests.take_back(account.orders[finding.order])
        if not open_ones:
            mended += await self._strange_money()
        doubtful = {own.submit.instrument for own in account.alive.values() if own.status is OrderStatus.UNKNOWN}
        if is_blind:
            doubtful = set(account.instruments)
        said = reconcile.told(mended + open_ones, sorted(account.instruments), now, cause, doubtful)
        self._teller.tell(*said)
        self.unclean = {one.instrument for one in said if isinstance(one, Reconciled) and not one.is_clean}
        return mended + open_ones

    async def _steady(self) -> Theirs:
        """Ask for everything, until fills and our own knowledge stood still between the first and the last answer."""
        account = self._teller.account
        fills = await self._fills()
        for _ in range(self._params.looks):
            known = len(account.fills)
            # open orders before the single ones: what ended in between is then asked for
            listed = await self._within(self._trader.open_orders())
            names = {order.client_order_id for order in listed}
            for order in listed:
                self._teller.know(order)
            gone = [
                own
                for key, own in account.alive.items()
                if key not in names and own.status is not OrderStatus.PENDING_NEW and key not in self._requests.busy
            ]
            asked = {}
            for own in gone:
                try:
                    asked[own.key] = theirs = await self._within(self._trader.order(own.key, own.submit.instrument))
                except OutcomeUnknown:
                    continue  # it may still appear: not to be judged yet
                if theirs is not None:
                    self._teller.know(theirs)
            positions = await self._within(self._trader.positions()) if self._params.has_positions else None
            before, fills = fills, await self._fills()
            if _names(before) == _names(fills) and known == len(account.fills):
                break
        late = {own.key for own in gone if self._is_young(own.ts_sent)}
        asked = {key: theirs for key, theirs in asked.items() if theirs is not None or key not in late}
        return Theirs(open=listed, asked=asked, fills=fills, positions=positions)

    def _is_young(self, ts_sent: int) -> bool:
        return self._clock.now_ns() - ts_sent < self._asking.validity_s * NS_PER_S

    async def _strange_money(self) -> list[Finding]:
        """Compare what money did since the last time with what we know; either way count from here on."""
        if not self._params.money_tolerance:
            return []
        account = self._teller.account
        known = len(account.fills)
        findings: list[Finding] = []
        totals = {one.asset: one.total for one in await self._within(self._trader.balances())}
        if known != len(account.fills) or self._requests.busy:
            return []  # it moves: the next comparison will tell
        for asset in sorted({instrument.quote for instrument in account.instruments.values()}):
            now = (account.earned(asset), totals.get(asset, 0.0))
            ours, theirs = self._money.get(asset, now)
            number = min(one.id for one in account.instruments.values() if one.quote == asset)
            changes = now[0] - ours, now[1] - theirs
            strange = reconcile.balance(asset, *changes, self._params.money_tolerance, number)
            if strange or asset not in self._money:
                self._money[asset] = now
            findings += strange
        return findings

    async def _fills(self) -> list[VenueFill]:
        account = self._teller.account
        first = min((own.submit.ts for own in account.orders.values()), default=self._begun)
        found = []
        for number in sorted(account.instruments):
            since = self._agreed.get(number, first) - _OVERLAP_NS
            found += await self._within(self._trader.fills(number, since))
        return found

    async def _within(self, call: Awaitable[Answer]) -> Answer:
        return await within(self._clock, self._asking.request_s, call, self._trader.name)

    def distrust(self, cause: str) -> None:
        """Say that nothing is known to be clean: the stream is lost, the next comparison will tell."""
        now = self._clock.now_ns()
        self.unclean = set(self._teller.account.instruments)
        self._teller.tell(
            *[
                Reconciled(ts=now, instrument=number, is_clean=False, cause=cause)
                for number in sorted(self._teller.account.instruments)
            ]
        )


def _names(fills: list[VenueFill]) -> set[tuple[int, str]]:
    return {(fill.instrument, fill.fill_id) for fill in fills}
