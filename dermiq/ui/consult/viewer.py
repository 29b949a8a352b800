"""The image with outline or heatmap over it, its quality, and the drop zone. Knows no gradio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import contourpy
import numpy as np
from markupsafe import Markup

from dermiq.decoder import ACCEPTED
from dermiq.types import CLASS_NAMES, Abstention, Finding, Lesion, SpecialistReading
from dermiq.ui.markup import THIN, data_url, error_line, fill, join, number, percent

Layer = Literal["outline", "structures", "heatmap", "plain"]
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
    ("unknown", "kind not stated"),
    ("dermoscopy", "dermoscopy"),
    ("close-up", "close-up"),
    ("overview", "overview"),
)
TIMES = ("now", "3 months ago", "6 months ago", "1 year ago", "2 years ago")

KNOWS = (
    "Knows seven kinds of lesion (melanoma, nevus, basal cell carcinoma, actinic keratosis or Bowen’s "
    "disease, benign "
    "keratosis, dermatofibroma, vascular lesion) in dermoscopy and close-ups of one lesion. Does not know rashes, "
    "nails, hair, mucosa or wounds."
)
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
        '<svg class="dq-outline" viewBox="0 0 {w} {h}" role="img" aria-label="Where dermoscopic structures are seen">'
        "{paths}</svg>",
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
            where="" if (maps[finding.code] >= THERE).any() else ": no place stands out",
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
        fill('<p class="dq-quality dq-amber">{m}</p>', m=abstention.message) if abstention else Markup(""),
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
            label=f"Outline of the lesion, which takes {percent(reading.outline.mean())} of the image",
            w=lesion.width,
            h=lesion.height,
            d=outline_path(reading.outline),
        )
    if layer == "heatmap" and heat is not None:
        label = f"Heatmap: where the specialist looks for {CLASS_NAMES.get(heat.code, heat.code)}"
        over = fill('<img class="dq-heat" src="{u}" alt="{label}">', u=heat_layer(heat), label=label)
    return fill(
        '<figure class="dq-figure"><div class="dq-frame" style="--ratio:{w}/{h}"><img src="{url}" '
        'alt="Image {n} of the lesion">{over}'
        "</div>{badge}</figure>",
        w=lesion.width,
        h=lesion.height,
        url=url,
        n=current + 1,
        over=over,
        badge=Markup('<span class="dq-badge">drawing</span>') if drawing else "",
    )


def _switch(layer: Layer, *, enabled: bool) -> Markup:
    radios = [
        fill(
            '<label><input type="radio" name="dq-layer" value="{name}" data-event="layer"{checked}{off}>'
            "<span>{label}</span></label>",
            name=name,
            checked=Markup(" checked") if name == layer else "",
            off=Markup(" disabled") if not enabled and name != "plain" and name != layer else "",
            label=name.capitalize(),
        )
        for name in LAYERS
    ]
    return fill(
        '<div class="dq-switch" role="radiogroup" aria-label="What lies over the image">{r}</div>', r=join(radios)
    )


def _caption(layer: Layer, reading: SpecialistReading | None, heat: Heat | None) -> Markup:
    if layer == "outline" and reading is not None:
        text = f"Outline by the specialist, mean certainty {round(reading.outline_confidence * 100)}{THIN}%."
    elif layer == "heatmap" and heat is not None:
        text = f"Where the specialist looks for {CLASS_NAMES.get(heat.code, heat.code)}: bright is strong."
    elif layer == "structures" and reading is not None:
        if seen_structures(reading):
            text = "Where the specialist sees dermoscopic structures, roughly: in squares of the image."
        else:
            text = "The specialist sees no dermoscopic structure here."
    elif layer == "plain":
        text = "The image as it was read."
    else:
        text = "Outline and heatmap appear when the image has been read."
    return fill('<p class="dq-fine">{text}</p>', text=text)


def _thumbnails(pictures: Sequence[str], current: int) -> Markup:
    buttons = [
        fill(
            '<button type="button" data-event="show" data-index="{i}" aria-label="Show image {n}"{on}>'
            '<img src="{url}" alt=""></button>',
            i=i,
            n=i + 1,
            on=Markup(' aria-current="true"') if i == current else "",
            url=url,
        )
        for i, url in enumerate(pictures)
    ]
    return fill('<div class="dq-thumbs">{b}</div>', b=join(buttons))


def _about_image(lesion: Lesion, current: int, count: int) -> Markup:
    views = join(_option(value, label, lesion.view) for value, label in VIEWS)
    times = join(
        [_option("", "time not stated", lesion.taken or ""), *(_option(t, t, lesion.taken or "") for t in TIMES)]
    )
    return fill(
        '<div class="dq-kind"><select data-event="view" data-index="{i}" aria-label="Kind of view of '
        'image {n}">{views}</select>'
        '<select data-event="taken" data-index="{i}" aria-label="When image {n} was taken">{times}</select>'
        '<button type="button" class="dq-quiet" data-event="remove" data-index="{i}" aria-label="Remove '
        'image {n}">Remove</button></div>',
        i=current,
        n=current + 1,
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
        return fill('<p class="dq-quality"><strong>Quality:</strong> no weakness measured ({size}).</p>', size=size)
    issues = join(
        fill(
            '<li class="{kind}">{message} <span class="dq-muted">({value}, limit {limit}{unit})</span></li>',
            kind="dq-severe" if issue.severe else "dq-mild",
            message=issue.message,
            value=number(issue.value),
            limit=number(issue.limit),
            unit=f"{THIN}{issue.unit}" if issue.unit else "",
        )
        for issue in lesion.quality
    )
    return fill(
        '<div class="dq-quality"><strong>Quality</strong> ({size})<ul>{issues}</ul></div>', size=size, issues=issues
    )


def _more() -> Markup:
    return Markup(
        '<div class="dq-more" data-drop><button type="button" class="dq-quiet" data-pick>Add an image of '
        "the same lesion</button>"
        '<button type="button" class="dq-quiet" data-camera>Camera</button></div>'
    )


def empty(examples: Sequence[Example], errors: Sequence[str] = ()) -> Markup:
    """The drop zone, three drawings, and what the model knows and does not."""
    drawn = join(
        fill(
            '<button type="button" class="dq-example" data-event="example" data-index="{i}"><img src="{u}" alt="">'
            '<span class="dq-badge">drawing</span><span>{title}</span></button>',
            i=i,
            u=e.thumbnail,
            title=e.title,
        )
        for i, e in enumerate(examples)
    )
    return fill(
        '<div class="dq-empty"><div class="dq-drop" data-drop><p class="dq-drop-title">Images of one lesion</p>'
        '<p>Drop or paste them here.</p><p class="dq-drop-buttons"><button type="button" '
        'class="dq-button dq-primary" data-pick>'
        'Choose files</button><button type="button" class="dq-button" data-camera>Camera</button></p>'
        '<p class="dq-fine">{accepted}. Metadata are dropped; nothing is stored unless you agree to '
        "it.</p>"
        "</div>{errors}{drawn}"
        '<p class="dq-fine">{knows}</p><p class="dq-fine">Open patient images for a trial: {archive}.</p></div>',
        accepted=ACCEPTED,
        errors=join(error_line(e) for e in errors),
        drawn=fill('<div class="dq-examples" role="group" aria-label="Drawn examples">{d}</div>', d=drawn)
        if examples
        else "",
        knows=KNOWS,
        archive=fill('<a href="{u}" target="_blank" rel="noopener noreferrer">ISIC Archive</a>', u=ARCHIVE),
    )
