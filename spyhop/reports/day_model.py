"""The report of some hours as data; this is also the shape of its JSON. Units are those of `spyhop.reports.model`."""

from __future__ import annotations

import msgspec

from spyhop.reports.model import Count, Decisions, Expectancy, Money, Orders, Verdict, WinRate


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """From triggers to money, of everything or of one strategy; `num_filled` counts orders that were filled at all.

    `triggers` are decisions by what called for them. Trades are those that closed in the window, with everything that
    they cost, before the window too.
    """

    triggers: dict[str, int]
    decisions: Decisions
    orders: Orders
    num_filled: int
    money: Money
    win_rate: WinRate
    expectancy: Expectancy
    verdict: Verdict


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy or one instrument."""

    name: str
    intents: int
    approved: int
    trades: int
    wins: int
    before_slippage: float
    slippage: float
    gross: float
    fees: float
    funding: float
    net: float


class States(msgspec.Struct, frozen=True, kw_only=True):
    """How long which risk state held for an instrument, the graver of its own and everything's; shares of `seconds`."""

    name: str
    seconds: float
    shares: dict[str, float]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions that may be added up: one mode, all simulated or none, a back-test always alone.

    The window is (`first`, `last`], UTC; `signals` is at how many decisions a leader's rule held, `halts` how often
    which state began, and what for.
    """

    mode: str
    is_simulated: bool
    sessions: list[str]
    currency: str
    first: str
    last: str
    total: Tally
    lead_follow: Tally
    signals: int
    by_strategy: list[Line]
    by_symbol: list[Line]
    states: list[States]
    halts: list[Count]
    notes: list[str]


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """The last `hours` of every group; never added up over groups."""

    hours: float
    groups: list[Group]
