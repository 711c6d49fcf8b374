"""How every benchmark speaks."""

from __future__ import annotations

import json


def say(name: str, value: float, unit: str, *, on: str) -> None:
    """Print one measurement as a line of JSON."""
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "on": on}), flush=True)
