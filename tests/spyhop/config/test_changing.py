"""Which settings may change while a session runs."""

from __future__ import annotations

import pytest

from spyhop.config import tree
from spyhop.config.changing import TABLE, asked, refusal
from spyhop.config.settings import Settings
from spyhop.errors import InvalidSetting, UnknownSetting, UserError
from spyhop.risk.changing import ROOT, changed


def test_every_setting_may_change_or_has_a_reason_why_not() -> None:
    for path in tree.leaves(Settings):
        assert bool(refusal(path)) != path.startswith(ROOT) or path.startswith(
            ("risk.sizing.fee_frac", "risk.health.", "risk.tails.")
        ), path


def test_the_table_names_only_what_there_is() -> None:
    paths = list(tree.leaves(Settings))
    assert all(any(path == name or path.startswith(f"{name}.") for path in paths) for name in TABLE)


def test_the_supervisor_takes_whatever_may_change() -> None:
    settings = Settings()
    for path in tree.leaves(Settings):
        if not refusal(path):
            changed(settings.risk, {path: tree.value_at(settings, path)})


def test_assignments_are_read_as_on_the_command_line() -> None:
    assert asked(["risk.limits.max_trades_per_day=7", "risk.approval_ttl_s = 1.5"]) == {
        "risk.limits.max_trades_per_day": 7,
        "risk.approval_ttl_s": 1.5,
    }
    assert asked(["risk.limits.kill_switch=true"]) == {"risk.limits.kill_switch": True}
    assert asked(["leverage=20"]) == {"risk.sizing.max_leverage": 20.0}


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("risk.limits.max_trades_per_day", UserError, "no KEY=VALUE"),
        ("risk.limits.max_trades_per_dya=3", UnknownSetting, "max_trades_per_day"),
        ("risk.limits.max_trades_per_day=0", InvalidSetting, "not permitted"),
        ("session.hours=3", InvalidSetting, "start a new session"),
        ("decision.filter.min_probability=0.5", InvalidSetting, "takes no words"),
        ("risk.sizing.fee_frac=0.1", InvalidSetting, "venue charges"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(text: str, error: type[UserError], says: str) -> None:
    with pytest.raises(error, match=says):
        asked([text])
    with pytest.raises(InvalidSetting, match="twice"):
        asked(["risk.approval_ttl_s=1", "risk.approval_ttl_s=2"])
