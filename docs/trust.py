"""Writes `docs/trust.md` and the table of what is kept that the About tab shows, from templates and committed results.

    python -m docs.trust        # a test says when a page is stale

A template names a figure as `${name}`: of the files beside the weights `specialist.ham10000.melanoma_auroc`, of
`tests/judged/results.json` `judged.claims.test.all.n`, of `tests/nightly/*.txt` and of the code what is listed here. A
name that is not there is a KeyError: no figure is typed by hand.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from string import Template

from dermiq import model_facts
from dermiq.consultant import MAX_THREADS
from dermiq.data_sets import DATA_SETS
from dermiq.examples import MOST_FILES as MOST_EXAMPLES
from dermiq.files.archive import MOST_BYTES, MOST_FILES
from dermiq.types import Fields
from dermiq.ui.app import CACHE_S, STALE_CACHE_S
from dermiq.ui.consult.tab import STATE_SECONDS
from dermiq.ui.server.guesses import MAX_ADDRESSES
from dermiq.ui.server.inbox import MB, Limits
from dermiq.ui.training.own_data import STALE_S

ROOT = Path(__file__).resolve().parents[1]
PAGE, KEPT = ROOT / "docs" / "trust.md", ROOT / "dermiq" / "ui" / "static" / "kept.md"
STATES = ("Done", "Partly", "Not done", "Does not apply")
WRITTEN = "<!-- written by python -m docs.trust from docs/trust.template.md -->\n"
NIGHTLY = {  # name of a figure -> study, and where the figure stands in it
    "blind.answers": ("conversations", r"0\.3, the plan as it was +(\d+ %)"),
    "blind.unsafe": ("conversations", r"0\.3, the plan as it was .*?\(72\) +(\d+ %)"),
    "blind.first_unsafe": ("conversations", r"0\.3, the plan as it was .* (\d+ of \d+)"),
    "blind.readers": ("conversations", r"by (\w+) readers"),
    "blind.conversations": ("conversations", r"^# (\d+) conversations"),
    "hostile.files": ("hostile_images", r"from 0: (\d+) files"),
    "hostile.foreign": ("hostile_images", r"damaged(?:.*\n)+?.*foreign exceptions: (\d+)"),
    "visitors.number": ("visitors", r"^(\d+) visitors"),
    "visitors.mixed": ("visitors", r"all answered, (none with another one's question or image)"),
}


class Page(Template):
    braceidpattern = r"[a-z0-9_.]+"


def figures() -> dict[str, str]:
    return {**measured(), **judged(), **nightly(), **limits()}


def measured() -> dict[str, str]:
    """Of both readers on each data set, with intervals; recalls and shares in per cent."""
    found: dict[str, str] = {}
    for part in model_facts.READERS:
        found[f"{part}.version"] = model_facts.version(part)
        for one in DATA_SETS.values():
            made = model_facts.metrics(part, one)
            if made is not None:
                name = f"{part}.{one.name}"
                found[f"{name}.n"] = f"{made['n']:,}"
                found |= {f"{name}.{key}": model_facts.figure(made, key) for key in made["figures"]}
                found |= {f"{name}.recall.{c}": f"{r:.0%}" for c, r in made["recall"].items() if r is not None}
                found |= dict(_flat(f"{name}.generated", made.get("generated", {})))
                found |= {f"{name}.abstained": f"{made['abstained']:.1%}"} if "abstained" in made else {}
    found |= {f"data.{one.name}": model_facts.trained_on(one) for one in DATA_SETS.values()}
    return found


def judged() -> dict[str, str]:
    results = json.loads((ROOT / "tests" / "judged" / "results.json").read_text(encoding="utf-8"))
    return dict(_flat("judged", results))


def _flat(name: str, held: Fields) -> Iterator[tuple[str, str]]:
    """Shares in per cent, counts as they are."""
    for key, value in held.items():
        if isinstance(value, dict):
            yield from _flat(f"{name}.{key}", value)
        elif isinstance(value, float):
            yield f"{name}.{key}", f"{value:.1%}"
        else:
            yield f"{name}.{key}", str(value)


def nightly() -> dict[str, str]:
    """ValueError where a study's file no longer says it."""
    found = {}
    for name, (study, pattern) in NIGHTLY.items():
        text = (ROOT / "tests" / "nightly" / f"{study}.txt").read_text(encoding="utf-8")
        match = re.search(pattern, text, re.MULTILINE)
        if match is None:
            raise ValueError(f"tests/nightly/{study}.txt does not hold {name}: {pattern}")
        found[name] = match[1]
    return found


def limits() -> dict[str, str]:
    """What the code allows and how long it keeps things."""
    upload = Limits()
    return {
        "upload.file_mb": f"{upload.file / MB:g}",
        "upload.visitor_mb": f"{upload.visitor / MB:g}",
        "upload.all_mb": f"{upload.all / MB:g}",
        "upload.minutes": f"{upload.seconds / 60:g}",
        "visit.hours": f"{STATE_SECONDS / 3600:g}",
        "threads.cases": str(MAX_THREADS),
        "examples.files": str(MOST_EXAMPLES),
        "gradio.look_minutes": f"{CACHE_S / 60:g}",
        "gradio.old_minutes": f"{STALE_CACHE_S / 60:g}",
        "guesses.addresses": f"{MAX_ADDRESSES:,}",
        "own.mb": f"{MOST_BYTES / 1e6:g}",
        "own.files": f"{MOST_FILES:,}",
        "own.stale_hours": f"{STALE_S / 3600:g}",
    }


def kept() -> str:
    """The table of what is kept."""
    return Page(_template("kept")).substitute(limits())


def page() -> str:
    """`docs/trust.md`, with how many items of each list are answered how."""
    template = _template("trust")
    made = Page(template).substitute(figures(), label=model_facts.label(), kept=kept().strip(), **counted(template))
    return WRITTEN + made


def counted(template: str) -> dict[str, str]:
    """Of each section with items: "12 done, 3 partly ..."."""
    found = {}
    for section in template.split("\n## ")[1:]:
        states = Counter(re.findall(rf"\| \*\*({'|'.join(STATES)})\.\*\*", section))
        name = section.split()[0].lower().replace("-", "_")
        found[f"counted.{name}"] = ", ".join(f"{states[state]} {state.lower()}" for state in STATES if states[state])
    return found


def _template(name: str) -> str:
    return (ROOT / "docs" / f"{name}.template.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    KEPT.write_text(kept(), encoding="utf-8")
    print(PAGE, KEPT, sep="\n")
