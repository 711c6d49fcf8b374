"""Publishes an actor's statistics through Ray's metrics, one gauge a name, few labels."""

from __future__ import annotations

from ray.util.metrics import Gauge


class Meters:
    """The gauges of one actor: `ray_spyhop_<name>{actor=..., code=...}`; created when first seen.

    A statistic called `refused:max_daily_loss` becomes `spyhop_refused` with the code as a label.
    """

    def __init__(self, actor: str) -> None:
        self._actor = actor
        self._gauges: dict[str, Gauge] = {}

    def publish(self, statistics: dict[str, float]) -> None:
        """Set every gauge to its statistic."""
        for full, number in statistics.items():
            name, _, code = full.replace(".", "_").partition(":")
            gauge = self._gauges.get(name)
            if gauge is None:
                gauge = Gauge(f"spyhop_{name}", description=name.replace("_", " "), tag_keys=("actor", "code"))
                self._gauges[name] = gauge
            gauge.set(number, tags={"actor": self._actor, "code": code})
