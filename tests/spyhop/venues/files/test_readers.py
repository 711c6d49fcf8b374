"""Which reader reads what."""

from __future__ import annotations

from pathlib import Path

import pytest

from spyhop.errors import MissingInput
from spyhop.venues.files import readers

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"
TRADE = (
    b'1723161255088176367 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,'
    b'"s":"BTCUSDT","t":5,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}\n'
)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.gz", TRADE, readers.RAW_CAPTURE),
        ("y", b'1633998512.06: {"stream":1}\n', readers.RAW_CAPTURE),
        ("BTCUSDT-aggTrades-2024-08-15.csv", b"1,2\n", readers.DUMP),
        ("a.csv", b"Symbol,Date,Funding Rate\n", readers.TEXT),
        ("BTC_1m.parquet", b"PAR1", readers.TABLE),
    ],
)
def test_formats_are_told_apart(tmp_path: Path, name: str, content: bytes, expected: readers.Format) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert readers.format_of(path) is expected


def test_what_no_reader_knows_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"hello\n")
    with pytest.raises(MissingInput, match="no reader knows"):
        readers.read(tmp_path / "x.txt")
    with pytest.raises(MissingInput, match="there is no file"):
        readers.read(tmp_path / "y.txt")


def test_a_file_is_read_by_its_reader(tmp_path: Path) -> None:
    (tmp_path / "capture").write_bytes(TRADE)
    (chunk,) = readers.read(tmp_path / "capture")
    assert (chunk.channel, len(chunk.events)) == ("trades", 1)


def test_folders_are_searched_in_order(tmp_path: Path) -> None:
    for name in ("b.gz", "a.csv", "notes.md"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in readers.files_under([tmp_path])] == ["a.csv", "b.gz"]
    assert readers.files_under([tmp_path / "notes.md"]) == [tmp_path / "notes.md"]
    with pytest.raises(MissingInput, match="no file or folder"):
        readers.files_under([tmp_path / "nothing"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not here")
def test_every_recording_has_a_reader() -> None:
    folders = ("binance_raw", "binance_dydx_1m", "binance_perp_1m", "binance_spot_1m", "funding", "liquidations")
    found = readers.files_under([SHARED / folder for folder in folders])
    names = [readers.format_of(path).name for path in found]
    assert len(names) == 24
    assert names.count(readers.RAW_CAPTURE.name) == 7
    assert names.count(readers.TEXT.name) == 7
    assert names.count(readers.TABLE.name) == 10
