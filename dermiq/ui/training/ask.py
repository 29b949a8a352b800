"""What is asked before a run is evaluated: on which data, how many images, and how long that will take.

Events, with the run's name as `index`: `evaluate` opens it (value: the weights), `asked` a change of its fields,
`judge` starts it, `unask` closes it. Knows no gradio.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from markupsafe import Markup

from dermiq.data_sets import DATA_SETS
from dermiq.errors import DermIQError, InputError
from dermiq.language import N_, _
from dermiq.language import said as in_our_language
from dermiq.ui.markup import fill, join
from dermiq.ui.training.words import counted, duration
from train.evaluation import EvaluationConfig
from train.runs.registry import Run

SPLITS: Mapping[str, str] = {
    "val": N_("val: held out, to choose by"),
    "test": N_("test: held out, for the last word"),
    "train": N_("train: what was learned from"),
}
IMAGES = 100  # that are offered first
FEW = 3  # images, from which on an evaluation's speed is taken as measured


@dataclass(frozen=True)
class Asked:
    """What is chosen so far."""

    run: str
    weights: str
    data: str
    split: str = "val"
    images: str = str(IMAGES)  # as typed
    known_only: bool = False  # of a table: leave out rows whose label is none of the classes
    wrong: str = ""  # why it was not started, a sentence

    def given(self, fields: Mapping[str, str]) -> Asked:
        """With the dialog's fields as the browser has them."""
        return replace(
            self,
            data=fields.get("judge-data", self.data),
            split=fields.get("judge-split", self.split),
            images=fields.get("judge-images", self.images).strip(),
            known_only=fields.get("judge-known", str(self.known_only).lower()) == "true",
            wrong="",
        )

    def config(self) -> EvaluationConfig:
        """Raises InputError for a number of images that is none."""
        if not self.images.isdecimal():
            raise InputError(_("Images is “{text}”: write a whole number, or 0 for all.").format(text=self.images[:20]))
        labels = "known" if self.known_only and self.data not in DATA_SETS else "classes"
        split = self.split if self.split in SPLITS else "val"
        return EvaluationConfig(
            model=self.run, weights=self.weights, data=self.data, split=split, images=int(self.images), labels=labels
        )


def seconds_an_image(runs: Sequence[Run], model: object) -> tuple[float, str] | None:
    """Measured by the newest evaluations here, of the same model where there are any, and which; None without any."""
    found: list[tuple[float, str, object]] = []
    for run in runs:
        count = run.status.step
        took = run.status.took()
        if run.stage == "evaluation" and run.state == "finished" and count >= FEW and took:
            found.append((took / count, run.name, run.options.get("model")))
    own = [one for one in found if one[2] == model] or found
    if not own:
        return None
    return statistics.median(one[0] for one in own[:3]), own[0][1]


def html(asked: Asked, *, data: Mapping[str, str], runs: Sequence[Run]) -> Markup:
    """`data`: what can be chosen, by the word that `data` takes."""
    is_table = asked.data not in DATA_SETS
    return fill(
        '<section class="dq-ask" role="dialog" aria-labelledby="dq-ask-title" data-escape="unask" data-key="ask {r}">'
        '<h3 id="dq-ask-title" tabindex="-1" data-arrive="ask {r} {w}">{title}</h3>'
        "<div>{data}{split}{images}</div>{known}"
        '<p class="dq-fine" id="dq-ask-time" role="status">{time}</p>{wrong}'
        '<p class="dq-go">{start}{cancel}</p></section>',
        r=asked.run,
        w=asked.weights,
        title=_("Evaluate {name}").format(
            name=asked.run if asked.weights == "final" else f"{asked.run}, {asked.weights}"
        ),
        data=_select("judge-data", _("Images of"), data, asked.data, asked.run),
        split=Markup("")
        if is_table
        else _select("judge-split", _("Part"), {key: _(name) for key, name in SPLITS.items()}, asked.split, asked.run),
        images=_images(asked),
        known=_known(asked) if is_table else "",
        time=_time(asked, runs),
        wrong=fill('<p class="dq-error" role="alert" id="dq-ask-wrong">{w}</p>', w=in_our_language(asked.wrong))
        if asked.wrong
        else "",
        start=_button("judge", _("Start the evaluation"), asked.run, "dq-button dq-primary"),
        cancel=_button("unask", _("Cancel"), asked.run, "dq-button"),
    )


def _button(event: str, title: str, run: str, look: str) -> Markup:
    return fill(
        '<button type="button" class="{l}" data-key="{e}" data-event="{e}" data-index="{r}">{t}</button>',
        l=look,
        e=event,
        r=run,
        t=title,
    )


def _select(name: str, title: str, choices: Mapping[str, str], now: str, run: str) -> Markup:
    options = join(
        fill('<option value="{v}"{on}>{t}</option>', v=value, t=said, on=Markup(" selected") if value == now else "")
        for value, said in choices.items()
    )
    return fill(
        '<label data-key="{n}">{t} <select class="dq-field" name="{n}" data-event="asked" data-index="{r}">{o}</select>'
        "</label>",
        n=name,
        t=title,
        r=run,
        o=options,
    )


def _images(asked: Asked) -> Markup:
    return fill(
        '<label data-key="judge-images">{title} <input type="text" inputmode="numeric" class="dq-field" '
        'name="judge-images" value="{v}" data-event="asked" data-index="{r}" autocomplete="off" '
        'aria-describedby="dq-ask-time{wrong}"{invalid}></label>',
        title=_("How many (0: all)"),
        v=asked.images,
        r=asked.run,
        wrong=" dq-ask-wrong" if asked.wrong else "",
        invalid=Markup(' aria-invalid="true"') if asked.wrong else "",
    )


def _known(asked: Asked) -> Markup:
    return fill(
        '<label class="dq-check"><input type="checkbox" name="judge-known" data-event="asked" data-index="{r}"{on}> '
        "<span>{title}</span></label>",
        title=_("Leave out rows whose label is none of the seven classes"),
        r=asked.run,
        on=Markup(" checked") if asked.known_only else "",
    )


def _time(asked: Asked, runs: Sequence[Run]) -> str:
    """How many images these are, and how long they will take."""
    try:
        config = asked.config()
        every = _count(replace(config, images=0))
    except DermIQError as error:
        return "" if asked.wrong else in_our_language(error)
    count = min(config.images or every, every)
    which = (_("All {images}") if count == every else _("{n} of {images}, at random")).format(
        n=count, images=counted(every, "image")
    )
    known = seconds_an_image(runs, asked.run)
    if known is None:
        return _(
            "{images}. No evaluation ran here yet, so its time is not known: it is told from the first images on."
        ).format(images=which)
    each, name = known
    took = duration(count * each)
    return _("{images}: about {time}, at {each} s an image as measured in {run}.").format(
        images=which, time=took, each=f"{each:.1f}", run=name
    )


@lru_cache(maxsize=64)
def _count(config: EvaluationConfig) -> int:
    return len(config.table())


def seconds_left(run: Run, now: float) -> float | None:
    """Of an evaluation that runs, by the images that it has read."""
    read, started, total = run.status.step, run.status.started, run.status.total
    if not started or not total or read < FEW:
        return None
    return (now - started) / read * max(0, total - read)
