"""How the account and the markets stand: facts, observations and operators' words in; risk states and notices out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import inf

import msgspec

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.ledger.account import Account, AccountState
from spyhop.model.control import Control
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Comparison, Observation
from spyhop.model.orders import (
    Difference,
    DifferenceKind,
    Fact,
    OrderChanged,
    OrderStatus,
    PairEnded,
    Reconciled,
    SubmitOrder,
    TradeClosed,
)
from spyhop.model.verdicts import RiskState, RiskStateChanged
from spyhop.risk.comparisons import Cause, compared
from spyhop.risk.exposure import Exposure
from spyhop.risk.health import HealthParams, Market
from spyhop.risk.states import StateParams, Watch, bounds_of, gravest

EVERYTHING = -1
"""The scope of a state that holds for all instruments."""

Notice = RiskStateChanged | Comparison

_OUR_REFUSAL = "refused"  # how the cause of an order begins that the executor itself would not send


class StandingState(msgspec.Struct):
    """Everything a standing knows; times are nanoseconds UTC, instruments by number."""

    account: AccountState
    exposure: Exposure
    now: int = 0
    is_paused: bool = False
    is_killed: bool = False
    is_draining: bool = False
    peak_day: int = -1
    day_peak: float = 0.0
    orders: list[int] = []  # times within the last minute
    rejects: list[int] = []  # times within the window
    streak: int = 0
    last_loss: int = 0
    markets: dict[int, Market] = {}
    watches: dict[int, Watch] = {}
    notices: list[Notice] = []


class Standing:
    """Folds what is told, in the order of event time, and weighs it against the bounds of the states."""

    def __init__(
        self,
        start_equity: float,
        instruments: Sequence[Instrument],
        states: StateParams,
        health: HealthParams,
        loss_cooldown_s: float,
    ) -> None:
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._health = health
        self.adopt(states, loss_cooldown_s)
        self.account = Account(start_equity, instruments)
        self.state = StandingState(self.account.state, Exposure())

    def adopt(self, states: StateParams, loss_cooldown_s: float) -> None:
        """Weigh by these bounds from the next measurement on; a cause that holds keeps the bound that it passed."""
        self._params = states
        self._cooldown_ns = round(loss_cooldown_s * NS_PER_S)
        self._window_ns = round(states.reject_window_s * NS_PER_S)
        self._thresholds = bounds_of(states)

    def restore(self, state: StandingState) -> None:
        """Go on from `state`."""
        self.state = state
        self.account.state = state.account

    def on_intent(self, ts: int, instrument: int, reference: int) -> None:
        """Let event time go on to an intent, whose reference (ticks) marks what is held."""
        self.state.now = max(self.state.now, ts)
        self.account.on_mark(ts, instrument, reference)
        self.state.exposure.expire(ts)
        self._weigh_everything(ts)

    def on_fact(self, fact: Fact) -> None:
        """Fold a fact into the account, the exposure and what states are made from."""
        state = self.state
        state.now = max(state.now, fact.ts)
        self.account.on_fact(fact)
        if isinstance(fact, OrderChanged) and state.exposure.is_foreign(fact):
            self._adopt(fact.order)
        state.exposure.on_fact(fact)
        match fact:
            case OrderChanged(status=OrderStatus.PENDING_NEW):
                state.orders = [*since(state.orders, fact.ts - NS_PER_MINUTE), fact.ts]
            case OrderChanged(status=OrderStatus.REJECTED) if not fact.cause.startswith(_OUR_REFUSAL):
                state.rejects.append(fact.ts)
            case TradeClosed(is_leg=False) | PairEnded() if not isinstance(fact, PairEnded) or fact.num_legs:
                state.streak = self.losses_in_row(fact.ts) + 1 if fact.net < 0.0 else 0
                state.last_loss = fact.ts if fact.net < 0.0 else state.last_loss
            case Difference() if not fact.is_repaired and fact.kind is not DifferenceKind.BALANCE:
                self._reconcile(fact.ts, fact.instrument, is_unclean=True)
            case Reconciled():
                self._reconcile(fact.ts, fact.instrument, is_unclean=not fact.is_clean)
        self._weigh_everything(fact.ts)

    def on_observation(self, observed: Observation) -> None:
        """Mark the account at the mid and weigh how the market stands; the comparison at it is the last notice."""
        number, state = observed.instrument, self.state
        state.now = max(state.now, observed.ts)
        if observed.mid > 0.0:
            self.account.on_mark(observed.ts, number, max(1, round(observed.mid / self._instruments[number].tick)))
        market = state.markets.setdefault(number, Market())
        market.observe(observed, self._compared(observed, Cause.DECISION), self._health)
        self._weigh(observed.ts, number, market.measured())
        for other, known in sorted(state.markets.items()):
            if other != number:
                self._weigh(observed.ts, other, {"silence": known.silence_s(observed.ts)})
        self._weigh_everything(observed.ts)
        state.notices.append(self._compared(observed, Cause.DECISION))

    def on_control(self, control: Control, ts: int) -> None:
        """Obey an operator: PAUSE until RESUME; KILL and DRAIN for good."""
        state = self.state
        state.now = max(state.now, ts)
        match control:
            case Control.PAUSE:
                state.is_paused = True
            case Control.RESUME:
                state.is_paused = False
            case Control.KILL:
                state.is_killed = True
            case Control.DRAIN:
                state.is_draining = True
        # an operator's word is always told, whatever else holds the state where it is
        self._weigh_everything(state.now, is_told=True)

    def take_notices(self) -> list[Notice]:
        """Return what happened to risk states since it was last asked, oldest first."""
        notices, self.state.notices = self.state.notices, []
        return notices

    def state_of(self, instrument: int) -> RiskState:
        """Return the state in force for an instrument: its own or that of everything, whichever is graver."""
        watches = self.state.watches
        return gravest(*(watches[scope].state for scope in (EVERYTHING, instrument) if scope in watches))

    def losses_in_row(self, now: int) -> int:
        """Return the losing streak, 0 once its last loss is so long ago that it is forgotten."""
        return 0 if now - self.state.last_loss >= self._cooldown_ns else self.state.streak

    def orders_since(self, ts: int) -> int:
        """Return how many orders were sent after `ts`, a minute ago at most."""
        return len(since(self.state.orders, ts))

    def leg_imbalance(self, instruments: Sequence[int]) -> float:
        """Return by how much what is held long and short in `instruments` miss each other, quote currency.

        0.0 while fewer than two of them are held.
        """
        signed = [value for number in instruments if (value := self.signed_notional(number)) != 0.0]
        return abs(sum(signed)) if len(signed) > 1 else 0.0

    def signed_notional(self, instrument: int) -> float:
        """Return what is held of `instrument` at its mark, quote currency, negative for a short."""
        lots = self.account.position(instrument).lots
        return self._instruments[instrument].notional(self.account.state.marks[instrument], lots) if lots else 0.0

    def _weigh_everything(self, now: int, *, is_told: bool = False) -> None:
        state, account = self.state, self.account
        equity = account.equity
        if account.state.day != state.peak_day:
            state.peak_day, state.day_peak = account.state.day, account.state.day_equity
        state.day_peak = max(state.day_peak, equity)
        state.rejects = since(state.rejects, now - self._window_ns)
        measured = {
            "daily_drawdown": (state.day_peak - equity) / state.day_peak if state.day_peak > 0.0 else 0.0,
            "losses_in_row": float(self.losses_in_row(now)),
            "rejects": float(len(state.rejects)),
            "paused": float(state.is_paused),
            "draining": float(state.is_draining),
            "killed": float(state.is_killed),
        }
        self._weigh(now, EVERYTHING, measured, is_told=is_told)

    def _weigh(self, now: int, scope: int, measured: Mapping[str, float], *, is_told: bool = False) -> None:
        watch = self.state.watches.setdefault(scope, Watch())
        before = watch.state
        watch.step(now, measured, self._params)
        after = watch.state
        if after is before and not is_told:
            return
        self.state.notices.append(
            RiskStateChanged(ts=now, state=after, before=before, reasons=watch.reasons, instrument=scope)
        )
        for number, market in sorted(self.state.markets.items()):
            if market.observed is not None and scope in (number, EVERYTHING):
                comparison = self._compared(market.observed, Cause.RISK_STATE)
                minute = now - now % NS_PER_MINUTE
                self.state.notices.append(msgspec.structs.replace(comparison, ts=now, minute_bucket=minute))

    def _compared(self, observed: Observation, cause: Cause) -> Comparison:
        watches = [self.state.watches[n] for n in (EVERYTHING, observed.instrument) if n in self.state.watches]
        reasons = "; ".join(reason for watch in watches for reason in watch.reasons)
        return compared(observed, cause, self.state_of(observed.instrument), reasons, self._thresholds)

    def _reconcile(self, now: int, number: int, *, is_unclean: bool) -> None:
        self.state.markets.setdefault(number, Market()).is_unclean = is_unclean
        if number in self._instruments:
            self._weigh(now, number, {"unclean": float(is_unclean)})
            return
        # what the venue holds beyond our instruments weighs on all of them
        beyond = any(market.is_unclean for n, market in self.state.markets.items() if n not in self._instruments)
        self._weigh(now, EVERYTHING, {"unclean": float(beyond)})

    # what has no price yet has no bound either: no entry is approved beside it until its first fill
    def _adopt(self, order: SubmitOrder) -> None:
        instrument, mark = self._instruments[order.instrument], self.account.state.marks.get(order.instrument)
        ticks = order.price or order.trigger or mark
        notional = inf if ticks is None else instrument.notional(ticks, order.lots)
        self.state.exposure.adopt(order, notional, notional / max(1.0, order.leverage))


def since(times: list[int], after: int) -> list[int]:
    """Return those of ordered `times` that are later than `after`."""
    return times[bisect_right(times, after) :] if times and times[0] <= after else times
