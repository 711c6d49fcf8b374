from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from spyhop.wiring.logs import keep_log


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_process_has_one_log_of_json_lines(tmp_path: Path) -> None:
    log = logging.getLogger("spyhop.venues.somewhere")
    keep_log(tmp_path / "one" / "log.jsonl")
    log.info("%s: WS -> REST", "BTCUSDT", extra={"symbol": "BTCUSDT", "reason": "PRICE_STALE"})
    log.debug("not kept")
    logging.getLogger("somebody.else").warning("not ours")
    keep_log(tmp_path / "two.jsonl")
    log.warning("later")
    (first,) = lines(tmp_path / "one" / "log.jsonl")
    assert first.pop("ts")
    assert first == {
        "level": "info",
        "logger": "spyhop.venues.somewhere",
        "message": "BTCUSDT: WS -> REST",
        "symbol": "BTCUSDT",
        "reason": "PRICE_STALE",
    }
    assert [line["message"] for line in lines(tmp_path / "two.jsonl")] == ["later"]


def test_an_error_is_kept_with_its_story(tmp_path: Path) -> None:
    keep_log(tmp_path / "log.jsonl")
    try:
        raise ValueError("no such level")
    except ValueError:
        logging.getLogger("actors.carrier").exception("actor leaves")
    (line,) = lines(tmp_path / "log.jsonl")
    assert "ValueError: no such level" in str(line["error"])


@pytest.fixture(autouse=True)
def _no_log_is_left(tmp_path_factory: pytest.TempPathFactory) -> None:
    keep_log(tmp_path_factory.mktemp("rest") / "log.jsonl")
