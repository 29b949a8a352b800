"""The panel of similar cases: labelled training images that look most like this one. Knows no gradio.

No image ships: each case has its address in the public archive, and its picture where the data folder holds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from dermiq.language import N_, _
from dermiq.types import CLASS_NAMES, SimilarCase
from dermiq.ui.markup import data_url, fill, join, link

ARCHIVED = "https://api.isic-archive.com/images/{}/"
FOLDERS = ("ham10000_square256", "ham10000", "isic2018_attributes")
"""Data sets that hold an archive's image under its id, the finer ones first."""

PROOFS = (N_("histopathology"), N_("confocal microscopy"), N_("follow-up"), N_("expert consensus"))

Thumbnail = Callable[[str], str | None]
"""An image's id -> a data URL of it, where it is at hand."""


@lru_cache(maxsize=128)  # the panel is drawn anew with every event
def thumbnail_in(folder: Path | None, image_id: str) -> str | None:
    """The picture from the data folder as a data URL; None where it is not there or cannot be read."""
    if folder is None:
        return None
    for name in FOLDERS:
        path = folder / name / "images" / f"{image_id}.jpg"
        try:
            with Image.open(path) as image:
                return data_url(np.asarray(image.convert("RGB")), longest=112)
        except OSError:
            continue
    return None


def similar_body(similar: Sequence[SimilarCase], thumbnail: Thumbnail) -> Markup:
    """The cases as a list, and how their diagnoses are shared out."""
    counts = Counter(case.code for case in similar)
    shares = ", ".join(f"{CLASS_NAMES[code]} {n}" for code, n in counts.most_common())
    rows = join(_row(case, thumbnail(case.image_id)) for case in similar)
    return fill(
        '<p>{said}</p><ul class="dq-similar">{rows}</ul><p class="dq-fine">{note}</p>',
        said=_("Of the {n} training images that look most alike to the specialist: {shares}.").format(
            n=len(similar), shares=shares
        ),
        rows=rows,
        note=_(
            "Alike by the features of the third network, which learned from these images. Alike is not the same: read "
            "them as examples, not as proof. The links lead to the public archive."
        ),
    )


def _row(case: SimilarCase, picture: str | None) -> Markup:
    image = (
        fill('<img src="{u}" alt="{a}">', u=picture, a=_("Training image: {name}").format(name=CLASS_NAMES[case.code]))
        if picture
        else Markup("")
    )
    return fill(
        "<li>{image}<span><strong>{name}</strong><br>{proof}<br>{link}, {likeness}</span></li>",
        image=image,
        name=CLASS_NAMES[case.code],
        proof=_("by {proof}").format(proof=_(case.proof))
        if case.proof != "not stated"
        else _("how it was found is not stated"),
        link=link(ARCHIVED.format(case.image_id), case.image_id),
        likeness=_("likeness {n}").format(n=f"{case.likeness:.2f}"),
    )
