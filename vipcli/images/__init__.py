"""Pictures: opened safely wherever they come from, fitted into the model's square, saved whole or not at all.

A picture is a (height, width, 3) uint8 array, RGB, upright. Whatever is wrong with one ends in a `PictureError`: one
sentence that names the source. sources (bytes, within limits), downloading (the bytes of an address), opening (what
they are), decoding (any mode to RGB), strictness (Pillow's settings meanwhile), unreadable (what isn't a picture),
fitting, saving, suffixes (of file names), reasons (errors in words).

The names below are the room's door. They load on first use, so that a command which only fits doesn't load what opens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.images.fitting import CLIP_MEAN as CLIP_MEAN
    from vipcli.images.fitting import Fit as Fit
    from vipcli.images.fitting import Fitted as Fitted
    from vipcli.images.fitting import Frame as Frame
    from vipcli.images.fitting import fit as fit
    from vipcli.images.fitting import frame as frame
    from vipcli.images.opening import open_mask as open_mask
    from vipcli.images.opening import open_picture as open_picture
    from vipcli.images.saving import check_suffix as check_suffix
    from vipcli.images.saving import save_picture as save_picture
    from vipcli.images.sources import Source as Source
    from vipcli.images.sources import name_of as name_of
    from vipcli.images.suffixes import PICTURE_SUFFIXES as PICTURE_SUFFIXES

__getattr__, __all__ = door(
    __name__,
    {
        "fitting": ("CLIP_MEAN", "Fit", "Fitted", "Frame", "fit", "frame"),
        "opening": ("open_mask", "open_picture"),
        "saving": ("check_suffix", "save_picture"),
        "sources": ("Source", "name_of"),
        "suffixes": ("PICTURE_SUFFIXES",),
    },
)
