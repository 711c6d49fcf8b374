"""What the terminal says, in three languages: one file of messages each, all with the same keys."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

LANGUAGES: tuple[str, ...] = ("en", "zh-TW", "zh-CN")
AUTO = "auto"
_TRADITIONAL = ("zh_tw", "zh_hk", "zh_mo", "zh_hant")


class Words:
    """The messages of one language, by key such as `detector.obi`."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        self._messages = messages

    def __call__(self, key: str, **values: object) -> str:
        """Return the message `key` with `values` put in; raise KeyError when there is none."""
        return self._messages[key].format(**values)

    def or_else(self, key: str, otherwise: str) -> str:
        """Return the message `key`, or `otherwise` for names that strategies may invent."""
        return self._messages.get(key, otherwise)

    def names(self) -> list[str]:
        """Return every key, in the order of the file."""
        return list(self._messages)


@cache
def words(language: str) -> Words:
    """Return the messages of `language`, one of LANGUAGES."""
    text = (resources.files("cluster") / "messages" / f"{language}.toml").read_text(encoding="utf-8")
    return Words(
        {
            f"{section}.{key}": message
            for section, table in tomllib.loads(text).items()
            for key, message in table.items()
        }
    )


def chosen(asked: str, environment: Mapping[str, str]) -> str:
    """Return the language that was asked for, or with "auto" the one of the locale in `environment`.

    POSIX order: LC_ALL, LC_MESSAGES, LANG; the first that is set decides. Anything but Chinese is English.
    """
    if asked != AUTO:
        return asked
    locale = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    tag = locale.split(".", maxsplit=1)[0].lower().replace("-", "_")
    if tag.startswith(_TRADITIONAL):
        return "zh-TW"
    return "zh-CN" if tag.split("_")[0] == "zh" else "en"
