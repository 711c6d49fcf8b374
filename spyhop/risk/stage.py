"""The risk stage: intents, facts and observations in; approvals, refusals and risk states out.

Nothing else makes an `Approved`. Exits and cancellations never come here: what reduces needs nobody's leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from spyhop.clock import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from spyhop.errors import InvalidSetting, SnapshotMismatch, StateError
from spyhop.model.control import Control, Word
from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Observation
from spyhop.model.orders import Fact, OrderChanged
from spyhop.model.verdicts import Approved, Refused, RiskState, Verdict
from spyhop.risk import hedging
from spyhop.risk.changing import changed
from spyhop.risk.health import HealthParams, Market
from spyhop.risk.limits import UNLIMITED, Breach, Case, LimitParams, first_breach, validate
from spyhop.risk.sizing import Conditions, Size, SizingParams, add_budget, profit_r, size
from spyhop.risk.standing import Notice, Standing, StandingState, since
from spyhop.risk.states import RANK, StateParams, Watch, gravest, size_frac
from spyhop.risk.tails import TailParams, TailRisk

_LAYOUT = "risk 3"


class RiskParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizing, limits, states, tails, and how long an approval may wait for its order."""

    sizing: SizingParams = SizingParams()
    limits: LimitParams = LimitParams()
    states: StateParams = StateParams()
    health: HealthParams = HealthParams()
    tails: TailParams = TailParams()
    approval_ttl_s: Annotated[float, msgspec.Meta(gt=0)] = 2.0

    def __post_init__(self) -> None:
        validate(self.limits, self.sizing)


class _State(msgspec.Struct):
    standing: StandingState
    epoch: int
    approvals: list[int] = []  # times within the last 24 hours, at most as many as a day permits
    last_approval: dict[int, int] = {}
    refusals: dict[str, int] = {}
    num_verdicts: int = 0
    num_approved: int = 0
    settings: dict[str, bool | int | float | str] = {}  # changed by words, by path


class RiskStage:
    """Judges intents in the order they come; its account is told by facts alone.

    What is held is marked at mids observed, at an intent's reference and at fills, so equity is as fresh as the newest
    of them. What happens to a risk state is kept until `take_notices`.
    """

    def __init__(
        self, params: RiskParams, instruments: Sequence[Instrument], start_equity: float, epoch: int = 1
    ) -> None:
        if not start_equity > 0.0:
            raise ValueError(f"an account starts with equity above 0, not {start_equity}")
        self._asked = self._params = params
        self._tails = TailRisk(params.tails)
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._standing = Standing(
            start_equity, instruments, params.states, params.health, params.limits.loss_cooldown_s
        )
        self._account = self._standing.account
        self._state = _State(self._standing.state, epoch)

    def on_intent(self, intent: Intent) -> Verdict:
        """Return the verdict: sized and approved, or refused by the first limit that does not hold."""
        self._settle(intent)
        verdict = self._judged(intent)
        self._keep(verdict)
        return verdict

    def on_verdict(self, verdict: Verdict) -> None:
        """Take a verdict that was given before, so that the state becomes what it was after it."""
        self._settle(verdict.intent)
        self._keep(verdict)

    def on_fact(self, fact: Fact) -> None:
        """Fold a fact into the account, the exposure and what states are made from.

        An entry that another supervisor approved counts as if it had been approved here when it was ordered.
        """
        exposure = self._standing.state.exposure
        if isinstance(fact, OrderChanged) and fact.order.intent_seq not in exposure.held and exposure.is_foreign(fact):
            self._state.approvals.append(fact.ts)
            self._state.last_approval[fact.instrument] = fact.ts
        self._standing.on_fact(fact)

    def on_observation(self, observed: Observation) -> list[Notice]:
        """Mark the account at the mid, weigh how the market stands; return every notice since the last, this one's too.

        The last of them is the comparison at this decision, with the state then in force.
        """
        self._instrument(observed.instrument)
        self._tails.observe(observed)
        self._standing.on_observation(observed)
        return self.take_notices()

    def on_control(self, control: Control, ts: int = 0) -> None:
        """Obey an operator: PAUSE until RESUME; KILL and DRAIN for good. `ts` 0 is now, as far as events told it."""
        self._standing.on_control(control, ts)

    def on_word(self, word: Word, ts: int) -> str:
        """Obey an operator's word, its settings before its command; return why nothing of it was done, "" when it was.

        Settings hold for what is judged from here on; what was approved and what was measured stays as it is.
        """
        settings = self._state.settings | word.settings
        try:
            params = changed(self._asked, settings)
        except InvalidSetting as error:
            return error.reason
        self._state.settings = settings
        self._adopt(params)
        if word.control is not None:
            self.on_control(word.control, ts)
        return ""

    def _adopt(self, params: RiskParams) -> None:
        self._params = params
        self._standing.adopt(params.states, params.limits.loss_cooldown_s)

    def begin_epoch(self, epoch: int) -> None:
        """Approve under `epoch` from here on; a fence never goes back, so a lower one changes nothing."""
        self._state.epoch = max(self._state.epoch, epoch)

    @property
    def is_paused(self) -> bool:
        """Whether an operator paused entries."""
        return self._standing.state.is_paused

    @property
    def is_draining(self) -> bool:
        """Whether an operator wished to end."""
        return self._standing.state.is_draining

    @property
    def is_killed(self) -> bool:
        """Whether an operator killed the session."""
        return self._standing.state.is_killed

    def take_notices(self) -> list[Notice]:
        """Return what happened to risk states since it was last asked, oldest first."""
        return self._standing.take_notices()

    def state_of(self, instrument: int) -> RiskState:
        """Return the state in force for an instrument: its own or that of everything, whichever is graver."""
        return self._standing.state_of(instrument)

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((_LAYOUT, self._state, self._tails.snapshot()))

    def restore(self, snapshot: bytes) -> None:
        try:
            layout, state, tails = msgspec.msgpack.decode(snapshot, type=tuple[str, msgspec.Raw, bytes])
        except msgspec.DecodeError as error:
            raise SnapshotMismatch("risk", _LAYOUT, "unknown") from error
        if layout != _LAYOUT:
            raise SnapshotMismatch("risk", _LAYOUT, layout)
        self._state = msgspec.msgpack.decode(state, type=_State)
        self._standing.restore(self._state.standing)
        self._adopt(changed(self._asked, self._state.settings))
        self._tails.restore(tails)

    def statistics(self) -> dict[str, float]:
        state, standing = self._state, self._standing.state
        return {
            "approved": float(state.num_approved),
            "refused": float(state.num_verdicts - state.num_approved),
            **{f"refusals:{code}": float(count) for code, count in sorted(state.refusals.items())},
            "equity": self._account.equity,
            "drawdown": max(0.0, 1.0 - self._account.equity / standing.day_peak) if standing.day_peak > 0.0 else 0.0,
            "daily_loss": self._account.daily_loss,
            "margin_in_use": standing.exposure.margin,
            "losses_in_row": float(standing.account.num_losses_in_row),
            "epoch": float(state.epoch),
            **{f"set:{path}": float(value) for path, value in state.settings.items() if not isinstance(value, str)},
            "risk_state": float(RANK[gravest(*(watch.state for watch in standing.watches.values()))]),
            **{
                f"risk_state:{instrument.key}": float(RANK[self.state_of(number)])
                for number, instrument in self._instruments.items()
            },
            **{name: value for scope, watch in standing.watches.items() for name, value in self._why(scope, watch)},
        }

    def _why(self, scope: int, watch: Watch) -> list[tuple[str, float]]:
        """Return what each cause of a state measured, and its bound."""
        where = f"{self._instruments[scope].key} " if scope in self._instruments else ""
        named = [(f"{where}{code}", cause) for code, cause in sorted(watch.causes.items())]
        measured = [(f"cause:{name}", cause.measured) for name, cause in named]
        return measured + [(f"bound:{name}", cause.limit) for name, cause in named]

    def _instrument(self, number: int) -> Instrument:
        if number not in self._instruments:
            raise StateError(f"instrument {number} is not one of this session")
        return self._instruments[number]

    def _settle(self, intent: Intent) -> None:
        self._instrument(intent.instrument)
        self._standing.on_intent(intent.ts, intent.instrument, intent.reference)
        self._state.approvals = since(self._state.approvals, intent.ts - NS_PER_DAY)

    def _judged(self, intent: Intent) -> Verdict:
        equity = self._account.equity
        room = self._params.limits.max_capital_in_use_frac * equity
        instrument = self._instruments[intent.instrument]
        conditions = self._conditions(intent, equity)
        other: tuple[Intent, Size] | None = None
        if intent.hedge is None:
            sized = size(intent, instrument, equity, room, self._params.sizing, conditions)
        else:
            hedge = self._instrument(intent.hedge.instrument)
            sized = size(intent, instrument, equity, 0.5 * room, self._params.sizing, conditions)
            other = hedging.leg(intent, sized, instrument, hedge, equity, self._params.sizing)
        seq = self._state.num_verdicts
        breach = self._breach(intent, sized, other, equity) if equity > 0.0 else Breach("has_equity", equity, 0.0)
        if breach is None:
            return self._approved(seq, intent, sized, other)
        return Refused(
            seq=seq, ts=intent.ts, intent=intent, code=breach.code, measured=breach.measured, limit=breach.limit
        )

    def _breach(self, intent: Intent, sized: Size, other: tuple[Intent, Size] | None, equity: float) -> Breach | None:
        """Return the first limit that does not hold: for the intent, then for its hedge beside the intent's own leg."""
        case = self._case(intent, sized, equity, other)
        if other is None:
            return first_breach(case)
        beside = hedging.beside(self._case(*other, equity, (intent, sized)), case, self._instruments)
        return first_breach(hedging.alone(case)) or first_breach(hedging.alone(beside))

    def _conditions(self, intent: Intent, equity: float) -> Conditions:
        number, limits = intent.instrument, self._params.limits
        market = self._market(number)
        observed, depth = market.observed, market.depth(intent.side)
        if intent.hedge is not None:
            other = intent.hedge.instrument
            theirs = self._market(other).depth(intent.side.opposite)
            instruments = self._instruments[number], self._instruments[other]
            depth = hedging.depth(intent, *instruments, depth, theirs)
        held = self._account.position(number)
        max_risk = limits.max_trade_loss_frac * equity
        if held.lots:
            first = self._standing.state.exposure.first_risk(number)
            instrument, sizing = self._instruments[number], self._params.sizing
            max_risk = min(max_risk, add_budget(intent, held, instrument, first, sizing))
        return Conditions(
            start_equity=self._account.state.start_equity,
            sigma_1m=observed.sigma_1m if observed is not None else 0.0,
            aligned=observed.aligned if observed is not None else 0.0,
            state_frac=size_frac(self._state_for(intent), self._params.states),
            max_risk=max_risk,
            max_notional=float("inf") if depth is None else limits.max_depth_frac * depth,
        )

    def _case(self, intent: Intent, sized: Size, equity: float, other: tuple[Intent, Size] | None = None) -> Case:
        state, number, standing = self._state, intent.instrument, self._standing
        instrument, market, held = self._instruments[number], self._market(number), self._account.position(number)
        exposure, last = standing.state.exposure, state.last_approval.get(number)
        same_base = [
            other.id for other in self._instruments.values() if hedging.base(other) == hedging.base(instrument)
        ]
        same_venue = [other.id for other in self._instruments.values() if other.venue == instrument.venue]
        first, num_here = exposure.first_risk(number), exposure.num_in(number)
        var, es = self._tail((intent, sized), *([other] if other is not None else []))
        return Case(
            intent=intent,
            size=sized,
            equity=equity,
            day_equity=standing.state.account.day_equity,
            daily_loss=self._account.daily_loss,
            open_risk=exposure.risk,
            open_margin=exposure.margin,
            open_notional=exposure.notional,
            num_open_here=num_here,
            num_trades_24h=len(state.approvals),
            since_approval_ns=None if last is None else intent.ts - last,
            is_killed=self.is_killed or self.is_draining,
            is_paused=self.is_paused,
            limits=self._params.limits,
            sizing=self._params.sizing,
            state=self._state_for(intent),
            day_peak=standing.state.day_peak,
            clock_skew_ns=market.observed.clock_skew_ns if market.observed is not None else 0,
            effective_diff=market.diff(intent.side),
            volatility_ratio=market.volatility_ratio,
            depth=market.depth(intent.side),
            num_orders_1m=standing.orders_since(intent.ts - NS_PER_MINUTE),
            losses_in_row=standing.losses_in_row(intent.ts),
            num_open=exposure.num_instruments(number),
            is_against_held=num_here > 0 and held.side is not intent.side,
            profit_r=profit_r(held, intent.reference, instrument, first),
            open_notional_here=exposure.notional_in([number]),
            open_notional_symbol=exposure.notional_in(same_base),
            open_notional_venue=exposure.notional_in(same_venue),
            leg_imbalance=standing.leg_imbalance(same_base),
            var=var,
            es=es,
        )

    def _state_for(self, intent: Intent) -> RiskState:
        legs = [intent.instrument] + ([intent.hedge.instrument] if intent.hedge is not None else [])
        return gravest(*(self.state_of(number) for number in legs))

    def _market(self, number: int) -> Market:
        return self._standing.state.markets.get(number) or Market()

    # all shares count, filled or not, for every one of them may be; asked only where the answer can refuse
    def _tail(self, *wished: tuple[Intent, Size]) -> tuple[float, float]:
        limits = self._params.limits
        if min(limits.max_var_frac, limits.max_es_frac) >= UNLIMITED:
            return 0.0, 0.0
        notionals = self._standing.state.exposure.signed_notionals()
        for intent, sized in wished:
            here = notionals.get(intent.instrument, 0.0) + intent.side * sized.notional
            notionals[intent.instrument] = here
        tail = self._tails.measure(notionals)
        return (0.0, 0.0) if tail is None else (tail.var, tail.es)

    def _approved(self, seq: int, intent: Intent, sized: Size, other: tuple[Intent, Size] | None) -> Approved:
        hedge = other[1] if other is not None else None
        return Approved(
            seq=seq,
            ts=intent.ts,
            # the ticket carries the stop that was sized for
            intent=msgspec.structs.replace(intent, stop=sized.stop),
            lots=sized.lots,
            leverage=sized.leverage,
            risk=sized.risk,
            margin=sized.margin + (hedge.margin if hedge is not None else 0.0),
            epoch=self._state.epoch,
            expires=intent.ts + round(self._params.approval_ttl_s * NS_PER_S),
            hedge_lots=hedge.lots if hedge is not None else 0,
            hedge_margin=hedge.margin if hedge is not None else 0.0,
        )

    def _keep(self, verdict: Verdict) -> None:
        state, number = self._state, verdict.intent.instrument
        state.num_verdicts = verdict.seq + 1
        if isinstance(verdict, Refused):
            state.refusals[verdict.code] = state.refusals.get(verdict.code, 0) + 1
            return
        state.num_approved += 1
        state.approvals.append(verdict.ts)
        state.last_approval[number] = verdict.ts
        notional = self._instruments[number].notional(verdict.intent.reference, verdict.lots)
        hedged = 0.0
        if (hedge := verdict.intent.hedge) is not None:
            state.last_approval[hedge.instrument] = verdict.ts
            hedged = self._instruments[hedge.instrument].notional(hedge.reference, verdict.hedge_lots)
        self._standing.state.exposure.reserve(verdict, notional, hedged)
