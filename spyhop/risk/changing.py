"""Settings that change while a supervisor lives: its own tree with some leaves replaced, or why that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from spyhop.errors import InvalidSetting

ROOT = "risk."
"""How the paths of all settings begin that a supervisor can be told to change."""

T = TypeVar("T", bound=msgspec.Struct)


def changed(params: T, settings: Mapping[str, Any]) -> T:
    """Return `params` with the leaves that `settings` names by path replaced.

    Raises InvalidSetting for a path that is not there, and for values that their types or each other do not permit.
    """
    tables: dict[str, Any] = msgspec.to_builtins(params)
    for path, value in settings.items():
        *sections, leaf = path.removeprefix(ROOT).split(".")
        table = tables
        for section in sections:
            table = table.get(section, {})
        if not path.startswith(ROOT) or isinstance(table.get(leaf, {}), dict):
            raise InvalidSetting(path, "is no setting of the supervisor")
        table[leaf] = value
    try:
        return msgspec.convert(tables, type(params))
    except msgspec.ValidationError as error:
        raise InvalidSetting(", ".join(settings), str(error)) from None
