"""What a training would see, without its weights: fresh samples, and a sheet of their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import cv2
import numpy as np

from vipcli.training.assembling import Prepared
from vipcli.training.encoding import Encoded
from vipcli.training.samples import Sample, Samples, plan

__all__ = ["contact_sheet", "preview"]

_CELL, _COLUMNS = 280, 4


def preview(prepared: Prepared, count: int) -> list[tuple[Sample, Encoded]]:
    """`count` samples of a training, one of each of its first batches, drawn and encoded as it would."""
    its = prepared.settings.train
    samples = Samples(prepared.sources, prepared.encoder, its.seed)
    batches = islice(plan(prepared.sources, its.batch, its.seed), count)
    return [samples[batch[number % len(batch)]] for number, batch in enumerate(batches)]


def contact_sheet(samples: Sequence[Sample]) -> np.ndarray:
    """Their pictures side by side, each with its number: (height, width, 3) uint8; a text alone is an empty cell."""
    rows = -(-len(samples) // _COLUMNS)
    sheet = np.full((rows * _CELL, _COLUMNS * _CELL, 3), 255, np.uint8)
    for number, sample in enumerate(samples):
        row, column = divmod(number, _COLUMNS)
        top, left = row * _CELL, column * _CELL
        if sample.picture is not None:
            side = _CELL - 4
            how = cv2.INTER_AREA if sample.picture.shape[0] > side else cv2.INTER_NEAREST
            sheet[top + 2 : top + 2 + side, left + 2 : left + 2 + side] = cv2.resize(
                sample.picture, (side, side), interpolation=how
            )
        text, at = str(number + 1), (left + 8, top + 24)
        for color, width in (((255, 255, 255), 5), ((0, 0, 0), 2)):
            cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.7, color, width, cv2.LINE_AA)
    return sheet
