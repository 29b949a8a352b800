"""Building blocks of the page's HTML: escaping, numbers, small parts. Knows no gradio.

Every value put into a template is escaped, because the text comes from a model, a visitor
or a table. Only `Markup` that was built here passes through unchanged.
"""

from __future__ import annotations

import base64
import io
import json
import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

import numpy as np
from markupsafe import Markup
from PIL import Image

from dermiq.language import N_, _, is_english

THIN = "\u202f"  # narrow no-break space, between number and unit


def fill(template: str, /, **values: object) -> Markup:
    """`template` with every value escaped, unless it is `Markup` already."""
    return Markup(template).format(**values)


def join(parts: Iterable[str | Markup], separator: str = "") -> Markup:
    """Parts in a row; plain strings are escaped."""
    return Markup(separator).join(parts)


def percent(probability: float) -> str:
    """A probability as the page writes it: "62 %", never more digits than it deserves."""
    if probability >= 0.995:
        return f"> 99{THIN}%"
    if 0 < probability < 0.005:
        return f"< 1{THIN}%"
    return f"{int(probability * 100 + 0.5)}{THIN}%"  # half up, as readers expect


def number(value: float) -> str:
    """Two significant digits, without an exponent: 0.31, 3.2, 42, 1200."""
    if value == round(value) and abs(value) < 1e6:
        return str(round(value))
    size = abs(value)
    if size >= 10:
        return str(round(value))
    if size >= 1:
        return f"{value:.1f}"
    return f"{value:.2f}"


def ratio(value: float) -> str:
    """A likelihood ratio: 3.2, 0.40, 12."""
    if value >= 9.95:
        return str(round(value))
    return f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def quantity(value: float, unit: str) -> str:
    return f"{number(value)}{THIN}{unit}" if unit else number(value)


def percentile(value: float) -> str:
    """ "96th", as an ordinal; the ends are kept away from 0 and 100."""
    whole = min(99, max(1, round(value)))
    others = {1: N_("{n}st"), 2: N_("{n}nd"), 3: N_("{n}rd")}
    form = N_("{n}th")
    return _(form if 10 <= whole % 100 <= 20 else others.get(whole % 10, form)).format(n=whole)


def link(url: str, text: str) -> Markup:
    """A link that opens elsewhere on request; anything but http(s) stays plain text."""
    if urlsplit(url).scheme not in {"http", "https"}:
        return Markup.escape(text)
    return fill(
        '<a href="{url}" target="_blank" rel="noopener noreferrer">{text}<span class="dq-sr"> ({where})</span></a>',
        where=_("opens in a new tab"),
        url=url,
        text=text,
    )


def as_sourced() -> Markup:
    """The attribute of what stays English on a page in another language, so that it is read aloud as English."""
    return Markup("") if is_english() else Markup(' lang="en"')


def error_line(message: str) -> Markup:
    return fill('<p class="dq-error" role="alert">{message}</p>', message=message)


def data_url(pixels: np.ndarray, *, longest: int = 960, form: str = "JPEG") -> str:
    """The pixels inside the page itself, so that no image file is served or cached."""
    image = Image.fromarray(pixels)
    image.thumbnail((longest, longest))
    buffer = io.BytesIO()
    image.save(buffer, form, quality=88) if form == "JPEG" else image.save(buffer, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def spoken(text: str) -> Markup:
    """What a screen reader says of its own accord, in one place that stays: all that changes would flood it."""
    return fill('<p class="dq-sr" role="status" data-key="spoken">{text}</p>', text=text)


def download(name: str, kind: str, content: bytes) -> Markup:
    """A file inside the page's own answer, which the browser saves: none is kept or served."""
    sent = {"name": name, "type": kind, "data": base64.b64encode(content).decode()}
    sent["id"] = secrets.token_hex(4)  # the same file can be asked for twice
    return fill('<i hidden data-download="{d}"></i>', d=json.dumps(sent))


def term(name: str, meaning: str, *, key: str) -> Markup:
    """A word whose meaning shows beside it when it is pointed at or has the focus; `key` is its own on the page."""
    return fill(
        '<span class="dq-term" tabindex="0" data-tip="{meaning}" aria-describedby="dq-term-{key}">{name}</span>'
        '<span id="dq-term-{key}" hidden>{meaning}</span>',
        name=name,
        meaning=meaning,
        key=key,
    )


def html_id(text: str) -> str:
    """Letters, digits and hyphens only."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text)


def capital(text: str) -> str:
    """The text with a capital first letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def inside(title: str) -> str:
    """A title within a sentence: in small letters in English; other languages have rules of their own for them."""
    return title.lower() if is_english() else title


# --- ways to the Knowledge tab ------------------------------------------------------------


def opener(text: str, name: str, *, look: str = "dq-suggest") -> Markup:
    """A button that looks up `text`, an id or a name, and is called `name`."""
    return fill(
        '<button type="button" class="{look}" data-event="open" data-text="{text}">{name}</button>',
        look=look,
        text=text,
        name=name,
    )


def versus(left: str, right: str, name: str, *, look: str = "dq-suggest") -> Markup:
    """A button that compares two conditions, given by their ids."""
    return fill(
        '<button type="button" class="{look}" data-event="versus" data-index="{left}" data-text="{right}">'
        "{name}</button>",
        look=look,
        left=left,
        right=right,
        name=name,
    )
