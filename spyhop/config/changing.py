"""Which settings may change while a session runs, and why each other one may not: one table.

A change is an entry of the journal, so a replay makes it at the same place. What may change is what the supervisor asks
at each verdict, and nothing that it has measured or that another stage has built upon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spyhop.config import seeds, tree
from spyhop.config.settings import Settings
from spyhop.errors import InvalidSetting, UserError

MAY = ""
_JUDGED = "the decision stage takes no words: what it judged a row by is in no entry of the journal"
_MEASURED = "what was measured under the old value would be compared with what is measured under the new one"
_ORDERS = "orders that are under way were made under the old value"
_TWIN = "it says what the simulation is, and results from before and after could not be added up"

TABLE: dict[str, str] = {
    "session": "it says what the session is",
    "display": "it belongs to the terminal that the session was started from",
    "feeds": "connections are made under it when a feed starts",
    "detection": _MEASURED,
    "decision": _JUDGED,
    "lead": _JUDGED,
    "risk": MAY,
    "risk.sizing.fee_frac": "what a venue charges does not change by our word",
    "risk.health": _MEASURED,
    "risk.tails": _MEASURED,
    "execution": _ORDERS,
    "split": _ORDERS,
    "desk": _ORDERS,
    "doctor": "it is asked before a session starts",
    "venue": _TWIN,
    "market": _TWIN,
}
"""Path or section to why it may not change, "" where it may; the longest that fits a path counts."""


def refusal(path: str) -> str:
    """Return why the setting at `path` may not change while a session runs, "" when it may."""
    parts = path.split(tree.SEPARATOR)
    known = (tree.SEPARATOR.join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(TABLE[section] for section in known if section in TABLE)


def asked(assignments: Sequence[str], origin: str = "") -> dict[str, Any]:
    """Return the values of KEY=VALUE texts by path; a KEY may be one of the seed's names.

    Raises UnknownSetting, InvalidSetting for a value that is not permitted and for a setting that may not change, and
    UserError for what is no assignment.
    """
    types = tree.leaves(Settings)
    values: dict[str, Any] = {}
    for text in assignments:
        key, equals, raw = text.partition("=")
        if not equals:
            raise UserError(f"{text!r} is no KEY=VALUE")
        for path, value in _meant(key.strip(), raw.strip(), origin, types):
            if reason := refusal(path):
                raise InvalidSetting(path, f"cannot change while a session runs: {reason}; start a new session", origin)
            if path in values:
                raise InvalidSetting(path, "is set twice", origin)
            values[path] = tree.converted(path, types[path], value, origin, is_text=True)
    return values


def _meant(key: str, raw: str, origin: str, types: Mapping[str, Any]) -> list[tuple[str, str]]:
    if key.lower() in seeds.SEED_NAMES:
        return [(path, str(value)) for path, value in seeds.translated(key.lower(), raw, origin)]
    if key not in types:
        raise tree.unknown(key, [*types, *seeds.SEED_NAMES], origin)
    return [(key, raw)]
