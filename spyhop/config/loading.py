"""Lays the sources of settings over each other: profile < file < .env < environment < command line."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from spyhop.config import dotenv, secrets, seeds, tree
from spyhop.config.secrets import Secrets
from spyhop.config.settings import Settings
from spyhop.errors import InvalidSetting, MissingInput, UnknownSetting, UserError

PREFIX = "SPYHOP_"
# where compiled code is kept is no setting of a session: it changes nothing but the wait; where keys are, neither
NOT_SETTINGS = ("SPYHOP_KERNEL_CACHE", secrets.HANDED)
DEFAULT = "default"
SETTINGS_FILE = Path("spyhop.toml")
DOTENV_ORIGIN = ".env"
DOTENV_FILE = Path(DOTENV_ORIGIN)

T = TypeVar("T", bound=msgspec.Struct)


class Layer(msgspec.Struct, frozen=True):
    """Assignments of one source, by path or seed name; `is_text` says that all values are text to be read."""

    origin: str
    assignments: tuple[tuple[str, Any], ...]
    is_text: bool = False


class Line(msgspec.Struct, frozen=True):
    """One setting in force."""

    path: str
    value: Any
    origin: str


class InForce(msgspec.Struct, Generic[T], frozen=True):
    """A tree of settings and where each of its values came from; `unused` names what this version does not use."""

    settings: T
    origins: dict[str, str]
    unused: tuple[str, ...] = ()

    def lines(self) -> list[Line]:
        """Return every setting in the order of the tree."""
        return [Line(path, tree.value_at(self.settings, path), origin) for path, origin in self.origins.items()]


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where to look. `file` was asked for by name and must exist; `overrides` are (origin, path, text), last wins."""

    profile: str = DEFAULT
    file: Path | None = None
    folder: Path = Path()
    environment: Mapping[str, str] = msgspec.field(default_factory=dict)
    overrides: Sequence[tuple[str, str, str]] = ()


def load(sources: Sources) -> tuple[InForce[Settings], Secrets]:
    """Return the settings in force and the secrets.

    Raise UnknownSetting, InvalidSetting, MissingInput or UserError, each one sentence that names where it stands.
    """
    folder = sources.folder
    dotenv_file = folder / DOTENV_FILE
    variables = dotenv.parsed(_text(dotenv_file), DOTENV_ORIGIN) if dotenv_file.is_file() else {}
    layers = [
        *_profile_layers(sources.profile),
        *_file_layers(sources.file, folder),
        variable_layer(DOTENV_ORIGIN, variables, Settings),
        variable_layer("environment", sources.environment, Settings),
        *(Layer(origin, ((path, text),), is_text=True) for origin, path, text in sources.overrides),
    ]
    kept = secrets.found(sources.environment, variables, folder / secrets.FALLBACK_FILE)
    return merged(Settings, layers), kept


def merged(kind: type[T], layers: Iterable[Layer]) -> InForce[T]:
    """Return the tree `kind` under `layers`, later ones winning; raise what `load` raises."""
    types = tree.leaves(kind)
    values: dict[str, Any] = {}
    origins = dict.fromkeys(types, DEFAULT)
    unused: list[str] = []
    for layer in layers:
        mine: dict[str, str] = {}
        for written, raw in layer.assignments:
            if written.lower() in seeds.LATER:
                unused.append(f"{written} ({layer.origin})")
                continue
            for path, value in _assigned(written, raw, layer, types):
                if path in mine:
                    raise InvalidSetting(written, f"sets {path}, which {mine[path]!r} sets too", layer.origin)
                values[path] = tree.converted(path, types[path], value, layer.origin, is_text=layer.is_text)
                mine[path] = written
        origins |= {path: _origin(layer.origin, path, written) for path, written in mine.items()}
    settings: T = tree.built(kind, values, origins)
    return InForce(settings, origins, tuple(unused))


def variable_layer(origin: str, variables: Mapping[str, str], kind: type[msgspec.Struct]) -> Layer:
    """Return what `variables` set: SPYHOP_SECTION__KEY, or a seed name in capitals; others are not ours.

    Raise UnknownSetting for a SPYHOP_ name that is no setting.
    """
    types = tree.leaves(kind)
    found: list[tuple[str, str]] = []
    for name in sorted(variables):
        lowered = name.lower()
        if name in NOT_SETTINGS:
            continue
        if name.startswith(PREFIX):
            path = lowered.removeprefix(PREFIX.lower()).replace("__", tree.SEPARATOR)
            if path not in types:
                raise tree.unknown(name, [variable_name(known) for known in types], origin)
            found.append((path, variables[name]))
        elif name in (name.upper(), lowered) and (lowered in seeds.SEED_NAMES or lowered in seeds.LATER):
            found.append((name, variables[name]))
        elif origin == DOTENV_ORIGIN and (near := difflib.get_close_matches(lowered, seeds.SEED_NAMES, 1, 0.85)):
            # the environment is everybody's, but this file is ours: a slip of the pen is no other program's name
            raise UnknownSetting(name, near[0].upper(), origin)
    return Layer(origin, tuple(found), is_text=True)


def variable_name(path: str) -> str:
    """Return the environment variable of the setting at `path`."""
    return PREFIX + path.replace(tree.SEPARATOR, "__").upper()


def profiles() -> list[str]:
    """Return the names of the shipped profiles."""
    folder = resources.files("spyhop.config") / "profiles"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _assigned(written: str, raw: Any, layer: Layer, types: Mapping[str, Any]) -> list[tuple[str, Any]]:
    lowered = written.lower()
    if lowered in seeds.SEED_NAMES:
        return [(path, _as_text(value, layer)) for path, value in seeds.translated(lowered, raw, layer.origin)]
    if written not in types:
        if written.upper() in secrets.NAMES or written.endswith(("api_key", "api_secret")):
            raise UserError(
                f"{written} in {layer.origin} is a secret; those are read from the environment or .env only"
            )
        raise tree.unknown(written, [*types, *seeds.SEED_NAMES], layer.origin)
    return [(written, raw)]


def _as_text(value: Any, layer: Layer) -> Any:
    return str(value) if layer.is_text else value


def _origin(origin: str, path: str, written: str) -> str:
    return origin if written == path else f"{origin} ({written})"


def _profile_layers(name: str) -> list[Layer]:
    known = profiles()
    if name not in known:
        near = tree.nearest(name, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise UserError(f"unknown profile {name!r}{hint}; there are: {', '.join(known)}")
    names = [DEFAULT] if name == DEFAULT else [DEFAULT, name]
    folder = resources.files("spyhop.config") / "profiles"
    return [
        _toml_layer(f"profile {each}", (folder / f"{each}.toml").read_text(encoding="utf-8"), Settings)
        for each in names
    ]


def _file_layers(asked: Path | None, folder: Path) -> list[Layer]:
    if asked is not None and not asked.is_file():
        raise MissingInput(f"there is no settings file {asked}")
    path = asked or folder / SETTINGS_FILE
    return [_toml_layer(str(asked or SETTINGS_FILE), _text(path), Settings)] if path.is_file() else []


def _toml_layer(origin: str, text: str, kind: type[msgspec.Struct]) -> Layer:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{origin} is not valid TOML: {error}") from None
    return Layer(origin, tuple(tree.flattened(table, tree.leaves(kind))))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
