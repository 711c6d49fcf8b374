"""Training and test never share a label; the final period belongs to neither."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_HOUR
from spyhop.research.sweeps.splits import (
    keep_final,
    labels_of,
    period_length,
    purged,
    walk_forward,
)

Mask = npt.NDArray[np.bool_]


def shown_by(num_periods: int, num_groups: int, num_test_groups: int) -> list[Mask]:
    """Return all ways to test on so many of the stretches that periods are cut into."""
    group = np.repeat(np.arange(num_groups), [len(part) for part in np.array_split(np.arange(num_periods), num_groups)])
    return [np.isin(group, chosen) for chosen in combinations(range(num_groups), num_test_groups)]


HOURS = np.arange(168, dtype=np.int64) * NS_PER_HOUR


def test_training_periods_whose_trades_reach_a_test_are_dropped() -> None:
    test = np.zeros(20, dtype=np.bool_)
    test[8:12] = True
    begins, ends = labels_of(HOURS[:20], 2 * NS_PER_HOUR)  # a label is three periods long
    train = purged(begins, ends, test)
    # 6 and 7 end inside the test; the test's last label ends at 14, so that 12 and 13 see what it sees
    assert np.flatnonzero(train).tolist() == [0, 1, 2, 3, 4, 5, 14, 15, 16, 17, 18, 19]


def test_the_embargo_begins_where_the_tests_last_label_ends() -> None:
    test = np.zeros(20, dtype=np.bool_)
    test[8:12] = True
    train = purged(*labels_of(HOURS[:20], 2 * NS_PER_HOUR), test, embargo=3 * NS_PER_HOUR)
    assert np.flatnonzero(train).tolist() == [0, 1, 2, 3, 4, 5, 17, 18, 19]


def test_each_test_has_its_own_purge() -> None:
    test = np.zeros(20, dtype=np.bool_)
    test[[4, 12]] = True
    train = purged(*labels_of(HOURS[:20], NS_PER_HOUR), test)
    assert np.flatnonzero(~train & ~test).tolist() == [3, 5, 11, 13]


def test_the_final_period_is_the_last_and_at_least_one() -> None:
    looked_at, final = keep_final(HOURS, 0.2)
    assert np.flatnonzero(final).tolist() == list(range(134, 168))
    assert (looked_at == ~final).all()
    assert keep_final(HOURS[:5], 0.01)[1].tolist() == [False] * 4 + [True]


def test_a_walk_trains_on_the_past_only() -> None:
    allowed, final = keep_final(HOURS, 0.2)
    splits = walk_forward(HOURS, allowed, 0.5, 5, horizon=NS_PER_HOUR, embargo=NS_PER_HOUR)
    assert len(splits) == 5
    tests = np.sum([split.test for split in splits], axis=0)
    assert np.flatnonzero(tests).tolist() == list(range(67, 134))
    assert tests.max() == 1
    for split in splits:
        assert not (split.test & final).any()
        first = int(np.flatnonzero(split.test)[0])
        # its own hour, one of the horizon, one of the embargo: the last label ends no later than the test begins
        assert np.flatnonzero(split.train).tolist() == list(range(first - 2))
        assert split.num_purged == 2


@given(
    st.lists(st.integers(1, 5), min_size=12, max_size=60),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(2, 6),
    st.integers(1, 2),
)
def test_no_label_of_training_meets_a_label_of_a_test(
    gaps: list[int], horizon: int, embargo: int, num_groups: int, num_tests: int
) -> None:
    periods = np.cumsum(np.array(gaps, dtype=np.int64))
    begins, ends = labels_of(periods, horizon)
    for test in shown_by(len(periods), num_groups, min(num_tests, num_groups - 1)):
        train = purged(begins, ends, test, embargo)
        assert not (train & test).any()
        for i in np.flatnonzero(train):
            for j in np.flatnonzero(test):
                assert ends[i] <= begins[j] or begins[i] >= ends[j] + embargo


@pytest.mark.parametrize("periods", [[5], [5, 5], [5, 4]])
def test_periods_ascend(periods: list[int]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        period_length(np.array(periods, dtype=np.int64))


@pytest.mark.oracle
def test_purging_is_that_of_an_independent_implementation_where_labels_and_embargo_agree() -> None:
    import holdout

    # its embargo counts from the test's last index, ours from its last label's end; without one they are the same;
    # its labels hold their last index, ours end before theirs
    begins, ends = labels_of(HOURS[:60], 2 * NS_PER_HOUR)
    index = np.arange(60)
    theirs = holdout.combinatorial_purged_cv(6, 2, start=index, end=index + 2)
    assert ends[0] == begins[3]
    for test, other in zip(shown_by(60, 6, 2), theirs.splits, strict=True):
        assert np.flatnonzero(test).tolist() == sorted(other.test.tolist())
        assert np.flatnonzero(purged(begins, ends, test)).tolist() == sorted(other.train.tolist())
