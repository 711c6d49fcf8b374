"""What cannot be a way of splitting is refused when it is read."""

from __future__ import annotations

import msgspec
import pytest

from spyhop.errors import InvalidSetting
from spyhop.execution.splitting.params import SplitParams


def test_nothing_is_split_by_default() -> None:
    assert SplitParams().kind == "none"


@pytest.mark.parametrize(
    "keywords", [{"volume_curve": (1.0,) * 24}, {"min_visible_frac": 0.3, "max_visible_frac": 0.2}]
)
def test_settings_that_contradict_are_refused(keywords) -> None:
    with pytest.raises(InvalidSetting):
        SplitParams(**keywords)


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "sniper"}',
        '{"num_slices": 0}',
        '{"jitter_frac": 0.6}',
        '{"participation_frac": 1.0}',
        '{"urgency": -1}',
        '{"slices": 3}',
    ],
)
def test_values_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=SplitParams)


def test_a_week_of_weights_is_taken() -> None:
    assert len(SplitParams(kind="vwap", volume_curve=(1.0,) * 168).volume_curve) == 168
