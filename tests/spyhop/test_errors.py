from __future__ import annotations

import pickle

import pytest

from spyhop import errors
from spyhop.errors import SpyhopError

EXAMPLES: dict[str, tuple[object, ...]] = {
    "UnknownSetting": ("risk.daly", "risk.daily", "spyhop.toml"),
    "InvalidSetting": ("risk.daily", "must be above 0", "--set"),
    "UnreadableLine": ("a.gz", 7, "not JSON"),
    "SequenceGap": (5, 9),
    "LakeDamaged": ("x.parquet", "bad magic"),
    "JournalDamaged": ("facts.log", "byte 7"),
    "IllegalTransition": ("s1-1", "filled", "open"),
    "SnapshotMismatch": ("market", "aa", "bb"),
    "OutOfOrder": ("rows", 9, 7),
    "Superseded": ("risk", 12),
    "ConnectFailed": ("wss://x", "no route"),
    "ConnectionLost": ("wss://x", 1006, ""),
    "Throttled": ("https://x/depth", 429, 1.5),
    "VenueRefused": ("https://x/order", 400, -2019, "margin is insufficient"),
    "VenueUnavailable": ("https://x/order", 503, "service unavailable"),
    "OutcomeUnknown": ("https://x/order", "no answer within 5 s"),
    "StorageFailed": ("ledger", "disk full"),
    "ReplayDiverged": (3, "a", "b"),
}
CLASSES = sorted(
    (thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, SpyhopError)),
    key=lambda cls: cls.__name__,
)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_a_pickle(cls: type[SpyhopError]) -> None:
    error = cls(*EXAMPLES.get(cls.__name__, ("one sentence",)))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_stands_in_the_drawn_tree(cls: type[SpyhopError]) -> None:
    assert errors.__doc__ is not None
    assert cls.__name__ in errors.__doc__


def test_an_unknown_setting_names_the_nearest() -> None:
    assert "did you mean 'risk.daily'" in str(errors.UnknownSetting("risk.daly", "risk.daily"))
