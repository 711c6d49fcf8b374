"""What the commands do: settings in, a call of the wiring, text or JSON out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spyhop.config.loading import InForce, Line, Sources, load
from spyhop.config.secrets import Secrets
from spyhop.config.settings import Settings
from spyhop.errors import UserError

WIDE = 240


class Loaded(msgspec.Struct, frozen=True):
    """Settings in force and the secrets beside them."""

    in_force: InForce[Settings]
    secrets: Secrets

    @property
    def settings(self) -> Settings:
        return self.in_force.settings


def settings(
    profile: str, file: Path | None, assignments: Sequence[str], flags: Sequence[tuple[str, str, str]]
) -> Loaded:
    """Return the settings under the profile, files, environment, then `--set` and the flags of the command line."""
    overrides = [*(_assignment(text) for text in assignments), *flags]
    in_force, secrets = load(Sources(profile=profile, file=file, environment=dict(os.environ), overrides=overrides))
    return Loaded(in_force, secrets)


def show_settings(loaded: Loaded, *, as_json: bool) -> None:
    """Print every setting, its value and its origin; of secrets the names only."""
    lines = loaded.in_force.lines()
    if as_json:
        print_json(
            {
                "settings": {line.path: {"value": line.value, "origin": line.origin} for line in lines},
                "secrets": dict(loaded.secrets),
                "unused": list(loaded.in_force.unused),
            }
        )
        return
    console = stdout()
    console.print(_settings_table(lines))
    for name, origin in loaded.secrets:
        console.print(Text(f"{name} = ******** ({origin})", style="dim"))
    for name in loaded.in_force.unused:
        console.print(Text(f"{name}: this version does not use it", style="yellow"))


def stdout() -> Console:
    """Return the console of stdout; where nobody's terminal sets a width, lines are as long as they need to be."""
    return (
        Console(highlight=False)
        if sys.stdout.isatty() or "COLUMNS" in os.environ
        else Console(highlight=False, width=WIDE)
    )


def print_json(value: Any) -> None:
    """Print one JSON object, indented."""
    Console(soft_wrap=True, highlight=False, markup=False).print(
        msgspec.json.format(msgspec.json.encode(value)).decode(), emoji=False
    )


def _assignment(text: str) -> tuple[str, str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text!r}: expected KEY=VALUE, such as --set session.hours=2")
    return "--set", key.strip(), value.strip()


def _settings_table(lines: Sequence[Line]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("setting", "value", "from"):
        table.add_column(name, header_style="bold", overflow="fold")
    for line in lines:
        value = ",".join(line.value) if isinstance(line.value, tuple) else str(line.value)
        is_default = line.origin == "default"
        table.add_row(line.path, value, line.origin, style="" if not is_default else "dim")
    return table
