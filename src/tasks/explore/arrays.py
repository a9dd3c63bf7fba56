"""Arrays in one block of bytes, from which a page reads them."""

import base64
import gzip
import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Kind = Literal["float32", "int16", "uint16", "uint8"]


@dataclass
class Arrays:
    """Arrays, each stored once however often it is added."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    _parts: list[bytes] = field(default_factory=list)
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _length: int = 0

    def add(self, array: np.ndarray, kind: Kind) -> int:
        """Store an array as numbers of this kind, and return its number in the block."""
        data = np.ascontiguousarray(array, dtype=kind).tobytes()
        entry = {"kind": kind, "shape": list(np.shape(array))}
        key = hashlib.sha256(f"{entry}".encode() + data).digest()
        if key not in self._numbers:
            self._numbers[key] = len(self.entries)
            self.entries.append(entry | {"at": self._length})
            data += bytes(-len(data) % 4)  # an array of float32 begins at a multiple of four bytes
            self._parts.append(data)
            self._length += len(data)
        return self._numbers[key]

    def get(self, number: int) -> np.ndarray:
        """The array with this number, as the page reads it."""
        entry = self.entries[number]
        return np.frombuffer(self._parts[number], entry["kind"], int(np.prod(entry["shape"]))).reshape(entry["shape"])

    def cut(self, count: int) -> None:
        """Remove all arrays but the first `count`."""
        if count < len(self.entries):
            self._length = self.entries[count]["at"]
        del self.entries[count:], self._parts[count:]
        self._numbers = {key: number for key, number in self._numbers.items() if number < count}

    def text(self) -> str:
        """The block, compressed with gzip, as text in base64."""
        return base64.b64encode(gzip.compress(b"".join(self._parts), 9, mtime=0)).decode()
