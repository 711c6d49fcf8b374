"""The risk stage: intents and facts in, approvals and refusals out. Nothing else makes an `Approved`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from spyhop.clock import NS_PER_DAY, NS_PER_S
from spyhop.errors import SnapshotMismatch, StateError
from spyhop.ledger.account import Account, AccountState
from spyhop.model.control import Control
from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fact
from spyhop.model.verdicts import Approved, Refused, Verdict
from spyhop.risk.exposure import Exposure
from spyhop.risk.limits import Breach, Case, LimitParams, first_breach, validate
from spyhop.risk.sizing import Size, SizingParams, size

_LAYOUT = "risk 1"


class RiskParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizing, limits, and how long an approval may wait for its order."""

    sizing: SizingParams = SizingParams()
    limits: LimitParams = LimitParams()
    approval_ttl_s: Annotated[float, msgspec.Meta(gt=0)] = 2.0

    def __post_init__(self) -> None:
        validate(self.limits, self.sizing)


class _State(msgspec.Struct):
    account: AccountState
    exposure: Exposure
    epoch: int
    approvals: list[int] = []  # times within the last 24 hours, at most as many as a day permits
    last_approval: dict[int, int] = {}
    refusals: dict[str, int] = {}
    num_verdicts: int = 0
    num_approved: int = 0
    is_paused: bool = False
    is_killed: bool = False


class RiskStage:
    """Judges intents in the order they come; its account is told by facts alone.

    What is held is marked at an intent's reference and at fills, so equity is as fresh as the newest of them.
    """

    def __init__(
        self, params: RiskParams, instruments: Sequence[Instrument], start_equity: float, epoch: int = 1
    ) -> None:
        if not start_equity > 0.0:
            raise ValueError(f"an account starts with equity above 0, not {start_equity}")
        self._params = params
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._account = Account(start_equity, instruments)
        self._state = _State(self._account.state, Exposure(), epoch)

    def on_intent(self, intent: Intent) -> Verdict:
        """Return the verdict: sized and approved, or refused by the first limit that does not hold."""
        instrument = self._instruments.get(intent.instrument)
        if instrument is None:
            raise StateError(f"instrument {intent.instrument} is not one of this session")
        state = self._state
        self._account.on_mark(intent.ts, intent.instrument, intent.reference)
        state.exposure.expire(intent.ts)
        state.approvals = [ts for ts in state.approvals if ts > intent.ts - NS_PER_DAY]
        equity = self._account.equity
        room = self._params.limits.max_capital_in_use_frac * equity
        sized = size(intent, instrument, equity, room, self._params.sizing)
        breach = self._breach(intent, sized, equity)
        seq = state.num_verdicts
        state.num_verdicts += 1
        if breach is not None:
            state.refusals[breach.code] = state.refusals.get(breach.code, 0) + 1
            return Refused(
                seq=seq, ts=intent.ts, intent=intent, code=breach.code, measured=breach.measured, limit=breach.limit
            )
        return self._approved(seq, intent, sized)

    def on_fact(self, fact: Fact) -> None:
        """Fold a fact into the account and the exposure."""
        self._account.on_fact(fact)
        self._state.exposure.on_fact(fact)

    def on_control(self, control: Control) -> None:
        """Obey an operator: PAUSE until RESUME; KILL and DRAIN for good."""
        match control:
            case Control.PAUSE:
                self._state.is_paused = True
            case Control.RESUME:
                self._state.is_paused = False
            case Control.KILL | Control.DRAIN:
                self._state.is_killed = True

    def begin_epoch(self, epoch: int) -> None:
        """Approve under `epoch` from here on; a fence never goes back, so a lower one changes nothing."""
        self._state.epoch = max(self._state.epoch, epoch)

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((_LAYOUT, self._state))

    def restore(self, snapshot: bytes) -> None:
        try:
            layout, state = msgspec.msgpack.decode(snapshot, type=tuple[str, _State])
        except msgspec.DecodeError as error:
            raise SnapshotMismatch("risk", _LAYOUT, "unknown") from error
        if layout != _LAYOUT:
            raise SnapshotMismatch("risk", _LAYOUT, layout)
        self._state = state
        self._account.state = state.account

    def statistics(self) -> dict[str, float]:
        state = self._state
        return {
            "approved": float(state.num_approved),
            "refused": float(state.num_verdicts - state.num_approved),
            **{f"refusals:{code}": float(count) for code, count in sorted(state.refusals.items())},
            "equity": self._account.equity,
            "daily_loss": self._account.daily_loss,
            "margin_in_use": state.exposure.margin,
            "losses_in_row": float(state.account.num_losses_in_row),
            "epoch": float(state.epoch),
        }

    def _breach(self, intent: Intent, sized: Size, equity: float) -> Breach | None:
        if not equity > 0.0:
            return Breach("has_equity", equity, 0.0)
        state = self._state
        last = state.last_approval.get(intent.instrument)
        return first_breach(
            Case(
                intent=intent,
                size=sized,
                equity=equity,
                day_equity=state.account.day_equity,
                daily_loss=self._account.daily_loss,
                open_risk=state.exposure.risk,
                open_margin=state.exposure.margin,
                open_notional=state.exposure.notional,
                num_open_here=state.exposure.num_in(intent.instrument),
                num_trades_24h=len(state.approvals),
                since_approval_ns=None if last is None else intent.ts - last,
                is_killed=state.is_killed,
                is_paused=state.is_paused,
                limits=self._params.limits,
                sizing=self._params.sizing,
            )
        )

    def _approved(self, seq: int, intent: Intent, sized: Size) -> Approved:
        state = self._state
        approved = Approved(
            seq=seq,
            ts=intent.ts,
            # the ticket carries the stop that was sized for
            intent=msgspec.structs.replace(intent, stop=sized.stop),
            lots=sized.lots,
            leverage=sized.leverage,
            risk=sized.risk,
            margin=sized.margin,
            epoch=state.epoch,
            expires=intent.ts + round(self._params.approval_ttl_s * NS_PER_S),
        )
        state.num_approved += 1
        state.approvals.append(intent.ts)
        state.last_approval[intent.instrument] = intent.ts
        state.exposure.reserve(approved, sized.notional)
        return approved
