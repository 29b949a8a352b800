"""The image with outline or heatmap over it, its quality, and the drop zone. Knows no gradio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import contourpy
import numpy as np
from markupsafe import Markup

from dermiq.decoder import ACCEPTED
from dermiq.language import N_, _, said
from dermiq.types import CLASS_NAMES, Abstention, Finding, Lesion, SpecialistReading
from dermiq.ui.markup import THIN, data_url, error_line, fill, join, number, percent

Layer = Literal["outline", "structures", "heatmap", "plain"]
LAYER_NAMES: Mapping[Layer, str] = {
    "outline": N_("Outline"),
    "structures": N_("Structures"),
    "heatmap": N_("Heatmap"),
    "plain": N_("Plain"),
}
LAYERS: tuple[Layer, ...] = ("outline", "structures", "heatmap", "plain")
STRUCTURE_COLOURS = {  # told apart without red and green
    "globules": "#f0e442",
    "milia_like_cyst": "#ffffff",
    "negative_network": "#cc79a7",
    "pigment_network": "#56b4e9",
    "streaks": "#e69f00",
}
THERE = 0.4  # of a structure's map, from which a place is drawn
VIEWS = (
    ("unknown", N_("kind not stated")),
    ("dermoscopy", N_("dermoscopy")),
    ("close-up", N_("close-up")),
    ("overview", N_("overview")),
)
TIMES = (N_("now"), N_("3 months ago"), N_("6 months ago"), N_("1 year ago"), N_("2 years ago"))

KNOWS = N_(
    "Knows seven kinds of lesion (melanoma, nevus, basal cell carcinoma, actinic keratosis or Bowen’s "
    "disease, benign "
    "keratosis, dermatofibroma, vascular lesion) in dermoscopy and close-ups of one lesion. Does not know rashes, "
    "nails, hair, mucosa or wounds."
)
DRAWN = (
    N_("An even, symmetric brown spot"),
    N_("An irregular spot of several colours"),
    N_("A red, lobulated spot"),
)
UNITS = (N_("% of pixels"), N_("% of local variation"), N_("of 255"), N_("% of the frame"), N_("% of the border"))
ARCHIVE = "https://www.isic-archive.com"


@dataclass(frozen=True)
class Example:
    title: str
    thumbnail: str  # data URL


@dataclass(frozen=True, eq=False)
class Heat:
    """A heatmap that was asked for: (H, W) in 0 to 1, and the class it explains."""

    values: np.ndarray
    code: str


def outline_path(mask: np.ndarray) -> str:
    """The mask's border as an SVG path in image pixels."""
    padded = np.pad(mask.astype(np.float32), 1)
    generator = contourpy.contour_generator(z=padded, line_type=contourpy.LineType.Separate)
    lines = cast("list[np.ndarray]", generator.lines(0.5))  # (points, 2), x before y
    step = max(1, sum(len(line) for line in lines) // 600)
    paths = []
    for line in lines:
        points = line[::step] - 0.5  # undo the padding, and point at pixel centres
        if len(points) > 2:
            paths.append("M" + " ".join(f"{x:.0f},{y:.0f}" for x, y in points) + "Z")
    return "".join(paths)


def heat_layer(heat: Heat) -> str:
    """The heatmap as a transparent PNG inside the page; weak places stay clear."""
    import matplotlib  # half a second of import that only this layer needs

    values = np.clip(np.nan_to_num(heat.values.astype(np.float32)), 0, 1)
    colours = matplotlib.colormaps["inferno"](0.25 + 0.75 * values)
    colours[..., 3] = np.clip(values * 1.2, 0, 0.72)
    return data_url((colours * 255).astype(np.uint8), longest=480, form="PNG")


def seen_structures(reading: SpecialistReading) -> list[Finding]:
    """The structures that were seen or are doubtful, the surest first."""
    found = [f for f in reading.findings if f.code in STRUCTURE_COLOURS and f.is_seen is not False]
    return sorted(found, key=lambda finding: -finding.value)


def structure_layer(lesion: Lesion, reading: SpecialistReading, maps: Mapping[str, np.ndarray]) -> Markup:
    """Lines around the places of every structure that may be there."""
    paths = join(
        fill(
            '<path class="dq-halo" d="{d}"/><path class="dq-line" style="stroke:{c}" d="{d}"/>',
            d=outline_path(maps[finding.code] >= THERE),
            c=STRUCTURE_COLOURS[finding.code],
        )
        for finding in seen_structures(reading)
    )
    return fill(
        '<svg class="dq-outline" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">{paths}</svg>',
        label=_("Where dermoscopic structures are seen"),
        w=lesion.width,
        h=lesion.height,
        paths=paths,
    )


def _legend(reading: SpecialistReading | None, maps: Mapping[str, np.ndarray]) -> Markup:
    """Each structure's line, how sure it is, and whether any place of it is drawn."""
    seen = seen_structures(reading) if reading is not None else []
    if not seen:
        return Markup("")
    rows = join(
        fill(
            '<li><span class="dq-swatch" style="background:{c}"></span>{text}{where}</li>',
            c=STRUCTURE_COLOURS[finding.code],
            text=finding.text,
            where="" if (maps[finding.code] >= THERE).any() else f": {_('no place stands out')}",
        )
        for finding in seen
    )
    return fill('<ul class="dq-legend">{rows}</ul>', rows=rows)


def viewer(
    lesions: Sequence[Lesion],
    pictures: Sequence[str],
    *,
    current: int = 0,
    layer: Layer = "outline",
    readings: Sequence[SpecialistReading] = (),
    heat: Heat | None = None,
    maps: Mapping[str, np.ndarray] | None = None,
    drawing: bool = False,
    abstention: Abstention | None = None,
    errors: Sequence[str] = (),
) -> Markup:
    """The chosen image, the switch over it, its quality, and the other images of the case."""
    lesion = lesions[current]
    reading = next((r for r in readings if r.image_index == current), None)
    parts = [
        _picture(lesion, pictures[current], current, layer, reading, heat, maps, drawing),
        _switch(layer, enabled=reading is not None),
        _caption(layer, reading, heat),
        _legend(reading, maps) if layer == "structures" and maps is not None else Markup(""),
        _thumbnails(pictures, current) if len(lesions) > 1 else Markup(""),
        _about_image(lesion, current, len(lesions)),
        quality_line(lesion),
        fill('<p class="dq-quality dq-amber">{m}</p>', m=said(abstention.message)) if abstention else Markup(""),
        join(error_line(e) for e in errors),
        _more(),
    ]
    return fill('<div class="dq-viewer">{parts}</div>', parts=join(parts))


def _picture(
    lesion: Lesion,
    url: str,
    current: int,
    layer: Layer,
    reading: SpecialistReading | None,
    heat: Heat | None,
    maps: Mapping[str, np.ndarray] | None,
    drawing: bool,
) -> Markup:
    over = Markup("")
    if layer == "structures" and maps is not None and reading is not None:
        over = structure_layer(lesion, reading, maps)
    if layer == "outline" and reading is not None:
        over = fill(
            '<svg class="dq-outline" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
            '<path class="dq-halo" d="{d}"/><path class="dq-line" d="{d}"/></svg>',
            label=_("Outline of the lesion, which takes {share} of the image").format(
                share=percent(reading.outline.mean())
            ),
            w=lesion.width,
            h=lesion.height,
            d=outline_path(reading.outline),
        )
    if layer == "heatmap" and heat is not None:
        label = _("Heatmap: where the specialist looks for {name}").format(name=CLASS_NAMES.get(heat.code, heat.code))
        over = fill('<img class="dq-heat" src="{u}" alt="{label}">', u=heat_layer(heat), label=label)
    return fill(
        '<figure class="dq-figure"><div class="dq-frame" style="--ratio:{w}/{h}"><img src="{url}" '
        'alt="{alt}">{over}'
        "</div>{badge}</figure>",
        w=lesion.width,
        h=lesion.height,
        url=url,
        alt=_("Image {n} of the lesion").format(n=current + 1),
        over=over,
        badge=fill('<span class="dq-badge">{b}</span>', b=_("drawing")) if drawing else "",
    )


def _switch(layer: Layer, *, enabled: bool) -> Markup:
    radios = [
        fill(
            '<label><input type="radio" name="dq-layer" value="{name}" data-event="layer"{checked}{off}>'
            "<span>{label}</span></label>",
            name=name,
            checked=Markup(" checked") if name == layer else "",
            off=Markup(" disabled") if not enabled and name != "plain" and name != layer else "",
            label=_(LAYER_NAMES[name]),
        )
        for name in LAYERS
    ]
    return fill(
        '<div class="dq-switch" role="radiogroup" aria-label="{label}">{r}</div>',
        label=_("What lies over the image"),
        r=join(radios),
    )


def _caption(layer: Layer, reading: SpecialistReading | None, heat: Heat | None) -> Markup:
    if layer == "outline" and reading is not None:
        share = f"{round(reading.outline_confidence * 100)}{THIN}%"
        text = _("Outline by the specialist, mean certainty {share}.").format(share=share)
    elif layer == "heatmap" and heat is not None:
        name = CLASS_NAMES.get(heat.code, heat.code)
        text = _("Where the specialist looks for {name}: bright is strong.").format(name=name)
    elif layer == "structures" and reading is not None:
        if seen_structures(reading):
            text = _("Where the specialist sees dermoscopic structures, roughly: in squares of the image.")
        else:
            text = _("The specialist sees no dermoscopic structure here.")
    elif layer == "plain":
        text = _("The image as it was read.")
    else:
        text = _("Outline and heatmap appear when the image has been read.")
    return fill('<p class="dq-fine">{text}</p>', text=text)


def _thumbnails(pictures: Sequence[str], current: int) -> Markup:
    buttons = [
        fill(
            '<button type="button" data-event="show" data-index="{i}" aria-label="{label}"{on}>'
            '<img src="{url}" alt=""></button>',
            i=i,
            label=_("Show image {n}").format(n=i + 1),
            on=Markup(' aria-current="true"') if i == current else "",
            url=url,
        )
        for i, url in enumerate(pictures)
    ]
    return fill('<div class="dq-thumbs">{b}</div>', b=join(buttons))


def _about_image(lesion: Lesion, current: int, count: int) -> Markup:
    views = join(_option(value, _(label), lesion.view) for value, label in VIEWS)
    times = join(
        [_option("", _("time not stated"), lesion.taken or ""), *(_option(t, _(t), lesion.taken or "") for t in TIMES)]
    )
    return fill(
        '<div class="dq-kind"><select data-event="view" data-index="{i}" aria-label="{kind}">{views}</select>'
        '<select data-event="taken" data-index="{i}" aria-label="{when}">{times}</select>'
        '<button type="button" class="dq-quiet" data-event="remove" data-index="{i}" aria-label="{remove}">{name}'
        "</button></div>",
        i=current,
        kind=_("Kind of view of image {n}").format(n=current + 1),
        when=_("When image {n} was taken").format(n=current + 1),
        remove=_("Remove image {n}").format(n=current + 1),
        name=_("Remove"),
        views=views,
        times=times,
    )


def _option(value: str, label: str, chosen: str) -> Markup:
    on = Markup(" selected") if value == chosen else ""
    return fill('<option value="{value}"{on}>{label}</option>', value=value, on=on, label=label)


def quality_line(lesion: Lesion) -> Markup:
    """What was measured of the image's quality, each weakness in its own words."""
    size = f"{lesion.width} × {lesion.height} px"
    if not lesion.quality:
        return fill(
            '<p class="dq-quality"><strong>{head}</strong> {line}</p>',
            head=_("Quality:"),
            line=_("no weakness measured ({size}).").format(size=size),
        )
    issues = join(
        fill(
            '<li class="{kind}">{message} <span class="dq-muted">({figures})</span></li>',
            kind="dq-severe" if issue.severe else "dq-mild",
            message=said(issue.message),
            figures=_("{value}, limit {limit}").format(
                value=number(issue.value),
                limit=f"{number(issue.limit)}{THIN}{_(issue.unit)}" if issue.unit else number(issue.limit),
            ),
        )
        for issue in lesion.quality
    )
    return fill(
        '<div class="dq-quality"><strong>{head}</strong> ({size})<ul>{issues}</ul></div>',
        head=_("Quality"),
        size=size,
        issues=issues,
    )


def _more() -> Markup:
    return fill(
        '<div class="dq-more" data-drop><button type="button" class="dq-quiet" data-pick>{add}</button>'
        '<button type="button" class="dq-quiet" data-camera>{camera}</button></div>',
        add=_("Add an image of the same lesion"),
        camera=_("Camera"),
    )


def empty(examples: Sequence[Example], errors: Sequence[str] = ()) -> Markup:
    """The drop zone, three drawings, and what the model knows and does not."""
    drawn = join(
        fill(
            '<button type="button" class="dq-example" data-event="example" data-index="{i}"><img src="{u}" alt="">'
            '<span class="dq-badge">{badge}</span><span>{title}</span></button>',
            badge=_("drawing"),
            i=i,
            u=e.thumbnail,
            title=_(e.title),
        )
        for i, e in enumerate(examples)
    )
    return fill(
        '<div class="dq-empty"><div class="dq-drop" data-drop><p class="dq-drop-title">{title}</p>'
        '<p>{drop}</p><p class="dq-drop-buttons"><button type="button" '
        'class="dq-button dq-primary" data-pick>'
        '{choose}</button><button type="button" class="dq-button" data-camera>{camera}</button></p>'
        '<p class="dq-fine">{accepted}</p>'
        "</div>{errors}{drawn}"
        '<p class="dq-fine">{knows}</p><p class="dq-fine">{trial} {archive}.</p></div>',
        title=_("Images of one lesion"),
        drop=_("Drop or paste them here."),
        choose=_("Choose files"),
        camera=_("Camera"),
        accepted=_("{accepted}. Metadata are dropped; nothing is stored unless you agree to it.").format(
            accepted=_(ACCEPTED)
        ),
        trial=_("Open patient images for a trial:"),
        errors=join(error_line(e) for e in errors),
        drawn=fill(
            '<div class="dq-examples" role="group" aria-label="{name}">{d}</div>', name=_("Drawn examples"), d=drawn
        )
        if examples
        else "",
        knows=_(KNOWS),
        archive=fill('<a href="{u}" target="_blank" rel="noopener noreferrer">ISIC Archive</a>', u=ARCHIVE),
    )
