"""One small JSON document beside each row, for what has no shape of numbers: who blocks whom.

Memory of its own, so that the rows' layout knows nothing of it. Pages that nobody touches cost
nothing::

    note    | checksum u32 | length u32 | JSON, UTF-8 |

Its one writer stores the text, then the head; the checksum makes a document whole or absent to a
reader in another process.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from typing import Any, Final
from zlib import crc32

NOTE_BYTES: Final = 32 * 1024
"""A note's room, its head included; a document that does not fit is left out."""

_HEAD: Final = struct.Struct("<II")
_TRIES: Final = 3


class Note:
    """One worker's document; written by one thread of the worker that owns the row.

    Args:
        memory: exactly the note.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._document: dict[str, Any] = {}
        self._pid = os.getpid()

    def put(self, name: str, value: Any) -> bool:  # noqa: ANN401 - whatever JSON can say
        """Set one part of the document; return whether the document fits.

        Costs next to nothing where the part is as it was. A process forked from the worker
        changes nothing.

        Args:
            name: the part's name.
            value: what ``json`` can write.
        """
        if name in self._document and self._document[name] == value:
            return True
        self._document[name] = value
        text = json.dumps(self._document, separators=(",", ":")).encode()
        fits = len(text) <= len(self._memory) - _HEAD.size
        if self._pid == os.getpid():
            self._write(text if fits else b"")
        return fits

    def clear(self) -> None:
        """Forget the document of the row's last owner."""
        self._document = {}
        self._write(b"")

    def _write(self, text: bytes) -> None:
        self._memory[_HEAD.size : _HEAD.size + len(text)] = text
        _HEAD.pack_into(self._memory, 0, crc32(text), len(text))

    def read(self) -> dict[str, Any]:
        """Return the document; an empty one where there is none, or it never stood still."""
        for _ in range(_TRIES):
            checksum, length = _HEAD.unpack_from(self._memory)
            text = bytes(self._memory[_HEAD.size : _HEAD.size + length])
            if text and len(text) == length and crc32(text) == checksum:
                document: dict[str, Any] = json.loads(text)
                return document
            if not length:
                break
        return {}


class Notes:
    """The notes of all rows, in memory that forked processes share.

    Args:
        rows: how many.

    Raises:
        OSError: there is not enough memory.
    """

    def __init__(self, rows: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, rows * NOTE_BYTES))

    def note(self, index: int) -> Note:
        """Return a row's note."""
        return Note(self._memory[index * NOTE_BYTES : (index + 1) * NOTE_BYTES])
