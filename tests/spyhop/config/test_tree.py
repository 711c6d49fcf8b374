from typing import Annotated

import msgspec
import pytest

from spyhop.config import tree
from spyhop.errors import InvalidSetting, UnknownSetting


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    size_usdt: Annotated[float, msgspec.Meta(gt=0)] = 100.0
    is_on: bool = False
    names: tuple[str, ...] = ("a",)

    def __post_init__(self) -> None:
        if self.is_on and self.size_usdt > 500:
            raise InvalidSetting("size_usdt", "must not be above 500 while on")


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    inner: Inner = msgspec.field(default_factory=Inner)
    count: Annotated[int, msgspec.Meta(ge=1, le=9)] = 3
    label: str = "x"
    weights: dict[str, float] = msgspec.field(default_factory=dict)


NAMES = list(tree.leaves(Outer))


def test_leaves_are_the_paths_of_every_setting_in_order() -> None:
    assert NAMES == ["inner.size_usdt", "inner.is_on", "inner.names", "count", "label", "weights"]


def test_a_table_is_opened_unless_its_path_is_a_setting() -> None:
    table = {"inner": {"is_on": True}, "weights": {"a": 1.0}, "other": {"b": {"c": 2}}}
    assert list(tree.flattened(table, NAMES)) == [
        ("inner.is_on", True),
        ("weights", {"a": 1.0}),
        ("other.b.c", 2),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("inner.size_usd", "inner.size_usdt"), ("size_usdt", "inner.size_usdt"), ("cuont", "count"), ("zzzzzz", "")],
)
def test_the_nearest_name_is_offered(written: str, meant: str) -> None:
    assert tree.nearest(written, NAMES) == meant


def test_a_section_given_as_a_value_is_told_what_it_holds() -> None:
    error = tree.unknown("inner", NAMES, "file")
    assert isinstance(error, InvalidSetting)
    assert "inner.size_usdt" in str(error)
    assert isinstance(tree.unknown("innr.x", NAMES, "file"), UnknownSetting)


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("inner.size_usdt", "25", 25.0),
        ("inner.size_usdt", "2.5e1", 25.0),
        ("inner.is_on", "true", True),
        ("inner.is_on", "1", True),
        ("inner.names", "BTC, ETH", ("BTC", "ETH")),
        ("inner.names", '["BTC"]', ("BTC",)),
        ("inner.names", "BTC", ("BTC",)),
        ("label", "2024-01-01", "2024-01-01"),
        ("label", "7", "7"),
        ("label", '"quoted"', "quoted"),
        ("weights", "{a = 1.5}", {"a": 1.5}),
    ],
)
def test_text_is_read_as_the_type_of_its_setting(path: str, text: str, value: object) -> None:
    assert tree.converted(path, tree.leaves(Outer)[path], text, "--set", is_text=True) == value


@pytest.mark.parametrize(
    ("path", "raw", "is_text", "said"),
    [
        ("inner.size_usdt", 0, False, "expected a number > 0"),
        ("inner.size_usdt", "ten", True, "'ten' is not permitted"),
        ("inner.size_usdt", "inf", True, "finite"),
        ("inner.size_usdt", "nan", True, "nan"),
        ("inner.size_usdt", "10", False, "expected a number"),
        ("count", 2.5, False, "expected a whole number"),
        ("count", "10", True, "<= 9"),
        ("inner.is_on", 1, False, "expected true or false"),
        ("weights", {"a": float("inf")}, False, "finite"),
    ],
)
def test_what_a_setting_does_not_permit_is_refused_with_path_and_origin(
    path: str, raw: object, is_text: bool, said: str
) -> None:
    with pytest.raises(InvalidSetting) as caught:
        tree.converted(path, tree.leaves(Outer)[path], raw, "here", is_text=is_text)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"setting '{path}' (from here): ")
    assert "$" not in str(caught.value)


def test_a_combination_that_a_section_refuses_is_named_by_its_whole_path() -> None:
    with pytest.raises(InvalidSetting) as caught:
        tree.built(Outer, {"inner.is_on": True, "inner.size_usdt": 501.0}, {"inner.size_usdt": "a file"})
    assert str(caught.value) == "setting 'inner.size_usdt' (from a file): must not be above 500 while on"


def test_what_is_not_given_keeps_the_default_of_its_component() -> None:
    settings = tree.built(Outer, {"count": 4}, {})
    assert settings == Outer(count=4)
    assert tree.value_at(settings, "inner.names") == ("a",)
