"""The names under which the settings were first asked for, and what each means in our units.

A name may be written at the top of a settings file, in the environment or .env in capitals, and after `--set`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from spyhop.errors import InvalidSetting

_PERCENT = Decimal("0.01")
_MINUTES = Decimal(60)


class SeedName(msgspec.Struct, frozen=True):
    """One such name: the settings that it sets, and what a number is multiplied by on the way (0: taken as it is)."""

    paths: tuple[str, ...]
    factor: Decimal = Decimal(0)


SEED_NAMES: dict[str, SeedName] = {
    "ws_interval_sec": SeedName(("session.row_interval_s",), Decimal(1)),
    "analysis_interval_sec": SeedName(("detection.interval_s",), Decimal(1)),
    "min_trade_interval_sec": SeedName(
        ("decision.filter.min_trade_interval_s", "risk.limits.min_trade_interval_s"), Decimal(1)
    ),
    "target_profit_pct": SeedName(("decision.exits.take_profit_frac",), _PERCENT),
    "stop_loss_pct": SeedName(("decision.exits.stop_loss_frac",), _PERCENT),
    "max_hold_minutes": SeedName(("decision.exits.max_hold_s",), _MINUTES),
    "leverage": SeedName(("risk.sizing.max_leverage",), Decimal(1)),
    "position_size_usdt": SeedName(("risk.sizing.position_size_usdt",), Decimal(1)),
    "kill_switch": SeedName(("risk.limits.kill_switch",)),
    "symbols": SeedName(("session.symbols",)),
    "data_source_preferred": SeedName(("feeds.data_source_preferred",)),
    "stale_seconds": SeedName(("feeds.stale_seconds",)),
    "kline_stale_seconds": SeedName(("feeds.kline_stale_seconds",)),
    "ws_backoff_min": SeedName(("feeds.ws_backoff_min",)),
    "ws_backoff_max": SeedName(("feeds.ws_backoff_max",)),
    "ws_recover_good_ticks": SeedName(("feeds.ws_recover_good_ticks",)),
    "state_sync_klines": SeedName(("feeds.state_sync_klines",)),
    "rest_price_poll_seconds": SeedName(("feeds.rest_price_poll_seconds",)),
    "rest_kline_poll_seconds": SeedName(("feeds.rest_kline_poll_seconds",)),
    "premiumindex_poll_seconds": SeedName(("feeds.premiumindex_poll_seconds",)),
    "funding_poll_seconds": SeedName(("feeds.funding_poll_seconds",)),
    "oi_poll_seconds": SeedName(("feeds.oi_poll_seconds",)),
}

LATER: frozenset[str] = frozenset(
    {
        "atr_spike_multiplier",
        "cooldown_after_trigger_minutes",
        "dedupe_window_seconds",
        "entry_similar_pct",
        "funding_extreme",
        "funding_stale_seconds",
        "leverage_suggest",
        "max_cards_per_day",
        "max_daily_loss_usdt",
        "max_risk_usdt",
        "min_atr_pct",
        "oi_delta_pct",
        "oi_stale_seconds",
        "oi_zscore",
        "pnl_csv_path",
        "poll_seconds",
        "priority_fake_breakout",
        "priority_funding_oi_skew",
        "priority_liquidation_follow",
        "priority_vol_breakout",
        "return_threshold",
        "risk_state_path",
        "stop_buffer_atr",
        "stop_similar_pct",
        "sweep_pct",
        "ttl_minutes",
        "wick_body_ratio",
    }
)
"""Names that belong to what this version does not do yet: read without complaint, and said to be unused."""


def translated(name: str, raw: object, origin: str) -> list[tuple[str, object]]:
    """Return the settings, as (path, value), that the seed name `name` with the value `raw` stands for.

    Raise InvalidSetting when a number is needed and `raw` is none.
    """
    seed = SEED_NAMES[name]
    value = raw if not seed.factor else _scaled(name, raw, seed.factor, origin)
    return [(path, value) for path in seed.paths]


def _scaled(name: str, raw: object, factor: Decimal, origin: str) -> int | float:
    try:
        if isinstance(raw, bool):
            raise InvalidOperation
        number = Decimal(str(raw).strip()) * factor
    except InvalidOperation:
        raise InvalidSetting(name, f"{raw!r} is not a number", origin) from None
    if not number.is_finite():
        raise InvalidSetting(name, f"{raw} is not a finite number", origin)
    return int(number) if number == number.to_integral_value() else float(number)
