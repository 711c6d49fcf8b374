"""The whole tree of settings: a session's own, and the parameter structs that components own, composed."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from spyhop.detectors.state import DetectionParams
from spyhop.errors import InvalidSetting
from spyhop.execution.splitting.params import SplitParams
from spyhop.execution.stage import ExecutionParams
from spyhop.risk.stage import RiskParams
from spyhop.simulation.feed import MarketParams
from spyhop.simulation.venue import VenueParams
from spyhop.strategies.lead import LeadParams
from spyhop.strategies.stage import DecisionParams
from spyhop.venues.desk.desk import DeskParams
from spyhop.venues.doctor import DoctorParams
from spyhop.venues.params import FeedParams

_PASSWORD = re.compile(r"//[^/@]*:[^/@]+@")
Symbol = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_:/\-]+$")]


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of the system.

    `speed` is event time over wall time, 0 = as fast as it goes; `hours` is event time from the first event;
    `equity_usdt` is what a paper account begins with; `row_interval_s` is how often the detectors are read, which is
    one second: the records promise it;
    `seed` starts everything that is drawn by chance; `runs` is the folder that sessions are written to;
    `ledger_url` is the database of the ledger, "" for one SQLite file in `runs`.
    """

    equity_usdt: Annotated[float, msgspec.Meta(gt=0)] = 10_000.0
    row_interval_s: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    symbols: Annotated[tuple[Symbol, ...], msgspec.Meta(min_length=1)] = ("BTCUSDT", "ETHUSDT")
    hours: Annotated[float, msgspec.Meta(gt=0, le=24 * 366)] = 1.0
    speed: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 20251128
    runs: Annotated[str, msgspec.Meta(min_length=1)] = "runs"
    ledger_url: str = ""

    def __post_init__(self) -> None:
        if _PASSWORD.search(self.ledger_url):
            raise InvalidSetting("ledger_url", "holds a password; give that to the database's own password file")
        if len(set(self.symbols)) < len(self.symbols):
            raise InvalidSetting("symbols", "names a symbol twice")


class DisplayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person sees. `lang` "auto" follows the locale."""

    lang: Literal["auto", "en", "zh-TW", "zh-CN"] = "auto"
    refresh_s: Annotated[float, msgspec.Meta(ge=0.05, le=60)] = 0.5


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a human may ask for. Secrets are not in it."""

    session: SessionConfig = msgspec.field(default_factory=SessionConfig)
    display: DisplayConfig = msgspec.field(default_factory=DisplayConfig)
    feeds: FeedParams = msgspec.field(default_factory=FeedParams)
    detection: DetectionParams = msgspec.field(default_factory=DetectionParams)
    decision: DecisionParams = msgspec.field(default_factory=DecisionParams)
    lead: LeadParams = msgspec.field(default_factory=LeadParams)
    risk: RiskParams = msgspec.field(default_factory=RiskParams)
    execution: ExecutionParams = msgspec.field(default_factory=ExecutionParams)
    split: SplitParams = msgspec.field(default_factory=SplitParams)
    desk: DeskParams = msgspec.field(default_factory=DeskParams)
    doctor: DoctorParams = msgspec.field(default_factory=DoctorParams)
    venue: VenueParams = msgspec.field(default_factory=VenueParams)
    market: MarketParams = msgspec.field(default_factory=MarketParams)

    def __post_init__(self) -> None:
        assumed, charged = self.risk.sizing.fee_frac, self.venue.taker_fee_frac
        if assumed < charged:
            reason = f"{assumed} is below venue.taker_fee_frac {charged}: a stop would lose more than sizing says"
            raise InvalidSetting("risk.sizing.fee_frac", reason)


def encoded(settings: Settings) -> dict[str, Any]:
    """Return the tree as plain tables, as a session's header keeps it."""
    tables: dict[str, Any] = msgspec.to_builtins(settings)
    return tables


def decoded(tables: dict[str, Any]) -> Settings:
    """Return the tree that `encoded` gave; raise InvalidSetting when another version wrote it."""
    try:
        return msgspec.convert(tables, Settings)
    except msgspec.ValidationError as error:
        raise InvalidSetting("session header", str(error)) from None
