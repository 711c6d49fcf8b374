"""The log of a process, as lines of JSON in a file of the session or recording that it works for."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from spyhop.clock import NS_PER_S, iso_ms

_HOUSES = ("spyhop", "actors", "cluster")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One object a record: ts, level, logger, message, whatever the record was given besides, and the error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, object] = {
            "ts": iso_ms(int(record.created * NS_PER_S)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def keep_log(path: Path) -> None:
    """Write what Spyhop's modules log from INFO on to `path`, behind what is there; a process has one such file.

    Warnings and above still go to standard error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _drop()
    handler = _Kept(path, encoding="utf-8", delay=True)
    handler.setFormatter(JsonLines())
    for name in _HOUSES:
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(handler)
    if not logging.getLogger().handlers:
        # the handler of last resort speaks only where nobody else listens
        loud = logging.StreamHandler()
        loud.setLevel(logging.WARNING)
        logging.getLogger().addHandler(loud)


class _Kept(logging.FileHandler):
    """Told apart from handlers of others."""


def _drop() -> None:
    for name in _HOUSES:
        logger = logging.getLogger(name)
        for handler in [one for one in logger.handlers if isinstance(one, _Kept)]:
            logger.removeHandler(handler)
            handler.close()
