"""Keys to other people's doors: read from the environment, masked wherever they could be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

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


class Secret:
    """One secret; only `reveal` shows it. It refuses to be pickled and so never travels by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(********)"

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
    """Return every known secret: environment before .env before the fallback file (read when it exists)."""
    kept = _read_fallback(fallback)
    for origin, variables in ((".env", dotenv), ("environment", environment)):
        kept |= {name: (Secret(variables[name]), origin) for name in NAMES if variables.get(name)}
    return Secrets(kept)


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
