import json
import os
import pickle
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from spyhop.config import secrets
from spyhop.config.secrets import Secret
from spyhop.errors import UserError

HIDDEN = "hunter2-hunter2"


def test_the_environment_wins_over_dotenv_and_that_over_the_fallback_file(tmp_path: Path) -> None:
    fallback = tmp_path / "config.json"
    fallback.write_text('{"binance_testnet": {"api_key": "c", "api_secret": "d"}, "binance": {"api_key": "e"}}')
    kept = secrets.found({"BINANCE_API_KEY": "a"}, {"BINANCE_API_KEY": "b", "BINANCE_TESTNET_API_KEY": "f"}, fallback)
    assert kept["BINANCE_API_KEY"].reveal() == "a"
    assert kept["BINANCE_TESTNET_API_KEY"].reveal() == "f"
    assert kept["BINANCE_TESTNET_API_SECRET"].reveal() == "d"
    assert dict(kept) == {
        "BINANCE_API_KEY": "environment",
        "BINANCE_TESTNET_API_KEY": ".env",
        "BINANCE_TESTNET_API_SECRET": str(fallback),
    }


def test_a_secret_is_masked_wherever_it_could_be_seen() -> None:
    secret = Secret(HIDDEN)
    kept = secrets.found({"BINANCE_API_KEY": HIDDEN}, {}, None)
    for text in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>30}".strip(),
        repr([secret]),
        repr(kept),
        str(list(kept)),
    ):
        assert HIDDEN not in text
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


def test_a_secret_that_nobody_gave_says_where_to_put_it() -> None:
    kept = secrets.found({"BINANCE_API_KEY": ""}, {}, Path("not-there.json"))
    assert "BINANCE_API_KEY" not in kept
    with pytest.raises(UserError, match=r"put it into the environment or into \.env"):
        kept["BINANCE_API_KEY"]


@pytest.mark.parametrize("content", ["[1]", "{", '{"binance": 3, "x": "secret"', b"\xff\xfe"])
def test_a_broken_fallback_file_is_named_without_its_content(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as caught:
        secrets.found({}, {}, path)
    assert str(caught.value) == f"{path} cannot be read as a JSON object"


def test_a_secret_is_masked_in_every_way_of_writing_it_and_words_are_not() -> None:
    value = '0xAf"91\\c7/ü+77e1'
    Secret(value)
    Secret("short")
    for written in (value, value[2:], json.dumps(value), json.dumps(value, ensure_ascii=False), quote(value, safe="")):
        assert secrets.masked(f"a {written.strip(chr(34))} b") == f"a {secrets.HIDDEN} b"
    assert secrets.masked("short 0x") == "short 0x"


def test_what_the_environment_holds_is_masked_unread() -> None:
    secrets.known({"DYDX_PRIVATE_KEY": "unread-5f1c9e77", "PATH": "no-secret-at-all"})
    assert secrets.masked("unread-5f1c9e77 no-secret-at-all") == f"{secrets.HIDDEN} no-secret-at-all"


def test_keys_that_are_withheld_are_in_no_environment_and_yet_found() -> None:
    environment = {"BINANCE_API_KEY": "withheld-1b2c", "BINANCE_API_SECRET": "", "OTHER": "stays"}
    memory = secrets.withheld(environment)
    try:
        assert "withheld-1b2c" not in str(environment)
        assert environment["OTHER"] == "stays"
        kept = secrets.found(environment, {"BINANCE_API_KEY": "of the file"}, None)
        assert dict(kept) == {"BINANCE_API_KEY": "environment"}
        assert kept["BINANCE_API_KEY"].reveal() == "withheld-1b2c"
        assert secrets.found(environment | {"BINANCE_API_KEY": "own"}, {}, None)["BINANCE_API_KEY"].reveal() == "own"
        assert not {"BINANCE_API_KEY", secrets.HANDED} & set(secrets.without(environment | {"BINANCE_API_KEY": "x"}))
    finally:
        os.close(memory)
    with pytest.raises(UserError, match="cannot be read as keys") as refused:
        secrets.found(environment, {}, None)
    assert "\n" not in str(refused.value)
