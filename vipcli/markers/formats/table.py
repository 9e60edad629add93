"""The annotation formats that vip reads. To add one is to add its file and a row here."""

from __future__ import annotations

from pathlib import Path

from vipcli.markers.formats.coco import COCO
from vipcli.markers.formats.cvat import CVAT
from vipcli.markers.formats.label_studio import LABEL_STUDIO
from vipcli.markers.formats.labelme import LABELME
from vipcli.markers.formats.values import Format
from vipcli.markers.formats.voc import VOC
from vipcli.markers.formats.yolo import YOLO

__all__ = ["FORMATS", "recognise"]

FORMATS: dict[str, Format] = {each.name: each for each in (COCO, YOLO, VOC, LABELME, CVAT, LABEL_STUDIO)}
"""Every format by its name."""


def recognise(path: Path) -> Format | None:
    """The format of a file or folder, by the beginning of what is in it; None where it is none of these."""
    return next((each for each in FORMATS.values() if each.recognises(path)), None)
