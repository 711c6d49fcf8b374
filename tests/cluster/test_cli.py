import re
import subprocess
import sys

import pytest

from cluster import cli

HEAVY = ("numpy", "numba", "ray", "pandas", "pyarrow", "sqlalchemy")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SYMBOLS", "LEVERAGE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.exit_code(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom cluster import cli\n"
        "assert cli.exit_code(['--help']) == 0 and cli.exit_code(['run', '--help']) == 0\n"
        f"loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("run", "watch", "report", "replay", "data", "config"):
        assert re.search(rf"\b{command}\b", done.stdout)


@pytest.mark.parametrize("flag", ["hours", "leverage", "size", "interval", "paper", "live", "report", "replay", "lang"])
def test_run_has_the_flags_it_was_asked_for_with(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "run", "--help")
    assert code == 0
    assert f"--{flag}" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--live", "--paper"], "--paper and --live exclude each other"),
        (["run", "--live", "--local"], "it excludes --local"),
        (["run", "--live", "--generate"], "it needs --venues, not a recording"),
        (["report", "--live"], "there is no live session"),
        (["kill", "--venues", "simulator"], "belongs to its session"),
        (["kill"], "there is no live session"),
        (["export"], "there is no ledger"),
        (["run", "--replay", "x", "--generate"], "--replay and --generate exclude each other"),
        (
            ["run", "--hours", "ten"],
            "setting 'session.hours' (from --hours): 'ten' is not permitted: expected a number",
        ),
        (["run", "--hours", "0"], "setting 'session.hours' (from --hours): 0 is not permitted"),
        (["run", "--leverage", "0.5"], "setting 'risk.sizing.max_leverage' (from --leverage): 0.5 is not permitted"),
        (["run", "--symbols", "BTC USDT"], "setting 'session.symbols' (from --symbols)"),
        (["run", "--symbols", "A,A"], "names a symbol twice"),
        (["run", "--set", "session.hour=3"], "unknown setting 'session.hour' in --set; did you mean 'session.hours'?"),
        (["run", "--set", "session.hours"], "expected KEY=VALUE"),
        (["run", "--config", "none.toml"], "there is no settings file none.toml"),
        (["run", "--profile", "egaer"], "unknown profile 'egaer'; did you mean 'eager'?"),
        (["run", "--watch"], "--watch needs --local"),
        (["run", "--hurs", "3"], "No such option: --hurs"),
        (["rnu"], "No such command 'rnu'"),
        (["data", "import", "--lake", "x"], "Missing argument"),
        (["data", "import", "none.gz", "--lake", "x"], "none.gz"),
        (["replay"], "there is no session in runs yet"),
        (["replay", "s1"], "there is no session 's1' in runs"),
        (["config", "--set", "kill_switch=perhaps"], "expected true or false"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert sentence in err
    assert err.startswith("spyhop: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_what_is_no_mistake_of_the_user_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object, **also: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("cluster.commands.settings", broken)
    with pytest.raises(ZeroDivisionError):
        cli.exit_code(["config"])


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "spyhop: interrupted"),
        (PermissionError(13, "Permission denied", "runs"), 2, "spyhop: runs: Permission denied"),
    ],
)
def test_what_the_outside_does_to_us_is_one_sentence_too(
    error: BaseException, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: object, **also: object) -> None:
        raise error

    monkeypatch.setattr("cluster.commands.settings", broken)
    assert said(capsys, "config") == (code, "", f"{sentence}\n")


def test_no_command_shows_the_help_and_version_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys)
    assert code == 0
    assert "Usage" in out
    code, out, _ = said(capsys, "--version")
    assert code == 0
    assert out.startswith("spyhop ")
