"""Files as blocks of whole lines: plain or gzip, unzipped one block ahead in a thread, salvaged up to any damage."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from spyhop.errors import MissingInput

BLOCK_BYTES = 2 << 20
_PIECE_BYTES = 256 << 10
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31


def is_gzip(path: Path) -> bool:
    """Return whether the file starts like gzip."""
    with _opened(path) as file:
        return file.read(2) == _GZIP_MAGIC


def head(path: Path, size: int = 256 << 10) -> bytes:
    """Return up to `size` first bytes of the (unzipped) content, as far as they are readable."""
    taken = bytearray()
    for piece in _pieces(path, lambda _: None):
        taken += piece
        if len(taken) >= size:
            break
    return bytes(taken[:size])


def line_blocks(path: Path, on_damage: Callable[[str], None], block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the content in blocks of about `block_bytes` that end at line ends (the last one may not).

    A damaged or cut gzip file yields all that lies before the damage; `on_damage` is then told why, once, before the
    last block. Raises MissingInput when there is no such file.
    """
    source = whole_lines(_pieces(path, on_damage), block_bytes)
    with ThreadPoolExecutor(1, "unzip") as pool:
        ahead = pool.submit(next, source, None)
        while (block := ahead.result()) is not None:
            ahead = pool.submit(next, source, None)
            yield block


def whole_lines(pieces: Iterator[bytes], block_bytes: int) -> Iterator[bytes]:
    """Yield the pieces joined to blocks of at least `block_bytes` that end at line ends, the last one excepted."""
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size < block_bytes:
            continue
        cut = piece.rfind(b"\n") + 1
        if cut == 0:
            continue  # one very long line
        parts[-1] = piece[:cut]
        yield b"".join(parts)
        parts = [piece[cut:]]
        size = len(parts[0])
    if size:
        yield b"".join(parts)


def _pieces(path: Path, on_damage: Callable[[str], None]) -> Iterator[bytes]:
    if is_gzip(path):
        yield from _unzipped(path, on_damage)
        return
    with _opened(path) as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _unzipped(path: Path, on_damage: Callable[[str], None]) -> Iterator[bytes]:
    with _opened(path) as file:
        unzip = zlib.decompressobj(_GZIP_WINDOW)
        while piece := file.read(_PIECE_BYTES):
            while piece:
                if unzip.eof:  # a file may hold several members, and zeros after the last
                    piece = piece.lstrip(b"\0")
                    if not piece:
                        break
                    unzip = zlib.decompressobj(_GZIP_WINDOW)
                before = unzip.copy()
                try:
                    content = unzip.decompress(piece, _PIECE_BYTES)
                except zlib.error as error:
                    yield _salvaged(before, piece)
                    on_damage(f"gzip damaged: {error}")
                    return
                if content:
                    yield content
                piece = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
        # output may be held back although all input is taken
        while not unzip.eof and (content := unzip.decompress(b"", _PIECE_BYTES)):
            yield content
        if not unzip.eof:
            on_damage("gzip cut off: the end-of-file mark is missing")


def _salvaged(unzip: zlib._Decompress, piece: bytes) -> bytes:
    # one call loses its output when it fails, so approach the damage byte by byte
    parts = []
    for i in range(len(piece)):
        try:
            parts.append(unzip.decompress(piece[i : i + 1]))
        except zlib.error:
            break
    return b"".join(parts)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise MissingInput(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise MissingInput(f"{path} is a folder, not a file") from error
