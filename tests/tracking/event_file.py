"""Reads TensorBoard's event files by their published format alone: TFRecord, and protocol buffers.

Source: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto,
tensorflow/core/framework/summary.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Point(NamedTuple):
    """One value of one tag."""

    tag: str
    step: int
    wall_time: float
    value: float | None  # None for what is no scalar


def points(folder: Path) -> list[Point]:
    """Every value in the event files of a folder, in order."""
    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for record in _records(file.read_bytes()):
            event = _fields(record)
            for summary in event.get(5, []):
                for value in _fields(summary).get(1, []):
                    fields = _fields(value)
                    scalar = fields.get(2, [None])[0]
                    found.append(
                        Point(
                            fields[1][0].decode(),
                            event.get(2, [0])[0],
                            struct.unpack("<d", event[1][0])[0],
                            None if scalar is None else struct.unpack("<f", scalar)[0],
                        )
                    )
    return found


def _records(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from("<Q", raw, at)
        for start, size in ((at, 8), (at + 12, length)):
            (checksum,) = struct.unpack_from("<I", raw, start + size)
            assert checksum == _masked(_crc32c(raw[start : start + size]))
        yield raw[at + 12 : at + 12 + length]
        at += 16 + length


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _fields(message: bytes) -> dict[int, list[Any]]:
    """Fields by number: integers for varints, bytes for everything else."""
    fields: dict[int, list[Any]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            value: Any = varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7) or varint()
            value = message[at : at + size]
            at += size
        fields.setdefault(key >> 3, []).append(value)
    return fields
