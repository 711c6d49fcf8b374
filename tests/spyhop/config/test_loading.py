from pathlib import Path

import msgspec
import pytest

from spyhop.config import loading, tree
from spyhop.config.loading import Layer, Sources
from spyhop.config.settings import Settings
from spyhop.errors import InvalidSetting, MissingInput, UnknownSetting, UserError


def load(folder: Path, **given: object) -> loading.InForce[Settings]:
    return loading.load(Sources(folder=folder, **given))[0]  # type: ignore[arg-type]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_each_source_lies_over_the_one_before_it(tmp_path: Path) -> None:
    expected = [("default", 1.0)]
    given: dict[str, object] = {}
    assert load(tmp_path).settings.session.hours == 1.0
    write(tmp_path, "spyhop.toml", "[session]\nhours = 2\n")
    expected.append(("spyhop.toml", 2.0))
    write(tmp_path, ".env", "SPYHOP_SESSION__HOURS=3\n")
    given["environment"] = {"SPYHOP_SESSION__HOURS": "4"}
    given["overrides"] = [("--set", "session.hours", "5"), ("--hours", "session.hours", "6")]
    in_force = load(tmp_path, **given)
    assert (in_force.settings.session.hours, in_force.origins["session.hours"]) == (6.0, "--hours")
    given["overrides"] = []
    in_force = load(tmp_path, **given)
    assert (in_force.settings.session.hours, in_force.origins["session.hours"]) == (4.0, "environment")
    in_force = load(tmp_path)
    assert (in_force.settings.session.hours, in_force.origins["session.hours"]) == (3.0, ".env")
    (tmp_path / ".env").unlink()
    in_force = load(tmp_path)
    assert (in_force.settings.session.hours, in_force.origins["session.hours"]) == (2.0, "spyhop.toml")


def test_a_file_asked_for_by_name_replaces_the_one_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "spyhop.toml", "[session]\nhours = 2\n")
    other = write(tmp_path, "other.toml", "[session]\nspeed = 3\n")
    session = load(tmp_path, file=other).settings.session
    assert (session.hours, session.speed) == (1.0, 3.0)


def test_every_setting_in_force_is_listed_with_its_origin(tmp_path: Path) -> None:
    lines = load(tmp_path, environment={"SYMBOLS": "ETHUSDT"}).lines()
    assert [line.path for line in lines] == list(tree.leaves(Settings))
    by_path = {line.path: line for line in lines}
    assert by_path["session.symbols"].value == ("ETHUSDT",)
    assert by_path["session.symbols"].origin == "environment (SYMBOLS)"
    assert by_path["session.hours"].origin == "default"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "spyhop.toml",
            "[session]\nhuors = 2\n",
            "unknown setting 'session.huors' in spyhop.toml; did you mean 'session.hours'?",
        ),
        ("spyhop.toml", "session = 2\n", "is a section"),
        ("spyhop.toml", "[session]\nhours = -1\n", "setting 'session.hours' (from spyhop.toml): -1 is not permitted"),
        ("spyhop.toml", "[session\n", "spyhop.toml is not valid TOML"),
        ("spyhop.toml", "BINANCE_API_KEY = 'hunter2'\n", "is a secret"),
        ("spyhop.toml", "[binance]\napi_secret = 'hunter2'\n", "is a secret"),
        ("spyhop.toml", "symbols = ['A']\nsession.symbols = ['B']\n", "sets session.symbols, which"),
        (".env", "SPYHOP_SESSION__HUORS=2\n", "did you mean 'SPYHOP_SESSION__HOURS'?"),
        (".env", "SPYHOP_SESSION_HOURS=2\n", "did you mean 'SPYHOP_SESSION__HOURS'?"),
        (".env", "SYMBOL=2\n", "did you mean 'SYMBOLS'?"),
        (".env", "SPYHOP_SESSION__HOURS=two\n", "(from .env): 'two' is not permitted"),
        (".env", "what is this", ".env, line 1"),
    ],
)
def test_a_mistake_is_one_sentence_that_says_where_it_stands(tmp_path: Path, name: str, text: str, said: str) -> None:
    write(tmp_path, name, text)
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_override_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting) as caught:
        load(tmp_path, overrides=[("--set", "sesion.speed", "2")])
    assert caught.value.nearest == "session.speed"


def test_variables_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, ".env", "DATABASE_URL=x\nPATH_TO=y\n")
    assert load(tmp_path, environment={"HOME": "/", "SYMBOL": "x", "SPYHOP_KERNEL_CACHE": "/x"}).settings == Settings()


def test_names_of_later_parts_are_read_and_said_to_be_unused(tmp_path: Path) -> None:
    write(tmp_path, ".env", "OI_ZSCORE=3\nSWEEP_PCTT=1\n")
    in_force = load(tmp_path)
    assert in_force.settings == Settings()
    assert in_force.unused == ("OI_ZSCORE (.env)",)


def test_a_file_or_profile_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no settings file"):
        load(tmp_path, file=tmp_path / "none.toml")
    with pytest.raises(UserError, match="did you mean 'default'"):
        load(tmp_path, profile="defalt")


@pytest.mark.parametrize("profile", loading.profiles())
def test_every_shipped_profile_is_valid(tmp_path: Path, profile: str) -> None:
    in_force = load(tmp_path, profile=profile)
    assert set(in_force.origins.values()) <= {"default", "profile default", f"profile {profile}"}


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[session]\nhours = 1"])
def test_a_settings_file_that_is_no_text_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spyhop.toml").write_bytes(content)
    if content.startswith(b"["):
        assert load(tmp_path).origins["session.hours"] == "spyhop.toml"
    else:
        with pytest.raises(UserError, match="is not UTF-8"):
            load(tmp_path)


def test_merging_knows_any_tree() -> None:
    class Tree(msgspec.Struct, frozen=True):
        depth: int = 1

    in_force = loading.merged(Tree, [Layer("a", (("depth", 2),)), Layer("b", (("depth", "3"),), is_text=True)])
    assert in_force.settings == Tree(3)
    with pytest.raises(InvalidSetting):
        loading.merged(Tree, [Layer("a", (("depth", "3"),))])
