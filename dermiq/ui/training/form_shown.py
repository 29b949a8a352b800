"""What each part of the form shows, as properties of its component. Knows no gradio: `form_fields` builds them.

Which parts there are follows from the option dataclasses: a part "grpo.steps" is the option `steps` of GRPO++, and of
a pipeline its option `grpo.steps`. "fold.grpo.Data" is a section of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup

from dermiq.errors import InputError
from dermiq.language import N_, _
from dermiq.language import said as in_our_language
from dermiq.ui.markup import capital, fill, html_id, join
from dermiq.ui.training.form import KINDS, Estimate, Form, presets, shown_options, split_list, text_of, value_of
from dermiq.ui.training.labels import CHOICES, ESSENTIALS, HINTS, SECTIONS, STAGES, UNITS, bare, label, section
from dermiq.ui.training.words import duration, gigabytes
from train.options import Option
from train.pipeline import STAGES as IN_A_ROW

Props = Mapping[str, Any]
NANO = N_("DermIQ-Nano (comes with the app)")
OF_IMAGES = ("data", "images")  # what pairs are made about where none are named
SHORT = 40  # characters of a value that a hint repeats
KEPT_SHOWN = 6  # options that are named as kept
WORDS = {"green": N_("It fits."), "amber": N_("That may not do."), "red": N_("That will not do.")}
RIGHT_FIRST = N_("The file and the command appear once the marked fields are right.")
THE_FILE = N_(
    "Every option of the run, as the command line takes it. You can edit it here, save it, or load another: the "
    "fields above follow."
)
AGAIN = N_(
    "The run needs clearly more memory than is free, and would probably end with an error. Better change what is "
    "named above. Starting it anyway turns off check_memory, which would end it at once."
)


@dataclass(frozen=True)
class AtHand:
    """What can be chosen on this machine, and why nothing can be started, if so."""

    models: Sequence[str] = ()  # names of finished runs
    data: Mapping[str, str] | None = None  # data sets, by the word that `data` takes: what they are called
    locked: str = ""


# --- which parts there are ----------------------------------------------------------------


@cache
def options_at() -> Mapping[str, Option]:
    """The option of each part that has one."""
    own = {key: shown_options("pipeline")[key] for key in ("stages", "model")}
    return own | {
        f"{stage}.{name}": option
        for stage in IN_A_ROW
        for name, option in shown_options(stage).items()
        if name != "model"
    }


def part_of(stage: str, name: str) -> str:
    """Where an option of a stage or of the pipeline stands, or the run's name and the YAML, which both have."""
    return name if stage == "pipeline" or name in ("model", "name", "yaml") else f"{stage}.{name}"


def said_by(stage: str, fields: Mapping[str, str]) -> dict[str, str]:
    """What the parts of the form say, by the names that options have in this stage."""
    names = {part_of(stage, name): name for name in shown_options(stage)}
    return {names.get(key, key): text for key, text in fields.items()}


def sections(stage: str) -> Mapping[str, Sequence[str]]:
    """The parts of a stage by section; those under "" are in sight from the start."""
    first = [name for name in ESSENTIALS[stage] if name != "model"]
    rest = [name for name in shown_options(stage) if name not in (*first, "model")]
    placed = {title: [name for name in rest if section(name) == title] for title in SECTIONS}
    found = {"": first, **{title: names for title, names in placed.items() if names}}
    return {title: [part_of(stage, name) for name in names] for title, names in found.items()}


def elem_id(key: str) -> str:
    return f"dqf-{html_id(key)}"


# --- texts and the values of components -----------------------------------------------------


def titles(option: Option) -> Mapping[str, str]:
    """What can be chosen for an option, by value; empty where it is typed."""
    if bare(option.name) == "stages":
        return {stage: STAGES[stage][0].partition(":")[0] for stage in map(str, option.choices)}
    own = CHOICES.get(bare(option.name), {})
    return {str(value): own.get(str(value), str(value)) for value in option.choices} or own


def is_several(option: Option) -> bool:
    """Whether any number of things is chosen: data sets, losses, stages."""
    return bare(option.name) == "data" or (option.is_list and bool(option.choices))


def value_in(key: str, text: str) -> Any:
    """A text of the form as its component has it."""
    option = options_at().get(key)
    if option is not None and option.kind is bool:
        return text == "true"
    if option is None or not is_several(option):
        return text
    try:
        return list(split_list(text))
    except InputError:
        return [text]


def text_in(value: Any) -> str:
    """What a component sends as a text of the form."""
    if isinstance(value, list):
        return text_of(tuple(map(str, value)))
    return text_of(value)


# --- the whole form -----------------------------------------------------------------------


def shown(form: Form, at_hand: AtHand) -> dict[str, Props]:
    """The properties of each part that this form has; the others are out of sight. What it does not say of a part,
    such as whether a fold is open, is the visitor's.
    """
    drawn = Drawn(form, at_hand)
    order = _order(form)
    return {
        "form": {"visible": True},
        "key": {"value": form.key},
        **drawn.first(),
        **{part_of(form.stage, name): drawn.option(name) for name in shown_options(form.stage)},
        **{f"fold.{stage}": drawn.stage(stage, is_on=stage in order) for stage in IN_A_ROW},
        **{key: props for stage in order for key, props in drawn.folds(stage)},
        **_file(form),
        **_estimate(form.estimate),
        **_launch(form, at_hand.locked),
    }


def at_first(form: Form) -> dict[str, Props]:
    """What each part shows as it is built: `form`, out of sight, and for other stages their first preset."""
    found: dict[str, Props] = {}
    for made in (*map(Form.of, ("pipeline", *IN_A_ROW)), form):
        found |= {key: {**found.get(key, {}), **props} for key, props in shown(made, AtHand()).items()}
    folds = {key: {**props, "open": False} for key, props in found.items() if key.startswith("fold.")}
    return {**found, **folds, "form": {"visible": False}}


def _order(form: Form) -> Sequence[str]:
    """The stages whose options are in sight."""
    if form.stage != "pipeline":
        return (form.stage,)
    try:
        return [stage for stage in split_list(form.text("stages")) if stage in IN_A_ROW]
    except InputError:
        return IN_A_ROW


@dataclass(frozen=True)
class Drawn:
    """The fields of a form."""

    form: Form
    at_hand: AtHand

    def first(self) -> dict[str, Props]:
        """What is trained, how it begins, what it is called."""
        form, known = self.form, {preset.key: preset for preset in presets(self.form.stage)}
        kept = sorted({label(name) for name in form.chosen if name in form.fields})
        few = ", ".join(kept[:KEPT_SHOWN])
        if len(kept) > KEPT_SHOWN:
            few = _("{names} and {n} more").format(names=few, n=len(kept) - KEPT_SHOWN)
        what = f" **{_('Kept as you chose it: {names}.').format(names=few)}**" if kept else ""
        named = (
            _("Its runs are called NAME-grpo, NAME-sft and NAME-dpo. Left empty, NAME is pipeline.")
            if form.stage == "pipeline"
            else _("Letters, digits, dots, dashes and underscores. Left empty, it is called by its stage and the time.")
        )
        return {
            "stage": {"value": form.stage, "info": STAGES[form.stage][1]},
            "preset": {
                "choices": [(preset.title, key) for key, preset in known.items()],
                "value": form.preset,
                "info": f"{known[form.preset].sentence}{what}",
            },
            "plain": {"visible": bool(kept)},
            "name": self._field("name", form.name, named),
            "stages": {"visible": form.stage == "pipeline"},
        }

    def stage(self, stage: str, *, is_on: bool) -> Props:
        """The fold of a stage: closed in a pipeline until it is opened, or until a field in it is wrong."""
        alone = self.form.stage != "pipeline"
        title = _("Settings of {stage}").format(stage=STAGES[stage][0].partition(":")[0])
        wrong = self._wrong(key for keys in sections(stage).values() for key in keys)
        return {"visible": is_on, "label": _counted(title, wrong), **({"open": True} if alone or wrong else {})}

    def folds(self, stage: str) -> Iterable[tuple[str, Props]]:
        """The sections of "All settings": closed until one is opened, or until a field in it is wrong."""
        found = {title: self._wrong(keys) for title, keys in sections(stage).items() if title}
        for title, wrong in {"All settings": sum(found.values()), **found}.items():
            yield f"fold.{stage}.{title}", {"label": _counted(title, wrong), **({"open": True} if wrong else {})}

    def _wrong(self, keys: Iterable[str]) -> int:
        wrong = {part_of(self.form.stage, name) for name in self.form.errors}
        return len(wrong.intersection(keys))

    def option(self, name: str) -> Props:
        option, text = shown_options(self.form.stage)[name], self.form.text(name)
        key = part_of(self.form.stage, name)
        made = {**self._field(name, value_in(key, text), self._hint(option)), "visible": not self._is_idle(name)}
        choices = self._choices(option)
        is_list = bool(choices) or bare(name) == "data"
        return made | ({"choices": [(title, value) for value, title in choices.items()]} if is_list else {})

    def _field(self, name: str, value: Any, hint: str) -> dict[str, Any]:
        """A value under its label, with the error and the hint that explain it."""
        error, unit = self.form.errors.get(name), UNITS.get(bare(name))
        title = f"{label(name)} ({unit})" if unit else label(name)
        return {
            "value": value,
            "label": _("{title}: to correct").format(title=title) if error else title,
            "info": f"**{error}** {hint}" if error else hint,
            "elem_classes": ["dq-wrong"] if error else [],
        }

    def _choices(self, option: Option) -> Mapping[str, str]:
        """Of the model and the data it depends on what is at hand."""
        if bare(option.name) == "data":
            return self.at_hand.data or {}
        if option.name != "model":
            return titles(option)
        of_presets = {getattr(preset.config, "model", "nano") for preset in presets(self.form.stage)} - {"nano"}
        runs = {run: _("Run {name}").format(name=run) for run in self.at_hand.models}
        return {"nano": _(NANO), **runs, **{model: model for model in sorted(of_presets)}}

    # --- hints ---

    def _hint(self, option: Option) -> str:
        """The option's help, its limits and default, the preset's value where that was changed, and its name."""
        name, known = option.name, titles(option)
        default, preset = text_of(option.default), text_of(value_of(self.form.base, name))
        said = HINTS.get(bare(name)) or sentence(option.help)
        if bare(name) == "preferences":
            said = f"{said} {self._what_happens(name.removesuffix(bare(name)))}"
        told = [limits(option)] if limits(option) else []
        if default and len(default) < SHORT and bare(name) not in ("data", "preferences", "model"):
            told.append(f"default {_called(option, default, known)}")
        bounds = f" ({', '.join(told)})" if told else ""
        is_changed = name in self.form.fields and len(preset) < SHORT
        changed = f" **Changed from {_called(option, preset, known)}.**" if is_changed else ""
        return f"{said}{bounds}{changed} `{bare(name)}`"

    def _is_idle(self, name: str) -> bool:
        """Whether nothing is made of an option: named pairs are learned as they are, and no image is asked about."""
        group = name.removesuffix(bare(name))
        return bare(name) in OF_IMAGES and self._pairs(group) != ""

    def _pairs(self, group: str) -> str:
        """The pairs that are named, of a stage of a pipeline or of DPO itself; "" where none are."""
        name = f"{group}preferences"
        return self.form.text(name).strip() if name in shown_options(self.form.stage) else ""

    def _what_happens(self, group: str) -> str:
        """What is going to be learned with the pairs as the form has them."""
        text = {name: self.form.text(group + name) for name in ("images", "data", "steps", "epochs", "min_margin")}
        if not self._pairs(group):
            count = "all" if text["images"] in ("", "0") else text["images"]
            return f"None is named: the graph makes pairs of what the model answers about {count} images of the data."
        narrow = f" with a margin of {text['min_margin']} or more" if text["min_margin"] not in ("", "0") else ""
        if text["steps"] in ("", "0"):
            often = "once" if text["epochs"] in ("", "1") else f"{text['epochs']} times"
            return f"Every pair{narrow} is learned {often}. The graph makes none, and no other data is used."
        return (
            f"{text['steps']} steps take that many batches of the pairs{narrow}, and leave the rest: set steps to 0 to "
            "learn all. The graph makes none, and no other data is used."
        )


def limits(option: Option) -> str:
    """What values an option takes, in words: "0 to 0.9", "more than 0"; empty where there is no limit."""
    if option.choices or option.item_kind is str:
        return ""
    low, high, above = (option.limits[name] for name in ("minimum", "maximum", "above"))
    if low is not None:
        return f"{low:g} to {high:g}" if high is not None else f"{low:g} or more"
    if above is not None:
        return f"more than {above:g}" + (f", at most {high:g}" if high is not None else "")
    return f"at most {high:g}" if high is not None else ""


def sentence(help: str) -> str:
    """An option's help as a sentence; a value or a file at its start stays as it is: "grpopp: ...", "final/ ..."."""
    first = help.partition(" ")[0]
    return f"{capital(help) if first.isalpha() else help}."


def _called(option: Option, text: str, known: Mapping[str, str]) -> str:
    if option.kind is bool:
        return "on" if text == "true" else "off"
    return known.get(text, text) or "empty"


def _counted(title: str, wrong: int) -> str:
    return _("{title}: {n} to correct").format(title=title, n=wrong) if wrong else title


# --- the file and the command -------------------------------------------------------------


def _file(form: Form) -> dict[str, Props]:
    try:
        text, command = form.yaml_text(), form.command()
    except InputError:
        text, command = "", ""
    error, as_shown = form.errors.get("yaml"), bool(text) and form.yaml is None
    hint = _(THE_FILE) if text else _(RIGHT_FIRST)
    return {
        "fold.file": {"open": True} if error else {},
        "yaml": {
            "value": form.yaml if form.yaml is not None else text,
            "info": f"**{error}** {hint}" if error else hint,
            "elem_classes": ["dq-wrong"] if error else [],
        },
        "discard": {"visible": bool(error and text)},
        "saveyaml": {"visible": as_shown},
        "command": {"value": command if as_shown else "", "visible": as_shown},
    }


# --- the estimate and the start -----------------------------------------------------------


def _launch(form: Form, locked: str) -> dict[str, Props]:
    """What stays in sight while the form is scrolled: Start, what came of it, and the estimate in short."""
    said = fill(
        '<div role="status">{locked}{marked}{said}{doing}</div>{note}{again}{short}',
        locked=_line("dq-locked", locked),
        marked=_marked(form),
        said=_line("dq-fine", form.said),
        doing=_doing(form) if form.doing else "",
        note=_line("dq-error", form.note, role="alert"),
        again=_line("dq-again", _(AGAIN) if form.asked_again else "", role="alert"),
        short=_line("dq-fine", _in_short(form.estimate) if form.estimate else ""),
    )
    may = not locked and not form.doing
    return {
        "said": {"value": str(said)},
        "start": {"visible": not form.doing and not form.asked_again, "interactive": may},
        "startanyway": {"visible": form.asked_again and not form.doing, "interactive": may},
        "estimate": {"visible": not form.doing, "interactive": may},
        "cancel": {"visible": bool(form.doing)},
    }


def _line(kind: str, words: str, *, role: str = "") -> Markup:
    own = fill(' role="{r}"', r=role) if role else ""
    return fill('<p class="{k}"{own}>{w}</p>', k=kind, own=own, w=in_our_language(words)) if words else Markup("")


def _doing(form: Form) -> Markup:
    return fill(
        '<p class="dq-doing">{d}</p><progress value="{s}" max="100" aria-label="{l}"></progress>',
        l=_("Estimate and check of the run"),
        d=in_our_language(form.doing),
        s=round(100 * form.share),
    )


def _in_short(found: Estimate) -> str:
    """Memory and time in one line; the whole estimate stands above."""
    total, free = gigabytes(found.total), gigabytes(found.free)
    if found.seconds is None:
        return _("About {total} of {free} free.").format(total=total, free=free)
    return _("About {total} of {free} free, about {time}.").format(total=total, free=free, time=_span(found))


def _marked(form: Form) -> Markup:
    """Which fields are to be corrected, each a way to it."""
    ways = join(
        (fill('<a href="#{i}">{t}</a>', i=elem_id(part_of(form.stage, n)), t=_of_stage(n)) for n in form.errors), ", "
    )
    head = _("To correct before it can start:")
    return fill('<p class="dq-marked">{head} {w}.</p>', head=head, w=ways) if ways else ways


def _of_stage(name: str) -> str:
    stage = name.partition(".")[0]
    return f"{label(name)} ({STAGES[stage][0].partition(':')[0]})" if stage in KINDS else label(name)


def _estimate(found: Estimate | None) -> dict[str, Props]:
    if found is None:
        return {"estimated": {"visible": False}, "fold.parts": {"visible": False}}
    place = _("the CPU") if found.device == "cpu" else _("the GPU ({device})").format(device=found.device)
    needs = _("About {total} of memory at the peak; {free} are free on {place}.").format(
        total=gigabytes(found.total), free=gigabytes(found.free), place=place
    )
    time = f"{time_of(found)}: {found.why}" if found.seconds is not None else found.why
    lines = [f"**{_(WORDS[found.level])}** {needs}", *(f"- {said}" for said in (*found.lower, *found.notes)), "", time]
    rows = [
        f"| {capital(part.name)} | {gigabytes(part.bytes)} | {capital(part.why)}"
        f"{'' if part.when == 'always' else f' ({part.when})'} |"
        for part in found.parts
    ]
    table = "\n".join([f"| {_('Part')} | {_('Memory')} | {_('Why')} |", "|---|---:|---|", *rows])
    return {
        "estimated": {"visible": True, "value": "\n".join(lines), "elem_classes": ["dq-estimate", f"dq-{found.level}"]},
        "fold.parts": {"visible": True},
        "parts": {"value": table},
    }


def time_of(found: Estimate) -> str:
    """ "About 12 min (6 min to 24 min)"."""
    if found.low is None or found.high is None or found.seconds is None:
        return _("About {time}").format(time=duration(found.seconds or 0))
    return _("About {time}").format(time=_span(found))


def _span(found: Estimate) -> str:
    """ "12 min (6 min to 24 min)"."""
    time = duration(found.seconds or 0)
    low, high = duration(found.low or 0), duration(found.high or 0)
    if found.low is None or found.high is None or low == high:
        return time
    return _("{time} ({low} to {high})").format(time=time, low=low, high=high)
