"""The log of a process: who, about what, why; sparing, and silent about keys. Not a word of it outlives a test."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from urllib.parse import quote

import pytest

from spyhop.config.loading import Sources, load
from spyhop.config.secrets import HIDDEN, Secret
from spyhop.wiring.logs import MOST_ALIKE, WINDOW_S, Sparing, keep_log, let_go

PLANTED = "planted-key-4f1c9e77b2"


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_process_has_one_log_of_json_lines(tmp_path: Path) -> None:
    log = logging.getLogger("spyhop.venues.somewhere")
    keep_log(tmp_path / "one" / "log.jsonl")
    log.info("%s: WS -> REST", "BTCUSDT", extra={"symbol": "BTCUSDT", "reason": "PRICE_STALE", "cause": "", "_mark": 1})
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


def test_every_line_says_who_and_about_what_unless_it_knows_better(tmp_path: Path) -> None:
    keep_log(tmp_path / "log.jsonl", actor="feed:BTCUSDT", symbol="BTCUSDT", nothing="")
    log = logging.getLogger("spyhop.venues.somewhere")
    log.info("connected")
    log.info("asked", extra={"symbol": "ETHUSDT", "cause": "order 7"})
    said = [{name: line.get(name) for name in ("actor", "symbol", "cause")} for line in lines(tmp_path / "log.jsonl")]
    assert said == [
        {"actor": "feed:BTCUSDT", "symbol": "BTCUSDT", "cause": None},
        {"actor": "feed:BTCUSDT", "symbol": "ETHUSDT", "cause": "order 7"},
    ]
    assert "nothing" not in lines(tmp_path / "log.jsonl")[0]


def test_an_error_is_kept_with_its_story(tmp_path: Path) -> None:
    keep_log(tmp_path / "log.jsonl")
    try:
        raise ValueError("no such level")
    except ValueError:
        logging.getLogger("actors.carrier").exception("actor leaves")
    (line,) = lines(tmp_path / "log.jsonl")
    assert "ValueError: no such level" in str(line["error"])


@pytest.mark.parametrize("name", ["BINANCE_API_KEY", "BINANCE_API_SECRET", "DYDX_PRIVATE_KEY"])
def test_a_key_is_in_no_line_however_it_got_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, PLANTED)
    keep_log(tmp_path / "log.jsonl")
    log = logging.getLogger("spyhop.venues.somewhere")
    log.warning("refused: signature of %s", PLANTED)
    log.warning("asked", extra={"url": f"https://venue/order?key={PLANTED}", "key": Secret(PLANTED)})
    try:
        raise ValueError(f"bad key {PLANTED}")
    except ValueError:
        log.exception("it failed")
    text = (tmp_path / "log.jsonl").read_text()
    assert PLANTED not in text
    assert text.count(HIDDEN) >= 4
    assert [line["message"] for line in lines(tmp_path / "log.jsonl")] == [
        f"refused: signature of {HIDDEN}",
        "asked",
        "it failed",
    ]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (".env", "BINANCE_API_KEY='{}'"),
        ("config/config.json", '{{"binance": {{"api_key": "{}"}}}}'),
    ],
)
def test_a_key_that_was_read_from_a_file_is_in_no_line_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, content: str
) -> None:
    planted = f"planted-in-{file[-4:]}-0a/+%-7c3d=="
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(content.format(planted))
    root, others = logging.getLogger(), logging.getLogger().handlers[:]
    for other in others:
        # of who runs this test; an actor has none
        root.removeHandler(other)
    try:
        keep_log(tmp_path / "log.jsonl")
        _, secrets = load(Sources(folder=tmp_path))
        assert secrets["BINANCE_API_KEY"].reveal() == planted
        log = logging.getLogger("spyhop.venues.somewhere")
        log.warning("asked for %s?key=%s", planted, quote(planted, safe=""))
        try:
            raise ValueError(planted)
        except ValueError:
            log.exception("it failed")
    finally:
        for other in others:
            root.addHandler(other)
    for text in ((tmp_path / "log.jsonl").read_text(), capsys.readouterr().err):
        assert f"asked for {HIDDEN}?key={HIDDEN}" in text
        assert text.count(HIDDEN) == 3
        assert "planted-in" not in text


def test_who_says_the_same_again_and_again_is_counted_instead() -> None:
    sparing = Sparing()

    def says(
        at: float, message: str = "frame of %s set aside", level: int = logging.WARNING
    ) -> logging.LogRecord | None:
        record = logging.LogRecord("spyhop.venues.live", level, "", 1, message, ("public",), None)
        record.created = at
        return record if sparing.filter(record) else None

    written = [says(at / 100) for at in range(MOST_ALIKE + 50)]
    assert sum(record is not None for record in written) == MOST_ALIKE
    # others are heard meanwhile
    assert says(1.0, "connection %s lost") is not None
    assert says(1.0, level=logging.ERROR) is not None
    later = says(WINDOW_S)
    assert later is not None
    assert later.num_kept_back == 50  # type: ignore[attr-defined]
    assert says(WINDOW_S + 1) is not None
    calm = says(3 * WINDOW_S)
    assert calm is not None
    assert not hasattr(calm, "num_kept_back")


def test_what_was_kept_leaves_logging_as_it_was(tmp_path: Path) -> None:
    ours = [logging.getLogger(name) for name in ("", "spyhop", "actors", "cluster")]
    before = [(logger.level, list(logger.handlers)) for logger in ours]
    keep_log(tmp_path / "log.jsonl")
    assert logging.getLogger("spyhop").level == logging.INFO
    let_go()
    assert [(logger.level, list(logger.handlers)) for logger in ours] == before
