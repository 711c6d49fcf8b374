"""What varies in a sweep: read from the command line, counted, drawn, and refused in one sentence."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from spyhop.config.settings import Settings
from spyhop.errors import UserError
from tune.space import Space, applied, parsed

OWN = ("lead.fall_frac", "lead.rise_frac", "lead.direction", "lead.window_s", "study.entry_frac")


def space(*texts: str, is_cheap: bool = True) -> Space:
    return parsed(texts, OWN, Settings(), is_cheap=is_cheap)


def test_a_grid_is_every_combination_the_last_axis_fastest() -> None:
    grid = space("lead.fall_frac=0.001:0.003:0.001", "lead.rise_frac=0.1,0.2").grid()
    assert grid.tolist() == [[a, b] for a in (0.001, 0.002, 0.003) for b in (0.1, 0.2)]


def test_steps_are_the_numbers_a_person_means() -> None:
    assert space("study.entry_frac=0.1:0.5:0.1").axes[0].values == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert space("study.entry_frac=0.1:0.55:0.1").axes[0].values == (0.1, 0.2, 0.3, 0.4, 0.5)


def test_words_have_codes_and_come_back() -> None:
    sides = space("lead.direction=long,short,both")
    assert sides.grid().ravel().tolist() == [1.0, -1.0, 0.0]
    assert [sides.spelled(row)["lead.direction"] for row in sides.grid()] == ["long", "short", "both"]
    modes = space(
        "lead.mode=weight,off", "lead.enters=true,false", "risk.limits.max_open_positions=2:6:2", is_cheap=False
    )
    rows = [modes.spelled(row) for row in modes.grid()]
    assert rows[0] == {"lead.mode": "weight", "lead.enters": True, "risk.limits.max_open_positions": 2}
    assert rows[-1] == {"lead.mode": "off", "lead.enters": False, "risk.limits.max_open_positions": 6}
    settings = applied(Settings(), rows[0])
    assert (settings.lead.mode, settings.lead.enters, settings.risk.limits.max_open_positions) == ("weight", True, 2)


def test_samples_lie_inside_repeat_by_seed_and_are_distinct() -> None:
    drawn = space("lead.fall_frac=0.0001:0.1:log", "lead.window_s=60:600", "lead.direction=long,short")
    points = drawn.sample(500, np.random.default_rng(3))
    assert points.tobytes() == drawn.sample(500, np.random.default_rng(3)).tobytes()
    assert len(points) == 500
    assert ((points[:, 0] >= 0.0001) & (points[:, 0] <= 0.1)).all()
    assert 0.4 < np.mean(points[:, 0] < np.sqrt(0.0001 * 0.1)) < 0.6
    assert set(points[:, 2]) == {1.0, -1.0}
    assert len(space("lead.direction=long,short").sample(50, np.random.default_rng(0))) == 2


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ((), "something that varies"),
        (("lead.fall_frac",), "expected PATH=LOW:HIGH"),
        (("lead.fal_frac=0.1,0.2",), "did you mean 'lead.fall_frac'"),
        (("lead=1,2",), "is a section"),
        (("risk.limits.max_open_positions=1,2",), "--objective backtest"),
        (("lead.fall_frac=0.5:1.5:0.5",), "expected a number < 1|1.0 is not permitted|1.5 is not permitted"),
        (("lead.fall_frac=0.1,abc",), "not permitted"),
        (("lead.fall_frac=0.2:0.1:0.01",), "is not below"),
        (("lead.fall_frac=0.1:0.2:0",), "is no step"),
        (("lead.fall_frac=0.1:0.2:x",), "is no step"),
        (("lead.fall_frac=0.1:0.2:0.1:0.1",), "expected LOW:HIGH"),
        (("lead.fall_frac=0.1:0.9:0.00000001",), "more than 10,000,000"),
        (("lead.fall_frac=0.1,0.1",), "twice"),
        (("lead.fall_frac=0.1,0.2", "lead.fall_frac=0.3,0.4"), "given twice"),
        (("lead.direction=sideways",), "not permitted"),
        (("lead.direction=long:short",), "list its values"),
        (("study.entry_frac=-1:1:log",), "above 0"),
    ],
)
def test_what_cannot_be_swept_is_said_in_one_sentence(texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        space(*texts)
    assert "\n" not in str(refused.value)


def test_a_grid_needs_steps() -> None:
    with pytest.raises(UserError, match=r"needs the step of lead\.fall_frac"):
        space("lead.fall_frac=0.1:0.2").grid()
    with pytest.raises(UserError, match="more than 10,000,000"):
        space("lead.fall_frac=0.1:0.9:0.0001", "lead.rise_frac=0.1:0.9:0.0001").grid()


def test_a_setting_the_tree_refuses_is_refused() -> None:
    with pytest.raises(UserError, match=r"venue\.taker_fee_frac|fee_frac"):
        space("venue.taker_fee_frac=0.0001,0.9", is_cheap=False)


def test_a_space_that_was_written_down_is_the_same() -> None:
    texts = ("lead.enters=true,false", "lead.mode=off,gate", "risk.limits.max_open_positions=2:6:2", "lead.weight=0:1")
    before = space(*texts, is_cheap=False)
    after = msgspec.json.decode(msgspec.json.encode(before), type=Space)
    point = np.array([1.0, 1.0, 4.0, 0.5])
    assert after == before
    assert applied(Settings(), after.spelled(point)) == applied(Settings(), before.spelled(point))
    assert after.spelled(point)["risk.limits.max_open_positions"] == 4
