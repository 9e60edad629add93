"""Masks as run lengths: COCO's (column by column), and how the other tools' become one.

COCO's are those of pycocotools (``common/maskApi.c``): counts of 0s and 1s in turn, beginning with 0s, down the columns
from the left. Compressed, each count from the fourth on is the difference to the one before the last, in base 32 with
48 added. Nothing is decoded before its size is known to be a picture's, and no C code reads what stands in a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vipcli.errors import MarkerError, UsageError
from vipcli.markers.formats.values import Rle

if TYPE_CHECKING:
    import numpy as np

__all__ = ["bitmap", "from_polygons", "from_rgba_runs", "from_runs", "from_tile"]

_MAX_PIXELS = 200_000_000  # what `vipcli.images` opens at most
_MAX_DIGITS = 7  # of base 32: 35 bits hold every count


def bitmap(rle: Rle, size: tuple[int, int]) -> np.ndarray:
    """The mask as a (height, width) bool array for a picture of `size` (width, height).

    Raises `MarkerError` where the sizes differ or the counts don't add up to one.
    """
    import numpy as np

    height, width = rle.size
    if (width, height) != tuple(size):
        raise MarkerError(
            f"the mask is {width} x {height} pixels and the picture {size[0]} x {size[1]}; they must be the same size"
        )
    counts = _decompressed(rle.counts) if isinstance(rle.counts, str) else rle.counts
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise MarkerError(f"the mask's counts don't add up to its {width} x {height} pixels")
    columns = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height)
    return np.ascontiguousarray(columns.T)


def from_tile(tile: np.ndarray, left: int, top: int, size: tuple[int, int]) -> Rle:
    """The run lengths of a (height, width) bool `tile` that lies at (left, top) of a picture of `size` (width, height).

    Raises `UsageError` where it sticks out, or no pixel is set.
    """
    import numpy as np

    (rows, columns), (width, height) = tile.shape, size
    if left < 0 or top < 0 or left + columns > width or top + rows > height:
        raise UsageError(f"its mask, {columns} x {rows} pixels at {left},{top}, sticks out of the picture")
    padded = np.zeros((columns, rows + 2), np.int8)
    padded[:, 1:-1] = tile.T
    steps = np.diff(padded, axis=1)
    starts, ends = (x.astype(np.int64) * height + y for x, y in (np.nonzero(steps == 1), np.nonzero(steps == -1)))
    if not len(starts):
        raise UsageError("its mask is empty: no pixel of it is set")
    apart = starts[1:] != ends[:-1]  # a run down to the bottom goes on at the top of the next column
    starts, ends = starts[np.r_[True, apart]], ends[np.r_[apart, True]]
    offset = left * height + top
    edges = np.column_stack((starts, ends)).ravel() + offset
    counts = np.diff(np.r_[0, edges, width * height])
    return Rle((height, width), tuple(counts[:-1].tolist() if counts[-1] == 0 else counts.tolist()))


def from_runs(runs: Sequence[int], left: int, top: int, tile: tuple[int, int], size: tuple[int, int]) -> Rle:
    """COCO's run lengths of runs of 0s and 1s along the rows of a tile, which begin with 0s.

    tile: its (width, height). left, top, size: as for `from_tile`. Raises `UsageError`.
    """
    import numpy as np

    columns, rows = tile
    if columns * rows > _MAX_PIXELS:
        raise UsageError(f"its mask has {columns} x {rows} pixels; {_MAX_PIXELS} are the limit")
    if min(runs, default=0) < 0 or sum(runs) != columns * rows:
        raise UsageError(f"the runs of its mask don't add up to its {columns} x {rows} pixels")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(rows, columns)
    return from_tile(pixels, left, top, size)


def from_polygons(polygons: Sequence[Sequence[tuple[float, float]]], size: tuple[int, int]) -> Rle:
    """The run lengths of what any of several polygons covers on a picture of `size` (width, height).

    Raises `UsageError` where that is nothing.
    """
    import numpy as np

    from vipcli.markers.drawing import coverage
    from vipcli.markers.shapes import Mask

    if size[0] * size[1] > _MAX_PIXELS:
        raise UsageError(f"its picture has {size[0]} x {size[1]} pixels; {_MAX_PIXELS} are the limit")
    tile = np.zeros((size[1], size[0]), bool)
    for corners in polygons:
        covered, x, y = coverage(Mask(tuple(corners)), size)
        tile[y : y + covered.shape[0], x : x + covered.shape[1]] |= covered > 127
    return from_tile(tile, 0, 0, size)


def from_rgba_runs(data: Sequence[int], size: tuple[int, int]) -> Rle:
    """The run lengths of Label Studio's brush on a picture of `size` (width, height): what isn't see-through is set.

    data: bytes of @thi.ng/rle-pack. 32 bits count the values, 5 the bits of a value less one, four times 4 those of a
    run's length less one. A run is one bit, whether its values are all alike, two bits, which of the four its length
    has, that length less one, and its one value or its values. They are the picture's red, green, blue and opacity in
    turn, row by row. Raises `UsageError`.
    """
    import numpy as np

    width, height = size
    bits = _Bits(data)
    values, wide = bits.take(32), bits.take(5) + 1
    lengths = [bits.take(4) + 1 for _ in range(4)]
    if values != 4 * width * height or width * height > _MAX_PIXELS:
        raise UsageError(f"the brush has {values} values, and its picture of {width} x {height} needs four a pixel")
    tile = np.zeros(width * height, bool)
    at = 0
    while at < values:
        alike = bits.take(1)
        end = at + 1 + bits.take(lengths[bits.take(2)])
        if end > values:
            raise UsageError("a run of the brush goes past its picture")
        if alike:
            if bits.take(wide):
                tile[at // 4 : end // 4] = True  # the opacities are the values 3, 7, 11 ...
        else:
            for place in range(at, end):
                if bits.take(wide) and place % 4 == 3:
                    tile[place // 4] = True
        at = end
    return from_tile(tile.reshape(height, width), 0, 0, size)


class _Bits:
    """Bytes, taken a few bits at a time. Raises `UsageError` where they end."""

    def __init__(self, data: Sequence[int]) -> None:
        if any(byte > 255 for byte in data):
            raise UsageError("the brush must be bytes, 0 to 255")
        self.data, self.at = bytes(data), 0

    def take(self, count: int) -> int:
        first, last = self.at // 8, (self.at + count + 7) // 8
        if last > len(self.data):
            raise UsageError("the brush ends in the middle of a run")
        word = int.from_bytes(self.data[first:last], "big")
        self.at += count
        return word >> (8 * last - self.at) & ((1 << count) - 1)


def _decompressed(text: str) -> list[int]:
    counts: list[int] = []
    value = digits = 0
    for char in text:
        code = ord(char) - 48
        if not 0 <= code < 64 or digits == _MAX_DIGITS:
            raise MarkerError("the mask's counts aren't COCO's compressed ones")
        value |= (code & 31) << 5 * digits
        digits += 1
        if not code & 32:
            if code & 16:  # the sign
                value -= 1 << 5 * digits
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = digits = 0
    if digits:
        raise MarkerError("the mask's counts end in the middle of one")
    return counts
