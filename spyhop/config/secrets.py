"""Keys to other people's doors: read from the environment, masked wherever they could be seen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from urllib.parse import quote

import msgspec

from spyhop.errors import UserError

FALLBACK_FILE = Path("config/config.json")

# name in the environment, section and key in the fallback file
NAMES: dict[str, tuple[str, str]] = {
    "BINANCE_API_KEY": ("binance", "api_key"),
    "BINANCE_API_SECRET": ("binance", "api_secret"),
    "BINANCE_SECRET_KEY": ("binance", "api_secret"),
    "DYDX_PRIVATE_KEY": ("dydx", "private_key"),
    "BINANCE_TESTNET_API_KEY": ("binance_testnet", "api_key"),
    "BINANCE_TESTNET_API_SECRET": ("binance_testnet", "api_secret"),
}

HANDED = "SPYHOP_KEYS"
"""The variable that names the file of keys that were taken out of the environment, see `withheld`."""
HIDDEN = "********"
_SHORTEST = 8
_PREFIX = "0x"

_read: set[str] = set()


class Secret:
    """One secret; only `reveal` shows it. It refuses to be pickled and so never travels by accident.

    A process that has read one masks it in its logs from then on, see `masked`; who has not read it cannot tell it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        _read.update(_written(value))

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __reduce__(self) -> str:
        raise TypeError("a secret is never pickled; pass on its name")


class Secrets:
    """The secrets that are there, by name, and where each was found."""

    def __init__(self, found: Mapping[str, tuple[Secret, str]]) -> None:
        self._found = dict(found)

    def __getitem__(self, name: str) -> Secret:
        """Return the secret `name`; raise UserError when nobody gave it."""
        if name not in self._found:
            raise UserError(f"{name} is needed; put it into the environment or into .env")
        return self._found[name][0]

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the origin of each, never the value."""
        return ((name, origin) for name, (_, origin) in sorted(self._found.items()))

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._found))})"


def found(environment: Mapping[str, str], dotenv: Mapping[str, str], fallback: Path | None) -> Secrets:
    """Return every known secret: environment before .env before the fallback file (read when it exists).

    What `withheld` took out of the environment counts as being there.
    """
    kept = _read_fallback(fallback)
    for origin, variables in ((".env", dotenv), ("environment", _handed(environment)), ("environment", environment)):
        kept |= {name: (Secret(variables[name]), origin) for name in NAMES if variables.get(name)}
    return Secrets(kept)


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` for a process that needs no keys."""
    return {name: value for name, value in environment.items() if name not in NAMES and name != HANDED}


def withheld(environment: MutableMapping[str, str]) -> int:
    """Take the keys out of `environment`, for processes of this machine that are started with it; return a descriptor.

    They are in this process's memory instead, as the file that `environment` names: whoever needs keys reads them
    there while the descriptor is open. Nothing is on a disk, and nothing is left when this process dies.
    """
    keys = {name: environment.pop(name) for name in NAMES if name in environment}
    memory = os.memfd_create("spyhop-keys")
    os.write(memory, msgspec.json.encode(keys))
    environment[HANDED] = f"/proc/{os.getpid()}/fd/{memory}"
    return memory


def known(environment: Mapping[str, str]) -> None:
    """Mask the keys that `environment` holds from now on, whether anybody has read them or not."""
    for name in NAMES:
        _read.update(_written(environment.get(name, "")))


def masked(text: str) -> str:
    """Return `text` without any secret that this process has read, in whatever way of writing it stands there."""
    for written in sorted(_read, key=len, reverse=True):
        text = text.replace(written, HIDDEN)
    return text


def _written(value: str) -> Iterator[str]:
    # a text as long as a word would mask that word everywhere
    for each in (value, value.removeprefix(_PREFIX)):
        if len(each) >= _SHORTEST:
            yield from (each, json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1], quote(each, safe=""))


def _handed(environment: Mapping[str, str]) -> dict[str, str]:
    if not (path := environment.get(HANDED)):
        return {}
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        raise UserError(f"{path}, which {HANDED} names, cannot be read as keys") from None


def _read_fallback(path: Path | None) -> dict[str, tuple[Secret, str]]:
    if path is None or not path.is_file():
        return {}
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except (OSError, msgspec.MsgspecError):
        raise UserError(f"{path} cannot be read as a JSON object") from None
    kept: dict[str, tuple[Secret, str]] = {}
    for name, (section, key) in NAMES.items():
        table = content.get(section)
        value = table.get(key) if isinstance(table, dict) else None
        if isinstance(value, str) and value:
            kept[name] = (Secret(value), str(path))
    return kept
