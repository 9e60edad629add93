"""Annotations of other tools: COCO, YOLO, Pascal VOC, LabelMe, CVAT and Label Studio, as pictures with markers.

values (what every importer gives), table (which formats there are, and which a file is), one file a format, rle (masks
as run lengths), reading, markup and writing (what the importers share).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.markers.formats.table import FORMATS as FORMATS
    from vipcli.markers.formats.table import recognise as recognise
    from vipcli.markers.formats.values import AnnotatedPicture as AnnotatedPicture
    from vipcli.markers.formats.values import Answers as Answers
    from vipcli.markers.formats.values import Format as Format
    from vipcli.markers.formats.values import Problem as Problem
    from vipcli.markers.formats.values import Region as Region
    from vipcli.markers.formats.values import Rle as Rle
    from vipcli.markers.formats.writing import check_folder as check_folder

__getattr__, __all__ = door(
    __name__,
    {
        "table": ("FORMATS", "recognise"),
        "values": ("AnnotatedPicture", "Answers", "Format", "Problem", "Region", "Rle"),
        "writing": ("check_folder",),
    },
)
