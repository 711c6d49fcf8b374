import io
import os
import signal

import pytest
from rich.console import Console

from cluster.terminal import Meter, event_time, stopping
from spyhop.clock import NS_PER_S, EventClock


def test_the_first_interrupt_asks_and_the_second_insists() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stopping() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_meter_draws_on_a_terminal_at_most_ten_times_a_second() -> None:
    clock, out = EventClock(1), io.StringIO()
    with Meter("importing", clock, Console(file=out, force_terminal=True, width=100)) as meter:
        clock.advance(NS_PER_S)
        meter.show(0, 3, "7 events")
        drawn = out.getvalue()
        assert "7 events" in drawn
        meter.show(0, 3, "8 events")
        assert "8 events" not in out.getvalue()
        clock.advance(NS_PER_S // 10)
        meter.show(0, 3, "9 events")
        assert "9 events" in out.getvalue()
        assert meter.elapsed_s == pytest.approx(1.1)


@pytest.mark.parametrize(("is_terminal", "is_quiet"), [(False, False), (True, True)])
def test_a_meter_is_silent_where_nobody_looks(is_terminal: bool, is_quiet: bool) -> None:
    clock, out = EventClock(1), io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=100)
    with Meter("importing", clock, console, is_quiet=is_quiet) as meter:
        clock.advance(NS_PER_S)
        meter.show(1, 1, "7 events")
    assert out.getvalue() == ""


def test_an_event_time_is_readable() -> None:
    assert event_time(1_732_810_500 * NS_PER_S) == "2024-11-28 16:15:00"
    assert event_time(0) == "-"
