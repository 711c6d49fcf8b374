"""The report of a recorded session: read its journal, measure its tapes, write the page and the JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from spyhop.detectors.state import DetectionParams
from spyhop.model.control import Session
from spyhop.model.instruments import Instrument
from spyhop.reports.build import build
from spyhop.reports.model import Quality, Report, encoded
from spyhop.reports.page import page
from spyhop.reports.quality import measure
from spyhop.storage.files import replace_durably
from spyhop.storage.journal import read_facts, read_session, read_tape, tape_streams


def of_session(folder: Path) -> Report:
    """Return the report of the session in `folder`; raise MissingInput or JournalDamaged."""
    session = read_session(folder)
    return build(session, read_facts(folder), measured(folder, session))


def measured(folder: Path, session: Session) -> list[Quality]:
    """Return the quality of every instrument whose tape is there, in their order."""
    params = _params(session)
    streams = tape_streams(folder)
    found: list[Quality] = []
    for instrument in session.instruments:
        stream = _stream(instrument, streams)
        if stream is not None:
            found.append(measure(read_tape(folder, stream), instrument, params))
    return found


def write(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write report.html and report.json to `folder` and return their paths; raise StorageFailed."""
    html, json = folder / "report.html", folder / "report.json"
    replace_durably(html, page(report).encode())
    replace_durably(json, encoded(report))
    return html, json


# a feed is named by its symbol, or by its key where two venues share one
def _stream(instrument: Instrument, streams: list[str]) -> str | None:
    for name in (instrument.key, instrument.symbol):
        if name in streams:
            return name
    return None


def _params(session: Session) -> DetectionParams:
    try:
        return msgspec.convert(session.settings.get("detection", {}), DetectionParams)
    except msgspec.ValidationError:
        # the settings of another version; what is measured here does not depend on the detectors
        return DetectionParams()
