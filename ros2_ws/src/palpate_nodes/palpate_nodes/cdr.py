"""Columns of numbers straight out of serialised messages that share one layout.

One message as a Python object costs 20 us or more; a window of a 1 kHz stream holds thousands. Messages of one driver
differ only in their numbers: the first is decoded the usual way and tells where each number lies, the others are read
at the same places. Layout: OMG CDR (DDSI-RTPS 2.5, 10.5; XTypes 1.3, 7.4.3.5), alignment counted behind the
encapsulation of 4 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

HEAD = 4
"""Bytes of encapsulation in front of the data."""
LITTLE_ENDIAN_CDR = b"\x00\x01"
_NUMBERS = {
    "boolean": "?", "octet": "u1", "uint8": "u1", "int8": "i1", "uint16": "<u2", "int16": "<i2", "uint32": "<u4",
    "int32": "<i4", "uint64": "<u8", "int64": "<i8", "float": "<f4", "double": "<f8",
}  # fmt: skip
_MANY = re.compile(r"(?:sequence<(?P<item>\w+)(?:, \d+)?>|(?P<fixed>\w+)\[\d+\])")


class _UnknownLayoutError(Exception):
    """A field, an encoding or a length that this module does not read."""


class _Layout:
    """Where the numbers of one serialised message lie, and which of its bytes say so."""

    def __init__(self, data: bytes, message: Any) -> None:
        self.data, self.at = data, HEAD
        self.numbers: dict[str, tuple[int, Any]] = {}
        self.lengths: list[tuple[int, int]] = [(0, HEAD)]
        if data[:2] != LITTLE_ENDIAN_CDR:
            raise _UnknownLayoutError
        self._message("", message)
        if self.at > len(data):  # less is usual: Fast DDS reserves room to align sequences that turn out empty
            raise _UnknownLayoutError

    def _message(self, prefix: str, message: Any) -> None:
        for name, kind in message.get_fields_and_field_types().items():
            value, path = getattr(message, name), prefix + name
            many = _MANY.fullmatch(kind)
            if kind in _NUMBERS:
                self._number(path, np.dtype(_NUMBERS[kind]), value)
            elif kind == "string":
                self._string(value)
            elif many and many["fixed"] in _NUMBERS:
                self._number(path, np.dtype((_NUMBERS[many["fixed"]], len(value))), value)
            elif many and many["item"] in _NUMBERS:
                self._length(len(value))
                self._number(path, np.dtype((_NUMBERS[many["item"]], len(value))), value)
            elif many and many["item"] == "string":
                self._length(len(value))
                for text in value:
                    self._string(text)
            elif hasattr(value, "get_fields_and_field_types"):
                self._message(path + ".", value)
            else:
                raise _UnknownLayoutError

    def _number(self, path: str, dtype: Any, value: Any) -> None:
        if not dtype.itemsize:
            self.numbers[path] = self.at, dtype
            return
        self._align(dtype.base.alignment)
        read = self.data[self.at : self.at + dtype.itemsize]
        if read != np.asarray(value, dtype.base).tobytes():
            raise _UnknownLayoutError
        self.numbers[path] = self.at, dtype
        self.at += dtype.itemsize

    def _length(self, expected: int) -> None:
        self._align(4)
        if int.from_bytes(self.data[self.at : self.at + 4], "little") != expected:
            raise _UnknownLayoutError
        self._fixed(4)

    def _string(self, text: str) -> None:
        raw = text.encode() + b"\x00"
        self._length(len(raw))
        if self.data[self.at : self.at + len(raw)] != raw:
            raise _UnknownLayoutError
        self._fixed(len(raw))

    def _fixed(self, size: int) -> None:
        # What is aligned between two such spans is not compared: the writer leaves there whatever was in its memory.
        self.lengths.append((self.at, self.at + size))
        self.at += size

    def _align(self, size: int) -> None:
        self.at += (HEAD - self.at) % size


def columns(data: Sequence[bytes], message_type: type, paths: Sequence[str]) -> tuple[Any, list[np.ndarray]] | None:
    """Some numbers of many messages, without decoding each.

    Args:
        data: (n,) serialised messages, at least one.
        message_type: theirs.
        paths: fields with a dot between levels, such as `wrench.force.x`; numbers, and arrays or sequences of them.

    Returns:
        The first message, decoded, and per path an array (n,) or (n, k) in the type of the field, equal to what
        decoding each message gives. None when the messages differ in length, text or counts, or are not written as
        expected: decode them one by one.
    """
    size = len(data[0])
    if len(set(map(len, data))) != 1:
        return None
    first: Any = deserialize_message(data[0], message_type)
    try:
        layout = _Layout(data[0], first)
    except _UnknownLayoutError:
        return None
    joined = b"".join(data)
    octets = np.frombuffer(joined, np.uint8).reshape(len(data), size)
    for start, stop in layout.lengths:
        if (octets[:, start:stop] != octets[0, start:stop]).any():
            return None
    found = []
    for path in paths:
        at, dtype = layout.numbers[path]
        record = np.dtype({"names": [path], "formats": [dtype], "offsets": [at], "itemsize": size})
        found.append(np.frombuffer(joined, record)[path].copy())
    return first, found
