from __future__ import annotations

import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import InvalidSetting, MissingInput
from spyhop.venues.endpoints import LIVE, BinanceEndpoints, DydxEndpoints, Endpoints
from spyhop.venuesim.faults import Fault, FaultKind, Faults, load, parse, unreachable


class Now:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def armed(*faults: Fault) -> tuple[Faults, Now]:
    now = Now()
    return Faults(now, np.random.default_rng(7), faults), now


def test_a_fault_holds_from_its_start_to_its_end() -> None:
    faults, now = armed(Fault(kind=FaultKind.STALL, after_s=2, duration_s=3))
    struck = []
    for second in range(7):
        now.ns = second * NS_PER_S
        struck.append(faults.hit(FaultKind.STALL, "binance-usdm") is not None)
    assert struck == [False, False, True, True, True, False, False]


def test_a_fault_strikes_as_often_as_it_counts_and_then_frames_are_not_looked_at() -> None:
    faults, _ = armed(Fault(kind=FaultKind.GAP, count=2))
    assert [faults.hit(FaultKind.GAP, "dydx") is not None for _ in range(4)] == [True, True, False, False]
    assert faults.kinds == frozenset()
    assert faults.state()[0]["num_hits"] == 2
    assert faults.state()[0]["is_over"] is True


@pytest.mark.parametrize(
    ("fault", "names", "is_struck"),
    [
        (Fault(kind=FaultKind.GAP), ("btcusdt@depth",), True),
        (Fault(kind=FaultKind.GAP, venue="dydx"), ("btcusdt@depth",), False),
        (Fault(kind=FaultKind.GAP, target="*@depth*"), ("btcusdt@depth@100ms", "/public/ws"), True),
        (Fault(kind=FaultKind.GAP, target="/PUBLIC/*"), ("btcusdt@depth@100ms", "/public/ws"), True),
        (Fault(kind=FaultKind.GAP, target="*@aggTrade"), ("btcusdt@depth@100ms", "/public/ws"), False),
    ],
)
def test_a_fault_strikes_where_its_venue_and_pattern_fit(fault: Fault, names: tuple[str, ...], is_struck: bool) -> None:
    faults, _ = armed(fault)
    assert (faults.hit(FaultKind.GAP, "binance-usdm", *names) is not None) is is_struck


def test_chance_is_drawn_from_the_seed_alone() -> None:
    def struck() -> list[bool]:
        faults, _ = armed(Fault(kind=FaultKind.REPEAT, probability=0.3))
        return [faults.hit(FaultKind.REPEAT, "dydx") is not None for _ in range(200)]

    first = struck()
    assert first == struck()
    assert 35 <= sum(first) <= 85


def test_whether_a_fault_holds_may_be_asked_without_striking() -> None:
    faults, _ = armed(Fault(kind=FaultKind.CLOCK_SKEW, venue="dydx", offset_ms=-250.5, count=1))
    assert faults.skew_ns("dydx") == -250_500_000
    assert faults.skew_ns("dydx") == -250_500_000
    assert faults.skew_ns("binance-spot") == 0


def test_files_may_be_toml_or_json(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "some.toml").write_text('[[faults]]\nkind = "drop"\nafter_s = 5\n[[faults]]\nkind = "late"\n')
    (folder / "some.json").write_text('{"faults": [{"kind": "drop", "after_s": 5}, {"kind": "late"}]}')
    expected = (Fault(kind=FaultKind.DROP, after_s=5), Fault(kind=FaultKind.LATE))
    assert load(folder / "some.toml") == load(folder / "some.json") == expected
    assert parse('{"kind": "late"}') == expected[1:]
    with pytest.raises(MissingInput):
        load(folder / "none.toml")


@pytest.mark.parametrize("text", ['{"kind": "no such"}', '{"kind": "drop", "after": 1}', "[1]", "{", '{"count": 1}'])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting):
        parse(text)


def test_what_only_a_client_can_suffer_is_not_taken_by_a_server() -> None:
    faults, _ = armed()
    with pytest.raises(InvalidSetting, match="unreachable"):
        faults.add(Fault(kind=FaultKind.DNS_FAILURE))


def test_unreachable_endpoints_speak_no_tls_or_have_no_name() -> None:
    plain = Endpoints(
        BinanceEndpoints("http://127.0.0.1:1", "ws://127.0.0.1:1"),
        BinanceEndpoints("http://127.0.0.1:2", "ws://127.0.0.1:2"),
        DydxEndpoints("http://127.0.0.1:3/v4", "ws://127.0.0.1:3/v4/ws", "http://127.0.0.1:3", "http://127.0.0.1:3"),
    )
    encrypted = unreachable(plain, FaultKind.TLS_FAILURE)
    assert encrypted.binance_usdm == BinanceEndpoints("https://127.0.0.1:1", "wss://127.0.0.1:1")
    assert encrypted.dydx.ws == "wss://127.0.0.1:3/v4/ws"
    nameless = unreachable(plain, FaultKind.DNS_FAILURE)
    assert nameless.dydx.ws == "ws://venue.invalid:3/v4/ws"
    assert unreachable(LIVE, FaultKind.DNS_FAILURE).binance_spot.rest == "https://venue.invalid"
    with pytest.raises(ValueError, match="server"):
        unreachable(plain, FaultKind.DROP)
