import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.config import dotenv
from spyhop.errors import UserError


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("  export A = 1  ", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=b # a remark", {"A": "b"}),
        ("A= # a remark", {"A": ""}),
        ("A=b#c", {"A": "b#c"}),
        ("A='x # y' # z", {"A": "x # y"}),
        (r'A="a\"b\n\\c"', {"A": 'a"b\n\\c'}),
        (r"A='a\n'", {"A": r"a\n"}),
        ("# A=1", {}),
        ("", {}),
        ("A=1\nA=2", {"A": "2"}),
        ("\ufeffA=1\r\nB=x=y", {"A": "1", "B": "x=y"}),
    ],
)
def test_a_line_means_what_shells_mean_by_it(line: str, expected: dict[str, str]) -> None:
    assert dotenv.parsed(line, ".env") == expected


@pytest.mark.parametrize("line", ["A", "1A=2", "A='x", 'A="x', "A='x' y", "=5"])
def test_a_broken_line_is_named_by_number_and_its_value_is_not_shown(line: str) -> None:
    with pytest.raises(UserError) as caught:
        dotenv.parsed(f"OK=1\n\n{line}", ".env")
    assert str(caught.value).startswith(".env, line 3: ")
    assert "x" not in str(caught.value).split(": ")[1].replace("expected", "")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", exclude_categories=["Cs"])))
def test_a_value_in_double_quotes_comes_back_as_it_was(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    assert dotenv.parsed(f'A="{quoted}"', ".env") == {"A": value}
