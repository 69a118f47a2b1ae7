"""How much of an ONNX file is not weights, before protobuf unpacks it.

Two bytes can be an empty node, which becomes 500 bytes in memory: four megabytes of them took a gigabyte. Weights are
copied as they are, so only the rest is limited; the graph of VGG19 has nine kilobytes.
"""

from __future__ import annotations

import mmap
from pathlib import Path

MOST = 2**19  # bytes; they can grow to 130 MiB
RAW = object()  # copied as it is
TENSOR = {4: RAW, 9: RAW, 10: RAW}  # float_data, raw_data, double_data
MODEL = {7: {1: {5: {5: TENSOR}}, 5: TENSOR}, 14: {2: RAW}}  # graph: node: attribute: t; initializer.  metadata: value


def check_size(path: Path) -> None:
    """Refuse a file with more than `MOST` bytes beside its weights.

    Raises:
        ValueError: if it has, or is not in protobuf's format.
    """
    with open(path, "rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ValueError("it is empty; get or export it again") from None
        with data:
            try:
                _count(data, 0, len(data), MODEL, 0)
            except IndexError:
                raise ValueError("it is cut short or no ONNX file; get or export it again") from None


def _count(data, start: int, stop: int, fields, total: int) -> int:
    """`total` and the bytes of one message, data[start:stop], but for what `fields` says is raw."""
    while start < stop:
        first = start
        key, start = _varint(data, start)
        kind, inner = key & 7, fields.get(key >> 3)
        if kind == 2:  # a length, then a message, text or array
            size, start = _varint(data, start)
            if start + size > stop:
                raise IndexError
            total += start - first + (size if inner is None else 0)
            if isinstance(inner, dict):
                total = _count(data, start, start + size, inner, total)
            start += size
        elif kind in (0, 1, 5):
            start = _varint(data, start)[1] if kind == 0 else start + (8 if kind == 1 else 4)
            total += start - first
        else:
            raise IndexError
        if total > MOST:
            raise ValueError(f"more than {MOST:,} of its bytes are not weights; it is no sequential net")
    return total


def _varint(data, place: int) -> tuple[int, int]:
    """Protobuf's integer at a place, seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128 or shift > 63:
            return value, place
