import msgspec
import pytest

from spyhop.config import settings
from spyhop.config.settings import SessionConfig, Settings
from spyhop.errors import InvalidSetting
from spyhop.simulation.venue import VenueParams


def test_the_tree_survives_the_header_of_a_session() -> None:
    tree = Settings(session=SessionConfig(symbols=("ETHUSDT",), hours=0.1))
    header = msgspec.json.decode(msgspec.json.encode(settings.encoded(tree)))
    assert settings.decoded(header) == tree


def test_a_header_of_another_version_is_refused() -> None:
    tables = settings.encoded(Settings())
    tables["session"]["moon_phase"] = 3
    with pytest.raises(InvalidSetting, match="moon_phase"):
        settings.decoded(tables)


def test_a_symbol_is_named_once() -> None:
    with pytest.raises(InvalidSetting, match="twice"):
        SessionConfig(symbols=("BTCUSDT", "BTCUSDT"))


def test_sizing_must_count_with_at_least_the_fee_that_the_venue_charges() -> None:
    with pytest.raises(InvalidSetting, match=r"risk\.sizing\.fee_frac"):
        Settings(venue=VenueParams(taker_fee_frac=0.0005))
