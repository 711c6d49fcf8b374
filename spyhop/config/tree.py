"""Reads a tree of msgspec Structs as paths: `risk.max_leverage` and the like."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec

from spyhop.errors import InvalidSetting, UnknownSetting, UserError

SEPARATOR = "."
_TYPE_WORDS = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text", "array": "a list"}


def leaves(kind: type[msgspec.Struct], prefix: str = "") -> dict[str, Any]:
    """Return the type of every setting of the tree `kind` by its path, in the order they are declared."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        path = prefix + field.encode_name
        section = section_of(field.type)
        if section is None:
            found[path] = field.type
        else:
            found |= leaves(section, path + SEPARATOR)
    return found


def section_of(annotation: Any) -> type[msgspec.Struct] | None:
    """Return the Struct that `annotation` names, None when it is a plain value."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) else None


def value_at(settings: msgspec.Struct, path: str) -> Any:
    """Return the value of `settings` at `path`."""
    value: Any = settings
    for name in path.split(SEPARATOR):
        value = getattr(value, name)
    return value


def flattened(table: Mapping[str, Any], known: Iterable[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of nested tables; a table is opened unless its own path is a setting."""
    settings = set(known)
    for name, value in table.items():
        path = prefix + name
        if isinstance(value, Mapping) and path not in settings:
            yield from flattened(value, settings, path + SEPARATOR)
        else:
            yield path, value


def nearest(key: str, names: Iterable[str]) -> str:
    """Return the name that a person who wrote `key` most likely meant, "" when none is near."""
    candidates = list(names)
    close = difflib.get_close_matches(key, candidates, n=1, cutoff=0.6)
    if close:
        return close[0]
    by_last: dict[str, str] = {}
    for name in candidates:
        by_last.setdefault(name.rsplit(SEPARATOR, 1)[-1], name)
    last = difflib.get_close_matches(key.rsplit(SEPARATOR, 1)[-1], by_last, n=1, cutoff=0.6)
    return by_last[last[0]] if last else ""


def unknown(key: str, names: Iterable[str], origin: str) -> UserError:
    """Return the refusal of `key`; a section named as if it were a setting is told what it holds."""
    candidates = list(names)
    inside = [name.removeprefix(key + SEPARATOR) for name in candidates if name.startswith(key + SEPARATOR)]
    if inside:
        return InvalidSetting(key, f"is a section; give one of its settings, such as {key}.{inside[0]}", origin)
    return UnknownSetting(key, nearest(key, candidates), origin)


def converted(path: str, kind: Any, raw: Any, origin: str, *, is_text: bool) -> Any:
    """Return `raw` as `kind`; raise InvalidSetting when its type or range does not permit it.

    With `is_text` the value was typed by hand: numbers and lists are read out of it, as TOML or separated by commas.
    """
    if is_text:
        raw = _from_text(raw, kind)
    try:
        value = msgspec.convert(raw, kind, strict=not is_text)
    except msgspec.ValidationError as error:
        reason = str(error).split(" - at `$")[0]
        raise InvalidSetting(path, f"{_shown(raw)} is not permitted: {_readable(reason)}", origin) from None
    if not _is_finite(value):
        raise InvalidSetting(path, f"{_shown(raw)} is not permitted: expected a finite number", origin)
    return value


def built(kind: type[msgspec.Struct], values: Mapping[str, Any], origins: Mapping[str, str], prefix: str = "") -> Any:
    """Return the tree `kind` with `values` by path and its own defaults elsewhere.

    Raise InvalidSetting when a section refuses a combination of values.
    """
    arguments: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        path = prefix + field.encode_name
        section = section_of(field.type)
        if section is not None:
            arguments[field.name] = built(section, values, origins, path + SEPARATOR)
        elif path in values:
            arguments[field.name] = values[path]
    try:
        return kind(**arguments)
    except InvalidSetting as error:
        path = prefix + error.key
        raise InvalidSetting(path, error.reason, origins.get(path, error.origin)) from None
    except ValueError as error:
        raise InvalidSetting(prefix.rstrip(SEPARATOR) or kind.__name__, str(error)) from None


def _from_text(text: str, kind: Any) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is str:
        return value if isinstance(value, str) else text
    if get_origin(kind) in (tuple, list) and not isinstance(value, list):
        return [part.strip() for part in text.split(",") if part.strip()]
    return value


def _is_finite(value: Any) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case tuple() | list():
            return all(_is_finite(part) for part in value)
        case dict():
            return all(_is_finite(part) for part in value.values())
        case _:
            return True


def _shown(raw: Any) -> str:
    return repr(raw) if isinstance(raw, str) else str(raw)


def _readable(reason: str) -> str:
    reason = reason[:1].lower() + reason[1:]
    for type_name, words in _TYPE_WORDS.items():
        reason = reason.replace(f"`{type_name}`", words)
    return reason
