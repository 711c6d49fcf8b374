"""Reads `.env` files: KEY=VALUE lines, comments, quotes and an optional `export`."""

from __future__ import annotations

import re

from spyhop.errors import UserError

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parsed(text: str, origin: str) -> dict[str, str]:
    """Return the variables of `text`, the last of equal names winning.

    Single quotes keep everything, double quotes know the escapes \\n \\t \\r \\" \\\\, an unquoted value ends at ` #`.
    Raise UserError with the number of a line that is none of this; the value itself is never in the message.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise UserError(f"{origin}, line {number}: expected KEY=VALUE")
        found[match[1]] = _value(match[2], f"{origin}, line {number}")
    return found


def _value(raw: str, place: str) -> str:
    if raw[:1] not in ("'", '"'):
        return re.split(r"\s+#|^#", raw, maxsplit=1)[0].strip()
    quote = raw[0]
    taken: list[str] = []
    characters = iter(enumerate(raw[1:], start=1))
    for index, character in characters:
        if character == quote:
            if (rest := raw[index + 1 :].strip()) and not rest.startswith("#"):
                raise UserError(f"{place}: nothing may follow the closing quote")
            return "".join(taken)
        if character == "\\" and quote == '"':
            _, character = next(characters, (0, "\\"))
            character = _ESCAPES.get(character, character)
        taken.append(character)
    raise UserError(f"{place}: the quote is not closed")
