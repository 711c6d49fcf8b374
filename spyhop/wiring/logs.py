"""The log of a process, as lines of JSON in a file of the session or recording that it works for.

A line says who (`actor`), about what (`symbol`), and what it follows from (`cause`: an order's, a trade's or an
intent's id), where there is such a thing. Nothing secret is written, and nobody can fill the disk by saying the same.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TextIO

from spyhop.clock import NS_PER_S, iso_ms
from spyhop.config.secrets import known, masked

_HOUSES = ("spyhop", "actors", "cluster")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
WINDOW_S = 60.0
MOST_ALIKE = 100
"""So many lines alike, of one logger, level and template, are written within a window; the rest is counted."""


class JsonLines(logging.Formatter):
    """One object a record: ts, level, logger, message, `same` of every record, what it was given besides, its error."""

    def __init__(self, **same: str) -> None:
        super().__init__()
        self._same = {name: value for name, value in same.items() if value}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, object] = {
            "ts": iso_ms(int(record.created * NS_PER_S)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._same,
        }
        given = {name: value for name, value in vars(record).items() if name not in _USUAL and value != ""}
        # what begins with an underscore somebody else marks every record with: Ray, where it runs
        line |= {name: value for name, value in given.items() if not name.startswith("_")}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return masked(json.dumps(line, default=str, ensure_ascii=False))


class Masked(logging.Formatter):
    """Logging's own lines, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        return masked(super().format(record))


class Sparing(logging.Filter):
    """Lets `MOST_ALIKE` records alike through in a window, by their own times; the next one says how many it kept."""

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record is written; `num_kept_back` is added to the first of a window after a full one."""
        alike = (record.name, record.levelno, str(record.msg))
        since, count = self._since.get(alike, (record.created, 0))
        if record.created - since >= WINDOW_S:
            if count > MOST_ALIKE:
                record.num_kept_back = count - MOST_ALIKE
            since, count = record.created, 0
        self._since[alike] = since, count + 1
        return count < MOST_ALIKE


def keep_log(path: Path, **same: str) -> None:
    """Write what Spyhop's modules log from INFO on to `path`, behind what is there; a process has one such file.

    `same` stands on every line, such as the actor that this process is. Warnings and above still go to standard error.
    Neither shows a secret that this process has read, or that its environment holds.
    """
    known(os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    let_go()
    handler = _Kept(path, encoding="utf-8", delay=True)
    handler.setFormatter(JsonLines(**same))
    handler.addFilter(Sparing())
    for name in _HOUSES:
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(handler)
    if not logging.getLogger().handlers:
        # the handler of last resort speaks only where nobody else listens
        loud = _Loud()
        loud.setFormatter(Masked())
        loud.setLevel(logging.WARNING)
        logging.getLogger().addHandler(loud)


def let_go() -> None:
    """Leave logging as it was before a log was kept."""
    for name in ("", *_HOUSES):
        logger = logging.getLogger(name)
        for handler in [one for one in logger.handlers if isinstance(one, _Kept | _Loud)]:
            logger.removeHandler(handler)
            handler.close()
            if name:
                logger.setLevel(logging.NOTSET)


class _Kept(logging.FileHandler):
    """Told apart from handlers of others."""


class _Loud(logging.StreamHandler[TextIO]):
    """Told apart, too."""
