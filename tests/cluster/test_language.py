import re

import pytest

from cluster.language import LANGUAGES, chosen, words
from spyhop.model.decisions import CLASSES, LEAD_FOLLOW, STRATEGIES
from spyhop.model.rows import DETECTORS, Health
from spyhop.strategies.evidence import NAMES
from spyhop.strategies.lead import NAMES as LEADER_NAMES

PLACEHOLDER = re.compile(r"\{(\w*)\}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_and_placeholders(language: str) -> None:
    english, other = words("en"), words(language)
    assert other.names() == english.names()
    for key in english.names():
        blanks = set(PLACEHOLDER.findall(english.or_else(key, "")))
        assert set(PLACEHOLDER.findall(other.or_else(key, ""))) == blanks, key
        assert other(key, **dict.fromkeys(blanks, "x")).strip()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_name_of_the_model_has_a_word(language: str) -> None:
    keys = set(words(language).names())
    for section, names in (
        ("detector", DETECTORS),
        ("strategy", (*STRATEGIES, LEAD_FOLLOW)),
        ("class", tuple(CLASSES)),
        ("health", tuple(str(flag.name) for flag in Health)),
        ("evidence", (*NAMES, *LEADER_NAMES)),
    ):
        assert {key.split(".")[1] for key in keys if key.startswith(f"{section}.")} == set(names)


def test_the_two_kinds_of_chinese_differ() -> None:
    assert words("zh-TW")("strategy.WHALE_PUMP") == "主力拉盤"
    assert words("zh-CN")("strategy.WHALE_PUMP") == "主力拉盘"


@pytest.mark.parametrize(
    ("asked", "environment", "language"),
    [
        ("en", {"LANG": "zh_TW.UTF-8"}, "en"),
        ("auto", {"LANG": "zh_TW.UTF-8"}, "zh-TW"),
        ("auto", {"LANG": "zh_HK"}, "zh-TW"),
        ("auto", {"LANG": "zh_CN.GB18030"}, "zh-CN"),
        ("auto", {"LANG": "zh_SG.UTF-8"}, "zh-CN"),
        ("auto", {"LC_ALL": "C", "LANG": "zh_TW.UTF-8"}, "en"),
        ("auto", {"LC_ALL": "", "LC_MESSAGES": "zh-Hant", "LANG": "de_DE"}, "zh-TW"),
        ("auto", {"LANG": "de_DE.UTF-8"}, "en"),
        ("auto", {}, "en"),
    ],
)
def test_the_locale_chooses_unless_a_language_was_asked_for(
    asked: str, environment: dict[str, str], language: str
) -> None:
    assert chosen(asked, environment) == language
