"""A case's images inside the page, with the outline and the part that the model saw. Knows no gradio.

No file of them is served: they travel inside the pair's own HTML.
"""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from dermiq.errors import DermIQError
from dermiq.language import N_, _, said
from dermiq.lesion.intake import read_lesion
from dermiq.review.types import Box, ImageRef, PairView
from dermiq.ui.markup import data_url, fill, join

LONGEST = 1280  # pixels of the longer side in the page: enough for the zoom
PURGED = N_("This image was deleted from the store. Judge the text alone, or skip.")
UNREADABLE = N_("This image cannot be shown: {why}")


def pictures(view: PairView, read: Callable[[str], str]) -> Markup:
    """All images of the case. `read`: from an image's hash to its data URL; DermIQError where there is none."""
    case = view.case
    boxes = case.boxes or (None,) * len(case.images)
    shown = [
        _instead(_(PURGED)) if ref.sha256 in view.purged else _picture(ref, box, number, read)
        for number, (ref, box) in enumerate(zip(case.images, boxes, strict=True), start=1)
    ]
    if not shown:
        return fill('<p class="dq-placeholder">{line}</p>', line=_("This case has no image."))
    return join(shown)


def _instead(why: str) -> Markup:
    return fill('<p class="dq-purged" role="note">{why}</p>', why=why)


def encoded(data: bytes) -> str:
    """An image file as a data URL of a size that the page can show, upright and without metadata."""
    return data_url(read_lesion(data).pixels, longest=LONGEST)


def _picture(ref: ImageRef, box: Box | None, number: int, read: Callable[[str], str]) -> Markup:
    try:
        url = read(ref.sha256)
    except DermIQError as error:
        return _instead(_(UNREADABLE).format(why=said(error)))
    return fill(
        '<figure class="dq-look"><div class="dq-frame" data-zoom tabindex="0" role="group" aria-label="{label}" '
        'style="--ratio:{w}/{h}"><div class="dq-moved"><img src="{url}" '
        'alt="{alt}" draggable="false">{over}</div></div></figure>',
        label=_("Image {n}. z zooms, then the arrow keys move it").format(n=number),
        alt=_("Image {n} of the lesion").format(n=number),
        w=ref.width,
        h=ref.height,
        url=url,
        over=_over(ref, box),
    )


def _over(ref: ImageRef, box: Box | None) -> Markup:
    """The outline, and the part that the model saw, in the image's own pixels."""
    if ref.outline is None and box is None:
        return Markup("")
    points = " ".join(f"{x:.0f},{y:.0f}" for x, y in ref.outline or ())
    outline = fill('<path class="dq-halo" d="M{p}Z"/><path class="dq-line" d="M{p}Z"/>', p=points) if points else ""
    return fill(
        '<svg class="dq-outline" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">{outline}{seen}</svg>',
        w=ref.width,
        h=ref.height,
        label=_over_words(outline=bool(points), seen=box is not None),
        outline=outline,
        seen=_seen(box) if box else "",
    )


def _over_words(*, outline: bool, seen: bool) -> str:
    if outline and seen:
        return _("the lesion’s outline and the part that the model saw")
    return _("the lesion’s outline") if outline else _("the part that the model saw")


def _seen(box: Box) -> Markup:
    left, top, right, bottom = box
    return fill(
        '<rect class="dq-seen-halo" x="{x}" y="{y}" width="{w}" height="{h}"/>'
        '<rect class="dq-seen" x="{x}" y="{y}" width="{w}" height="{h}"/>',
        x=left,
        y=top,
        w=right - left,
        h=bottom - top,
    )
