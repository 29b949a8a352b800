"""The form that starts a run, as HTML. Knows no gradio; what the words stand for is in `form` and `labels`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from markupsafe import Markup

from dermiq.errors import InputError
from dermiq.ui.markup import THIN, capital, download, fill, html_id, join
from dermiq.ui.training.form import KINDS, OTHER, Estimate, Form, presets, shown_options, split_list, text_of, value_of
from dermiq.ui.training.labels import CHOICES, ESSENTIALS, HINTS, SECTIONS, STAGES, UNITS, bare, label, section
from dermiq.ui.training.words import duration
from train.options import Option
from train.pipeline import STAGES as IN_A_ROW

NANO = "DermIQ-Nano (comes with the app)"
SOURCES = ("data", "preferences")
"""Options that are chosen from what is at hand."""
OWN = {
    "data": "Your own: a CSV file (columns image and label), a JSONL file, or a data set of the Hugging Face hub",
    "preferences": "Others: a JSONL file, or a data set of the Hugging Face hub",
}
OF_IMAGES = ("data", "images")  # what pairs are made about where none are named
SHORT = 40  # characters of a value that a hint repeats
KEPT_SHOWN = 6  # options that are named as kept
WORDS = {"green": "It fits.", "amber": "That may not do.", "red": "That will not do."}


@dataclass(frozen=True)
class AtHand:
    """What can be chosen on this machine."""

    models: Sequence[str] = ()  # names of finished runs
    data: Mapping[str, str] | Sequence[str] = ()  # data sets, by the word that `data` takes: what they are called
    sets: Mapping[str, str] | Sequence[str] = ()  # of preference pairs, likewise

    def sources(self, name: str) -> Mapping[str, str]:
        found = self.data if name == "data" else self.sets
        return found if isinstance(found, Mapping) else {value: value for value in found}


def html(
    form: Form,
    *,
    models: Sequence[str] = (),
    data: Mapping[str, str] | Sequence[str] = (),
    sets: Mapping[str, str] | Sequence[str] = (),
    locked: str = "",
) -> Markup:
    """The whole form. `locked` says why nothing can be started; the fields then only show."""
    drawn = Drawn(form, AtHand(models, data, sets))
    return fill(
        '<section class="dq-form" data-fields="{key}" aria-label="New run">{locked}'
        '<fieldset class="dq-plain"{off}>{first}{essentials}{rest}</fieldset>{file}{estimate}{launch}</section>',
        key=form.key,
        locked=fill('<p class="dq-locked" role="status">{why}</p>', why=locked) if locked else "",
        off=Markup(" disabled") if locked else "",
        first=_first(form),
        essentials=drawn.essentials(),
        rest=drawn.stages() if form.stage == "pipeline" else drawn.all_settings(""),
        file=_file(form, locked=bool(locked)),
        estimate=_estimate(form.estimate) if form.estimate else "",
        launch=_launch(form, locked=bool(locked)),
    )


def yaml_file(form: Form) -> Markup:
    """The YAML for the browser to save. Raises InputError at a wrong field."""
    return download(f"{form.name or form.stage}.yaml", "application/yaml", form.yaml_text().encode())


# --- what is trained, how it begins, what it is called ----------------------------------


def _first(form: Form) -> Markup:
    known = {preset.key: preset for preset in presets(form.stage)}
    choices = (
        ("stage", "What to train", {stage: title for stage, (title, _) in STAGES.items()}, form.stage),
        ("preset", "Begin with", {key: preset.title for key, preset in known.items()}, form.preset),
    )
    said = {"stage": Markup.escape(STAGES[form.stage][1]), "preset": _of_preset(form, known[form.preset].sentence)}
    rows = join(
        fill(
            '<div class="dq-option dq-whole" data-key="{e}"><label for="dqf-{e}">{t}</label><select id="dqf-{e}" '
            'data-event="{e}" aria-describedby="dqf-{e}-hint">{o}</select>'
            '<p class="dq-hint" id="dqf-{e}-hint">{s}</p></div>',
            e=event,
            t=title,
            o=_choices(options, now),
            s=said[event],
        )
        for event, title, options, now in choices
    )
    return fill('<div class="dq-fields">{rows}{name}</div>', rows=rows, name=_name(form))


def _of_preset(form: Form, sentence: str) -> Markup:
    """What a preset is for, and what of the form is not its own."""
    kept = sorted({label(name) for name in form.chosen if name in form.fields})
    if not kept:
        return Markup.escape(sentence)
    return fill(
        '{s} <b class="dq-changed">Kept as you chose it: {k}.</b> <button type="button" class="dq-quiet" '
        'data-event="plain">Take the preset alone</button>',
        s=sentence,
        k=", ".join(kept[:KEPT_SHOWN]) + (f" and {len(kept) - KEPT_SHOWN} more" if len(kept) > KEPT_SHOWN else ""),
    )


def _name(form: Form) -> Markup:
    if form.stage == "pipeline":
        said = "Its runs are called NAME-grpo, NAME-sft and NAME-dpo. Left empty, NAME is pipeline."
    else:
        said = "Letters, digits, dots, dashes and underscores. Left empty, it is called by its stage and the time."
    control = _input("name", form.name, wrong="name" in form.errors)
    return _field("name", control, Markup.escape(said), form.errors.get("name"), wide=True)


def _choices(titles: Mapping[str, str], now: str) -> Markup:
    return join(
        fill('<option value="{v}"{on}>{t}</option>', v=value, t=title, on=Markup(" selected") if value == now else "")
        for value, title in titles.items()
    )


# --- one field --------------------------------------------------------------------------


def _field(
    name: str, control: Markup, hint: Markup, error: str | None, *, wide: bool = False, own_label: bool = False
) -> Markup:
    """A control under its label, with the hint and the error that describe it."""
    key = html_id(name)
    labelled = Markup("") if own_label else fill('<label for="dqf-{k}">{t}</label>', k=key, t=label(name))
    return fill(
        '<div class="dq-option{wide}" data-key="{n}"><div class="dq-label">{labelled}{code}</div>{control}'
        '<p class="dq-hint" id="dqf-{k}-hint">{hint}</p>{error}</div>',
        wide=" dq-whole" if wide else "",
        n=name,
        k=key,
        labelled=control if own_label else labelled,
        control="" if own_label else control,
        code=fill("<code>{n}</code>", n=bare(name)) if name != "name" else "",
        hint=hint,
        error=_error(name, error),
    )


def _error(name: str, message: str | None) -> Markup:
    if not message:
        return Markup("")
    return fill('<p class="dq-error" role="alert" id="dqf-{k}-error">{m}</p>', k=html_id(name), m=message)


def _input(name: str, text: str, *, kind: str = "text", wrong: bool = False, of: str = "") -> Markup:
    """A text field of an option; `of` is the option where the field is only a part of it ("model:other")."""
    return fill(
        '<input type="text" id="dqf-{k}" name="{n}" value="{v}" data-event="set" autocomplete="off" spellcheck="false"'
        "{mode}{described}>",
        k=html_id(name),
        n=name,
        v=text,
        mode=Markup(' inputmode="decimal"') if kind == "number" else "",
        described=_described(of or name, wrong),
    )


def _described(name: str, wrong: bool) -> Markup:
    key = html_id(name)
    if not wrong:
        return fill(' aria-describedby="dqf-{k}-hint"', k=key)
    return fill(' aria-invalid="true" aria-describedby="dqf-{k}-error dqf-{k}-hint"', k=key)


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


def _titles(option: Option) -> Mapping[str, str]:
    """What can be chosen for an option, by value; empty where it is typed."""
    own = CHOICES.get(bare(option.name), {})
    if option.name == "stages":
        orders = (order for count in (3, 2, 1) for order in permutations(IN_A_ROW, count))
        return {
            text_of(order): ", then ".join(STAGES[stage][0].partition(":")[0] for stage in order) for order in orders
        }
    if option.is_list:
        return {}
    return {str(value): own.get(str(value), str(value)) for value in option.choices} or own


@dataclass(frozen=True)
class Drawn:
    """The fields of a form."""

    form: Form
    at_hand: AtHand

    def essentials(self) -> Markup:
        return self._grid(name for name in ESSENTIALS[self.form.stage] if not self._is_idle(name))

    def _is_idle(self, name: str) -> bool:
        """Whether nothing is made of an option: named pairs are learned as they are, and no image is asked about."""
        group = name.removesuffix(bare(name))
        return bare(name) in OF_IMAGES and self._pairs(group) != ""

    def _pairs(self, group: str) -> str:
        """The pairs that are named, of a stage of a pipeline or of DPO itself; "" where none are."""
        name = f"{group}preferences"
        return self.form.text(name).strip() if name in shown_options(self.form.stage) else ""

    def stages(self) -> Markup:
        """The options of each stage of a pipeline that is run, in the order of the stages."""
        try:
            order = [stage for stage in split_list(self.form.text("stages")) if stage in IN_A_ROW]
        except InputError:
            order = list(IN_A_ROW)
        return join(map(self._stage, dict.fromkeys(order)))

    def _stage(self, stage: str) -> Markup:
        own = [f"{stage}.{name}" for name in ESSENTIALS[stage] if name != "model"]
        names = [name for name in own if not self._is_idle(name)]
        return self._folded(
            f"stage-{stage}",
            f"Settings of {STAGES[stage][0].partition(':')[0]}",
            join([self._grid(names), self.all_settings(f"{stage}.")]),
            [name for name in self.form.errors if name.startswith(f"{stage}.")],
        )

    def all_settings(self, prefix: str) -> Markup:
        """Everything that is no essential, by section."""
        first = {prefix + name for name in ESSENTIALS[prefix.rstrip(".") or self.form.stage]}
        names = [name for name in shown_options(self.form.stage) if name.startswith(prefix) and name not in first]
        placed = {title: [name for name in names if section(name) == title] for title in SECTIONS}
        parts = [
            self._folded(f"{prefix}{title}", title, self._grid(inside), [n for n in inside if n in self.form.errors])
            for title, inside in placed.items()
            if inside
        ]
        return self._folded(
            f"{prefix}all", "All settings", join(parts), [name for name in names if name in self.form.errors]
        )

    def _folded(self, key: str, title: str, inside: Markup, wrong: Sequence[str]) -> Markup:
        """Closed until it is opened, or until a field in it is wrong."""
        return fill(
            '<details class="dq-fold" data-key="fold-{key}"{open}><summary>{title}{mark}</summary>{inside}</details>',
            key=html_id(key),
            open=Markup(' data-open="yes" open') if wrong else "",
            title=title,
            mark=fill(' <span class="dq-count">{n} to correct</span>', n=len(wrong)) if wrong else "",
            inside=inside,
        )

    def _grid(self, names: Iterable[str]) -> Markup:
        return fill('<div class="dq-fields">{f}</div>', f=join(map(self._option, names)))

    def _option(self, name: str) -> Markup:
        option = shown_options(self.form.stage)[name]
        text, error = self.form.text(name), self.form.errors.get(name)
        if option.kind is bool:
            return _field(name, self._box(name, text, error), self._hint(option), error, own_label=True)
        if bare(name) in SOURCES:
            return self._sources(option, text, error)
        if name == "model":
            return _field(name, self._model(text, error), self._hint(option), error, wide=True)
        titles = _titles(option)
        if titles:
            chosen = self._select(name, titles, text, error)
            return _field(name, chosen, self._hint(option), error, wide=option.is_list)
        is_number = option.item_kind is not str and not option.is_list
        control = _input(name, text, kind="number" if is_number else "text", wrong=bool(error))
        unit = UNITS.get(bare(name))
        if unit:
            control = fill('<div class="dq-entry">{c}<span class="dq-unit">{u}</span></div>', c=control, u=unit)
        return _field(name, control, self._hint(option), error, wide=not is_number)

    def _hint(self, option: Option) -> Markup:
        """The option's help, its limits and default, and the preset's value where that was changed."""
        name, titles = option.name, _titles(option)
        default, preset = text_of(option.default), text_of(value_of(self.form.base, name))
        said = HINTS.get(bare(name)) or sentence(option.help)
        if bare(name) == "preferences":
            said = f"{said} {self._what_happens(name.removesuffix(bare(name)))}"
        if option.is_list and option.choices and not titles:
            said += f" Any of {', '.join(map(str, option.choices))}, with spaces between."
        known = [limits(option)] if limits(option) else []
        if default and len(default) < SHORT and bare(name) not in (*SOURCES, "model"):
            known.append(f"default {_shown(option, default, titles)}")
        changed = ""
        if name in self.form.fields and len(preset) < SHORT:
            changed = fill(' <b class="dq-changed">Changed from {p}.</b>', p=_shown(option, preset, titles))
        return fill("{s}{k}{c}", s=said, k=f" ({', '.join(known)})" if known else "", c=changed)

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

    def _box(self, name: str, text: str, error: str | None) -> Markup:
        return fill(
            '<label class="dq-check"><input type="checkbox" id="dqf-{k}" name="{n}" data-event="set"{on}{d}> '
            "<span>{t}</span></label>",
            k=html_id(name),
            n=name,
            on=Markup(" checked") if text == "true" else "",
            d=_described(name, bool(error)),
            t=label(name),
        )

    def _select(self, name: str, titles: Mapping[str, str], text: str, error: str | None) -> Markup:
        """With the text itself as one more choice where it is none of them: it came from a file, or is wrong."""
        titles = titles if text in titles else {**titles, text: text}
        return fill(
            '<select id="dqf-{k}" name="{n}" data-event="set"{d}>{o}</select>',
            k=html_id(name),
            n=name,
            d=_described(name, bool(error)),
            o=_choices(titles, text),
        )

    def _model(self, text: str, error: str | None) -> Markup:
        of_presets = {getattr(preset.config, "model", "nano") for preset in presets(self.form.stage)} - {"nano"}
        titles = {"nano": NANO, **{run: f"Run {run}" for run in self.at_hand.models}}
        titles |= {model: model for model in sorted(of_presets)}
        other = text not in titles
        chosen = self._select("model", {**titles, OTHER: "Another model"}, OTHER if other else text, error)
        if not other:
            return chosen
        typed = _input("model:other", text, wrong=bool(error), of="model")
        return fill(
            '<div>{c}<label class="dq-sub" for="dqf-model-other">Its name: a run, a folder, or owner/name on the '
            "Hugging Face hub</label>{t}</div>",
            c=chosen,
            t=typed,
        )

    def _sources(self, option: Option, text: str, error: str | None) -> Markup:
        """A box for each source at hand, and a text for others."""
        name, known = option.name, self.at_hand.sources(bare(option.name))
        try:
            items = split_list(text)
            boxes = join(self._source(name, value, title, value in items) for value, title in known.items())
            typed = text_of(tuple(item for item in items if item not in known))
        except InputError:
            boxes, typed = Markup(""), text
        key = html_id(name)
        return fill(
            '<fieldset class="dq-option dq-whole" data-key="{n}"><legend>{t}</legend><code>{code}</code>{boxes}'
            '<label class="dq-sub" for="dqf-{k}">{own}</label>{typed}<p class="dq-hint" id="dqf-{k}-hint">{hint}</p>'
            "{error}</fieldset>",
            n=name,
            k=key,
            t=label(name),
            code=bare(name),
            boxes=boxes,
            own=OWN[bare(name)],
            typed=_input(name, typed, wrong=bool(error)),
            hint=self._hint(option),
            error=_error(name, error),
        )

    def _source(self, name: str, value: str, title: str, is_on: bool) -> Markup:
        return fill(
            '<label class="dq-check" data-key="{n}:{v}"><input type="checkbox" id="dqf-{k}" name="{n}:{v}" '
            'data-event="set"{on}> <span>{t}</span></label>',
            k=html_id(f"{name}:{value}"),
            n=name,
            v=value,
            t=title,
            on=Markup(" checked") if is_on else "",
        )


def _shown(option: Option, text: str, titles: Mapping[str, str]) -> str:
    if option.kind is bool:
        return "on" if text == "true" else "off"
    return titles.get(text, text) or "empty"


# --- the file and the command -----------------------------------------------------------


def _file(form: Form, *, locked: bool) -> Markup:
    try:
        text, command = form.yaml_text(), form.command()
    except InputError:
        text, command = "", ""
    error, runs_as_shown = form.errors.get("yaml"), bool(text) and form.yaml is None
    return fill(
        '<details class="dq-fold" data-key="fold-file"{open}><summary>The file that will run</summary>'
        '<p class="dq-hint" id="dqf-yaml-hint">{said}</p>'
        '<label class="dq-sr" for="dqf-yaml">The options as YAML</label><textarea id="dqf-yaml" name="yaml" rows="14" '
        'data-event="yaml" spellcheck="false" autocomplete="off" wrap="off"{off}{described}>\n{text}</textarea>{error}'
        '<p class="dq-go">{save}<label class="dq-pick">Load a file<input type="file" data-event="yaml" '
        'accept=".yaml,.yml,text/plain"{off}></label>{back}</p>{command}</details>',
        open=Markup(' data-open="yes" open') if error else "",
        said="Every option of the run, as the command line takes it. You can edit it here, save it, or load another: "
        "the fields above follow."
        if text
        else "The file and the command appear once the marked fields are right.",
        off=Markup(" disabled") if locked else "",
        described=_described("yaml", bool(error)),
        text=form.yaml if form.yaml is not None else text,
        error=_error("yaml", error),
        save=Markup('<button type="button" class="dq-button" data-event="saveyaml">Save as a file</button>')
        if runs_as_shown
        else "",
        back=_way_back(text) if error and text else "",
        command=_command(command) if runs_as_shown else "",
    )


def _way_back(text: str) -> Markup:
    return fill(
        '<button type="button" class="dq-button" data-event="yaml" data-text="{t}">Discard this text</button>', t=text
    )


def _command(command: str) -> Markup:
    words = join(
        (fill('<span class="dq-keep">{w}</span>' if w.startswith("-") else "{w}", w=w) for w in command.split(" ")), " "
    )
    return fill(
        '<h3>The same from a terminal</h3><pre class="dq-command" tabindex="0" role="region" '
        'aria-label="The command">{w}</pre><p class="dq-go"><button type="button" class="dq-quiet" data-copy="{c}">'
        "Copy</button></p>",
        w=words,
        c=command,
    )


# --- the estimate and the start ---------------------------------------------------------


def _launch(form: Form, *, locked: bool) -> Markup:
    """What stays in sight while the form is scrolled: Start, what came of it, and the estimate in short."""
    return fill(
        '<div class="dq-launch" data-key="launch"><div role="status">{marked}{said}{doing}</div>{note}{again}'
        '{bar}<p class="dq-go">{buttons}</p>{short}</div>',
        marked=_marked(form),
        said=fill('<p class="dq-fine">{s}</p>', s=form.said) if form.said else "",
        doing=fill('<p class="dq-doing">{d}</p>', d=form.doing) if form.doing else "",
        note=fill('<p class="dq-error" role="alert">{n}</p>', n=form.note) if form.note else "",
        again=_again() if form.asked_again else "",
        bar=_bar(form) if form.doing else "",
        buttons=_buttons(form, locked=locked),
        short=_in_short(form.estimate) if form.estimate else "",
    )


def _bar(form: Form) -> Markup:
    return fill(
        '<progress value="{d}" max="100" aria-label="Estimate and check of the run"></progress>',
        d=round(100 * form.share),
    )


def _buttons(form: Form, *, locked: bool) -> Markup:
    if form.doing:
        return Markup('<button type="button" class="dq-button" data-key="cancel" data-event="cancel">Cancel</button>')
    off = Markup(" disabled") if locked else ""
    start = fill('<button type="button" class="dq-button dq-primary" data-event="start"{o}>Start</button>', o=off)
    estimate = fill('<button type="button" class="dq-button" data-event="estimate"{o}>Estimate</button>', o=off)
    return join(["" if form.asked_again else start, estimate])


def _in_short(found: Estimate) -> Markup:
    """Memory and time in one line; the whole estimate stands above."""
    time = f", {time_of(found).lower()}" if found.seconds is not None else ""
    return fill(
        '<p class="dq-fine">{m} of {f} free{t}.</p>',
        m=capital(f"about {memory(found.total)}"),
        f=memory(found.free),
        t=time,
    )


def _marked(form: Form) -> Markup:
    """Which fields are to be corrected, each a way to it."""
    if not form.errors:
        return Markup("")
    ways = join(
        (fill('<a href="#dqf-{k}">{t}</a>', k=html_id(name), t=_called(name)) for name in form.errors), separator=", "
    )
    return fill('<p class="dq-marked">To correct before it can start: {w}.</p>', w=ways)


def _called(name: str) -> str:
    stage = name.partition(".")[0]
    return f"{label(name)} ({STAGES[stage][0].partition(':')[0]})" if stage in KINDS else label(name)


def _again() -> Markup:
    return Markup(
        '<div class="dq-again" role="alert"><p>The run needs clearly more memory than is free, and would probably end '
        "with an error. Better change what is named above. Starting it anyway turns off check_memory, which would end "
        "it at once.</p>"
        '<p class="dq-go"><button type="button" class="dq-button" data-event="startanyway">Start anyway</button></p>'
        "</div>"
    )


def _estimate(found: Estimate) -> Markup:
    place = "the CPU" if found.device == "cpu" else f"the GPU ({found.device})"
    needs = f"About {memory(found.total)} of memory at the peak; {memory(found.free)} are free on {place}."
    lower = join(fill("<li>{s}</li>", s=sentence) for sentence in (*found.lower, *found.notes))
    time = f"{time_of(found)}: {found.why}" if found.seconds is not None else found.why
    return fill(
        '<div class="dq-estimate dq-{level}" role="status"><p><b>{word}</b> {needs}</p>{lower}{time}'
        '<details class="dq-fold" data-key="fold-parts"><summary>What takes the memory</summary>'
        '<table><thead><tr><th scope="col">Part</th><th scope="col">Memory</th><th scope="col">Why</th></tr></thead>'
        "<tbody>{parts}</tbody></table></details></div>",
        level=found.level,
        word=WORDS[found.level],
        needs=needs,
        lower=fill("<ul>{l}</ul>", l=lower) if lower else "",
        time=fill("<p>{t}</p>", t=time) if time else "",
        parts=join(
            fill(
                '<tr><th scope="row">{n}</th><td class="dq-num">{b}</td><td>{w}{when}</td></tr>',
                n=capital(part.name),
                b=memory(part.bytes),
                w=capital(part.why),
                when="" if part.when == "always" else f" ({part.when})",
            )
            for part in found.parts
        ),
    )


def time_of(found: Estimate) -> str:
    """ "About 12 min (6 min to 24 min)"."""
    if found.low is None or found.high is None or found.seconds is None:
        return f"About {duration(found.seconds or 0)}"
    low, high = duration(found.low), duration(found.high)
    return f"About {duration(found.seconds)}" + (f" ({low} to {high})" if low != high else "")


def memory(count: int) -> str:
    """Bytes with the digits that an estimate deserves: "4.5 GB", "700 MB"."""
    return f"{count / 1e9:.1f}{THIN}GB" if count >= 1e9 else f"{count / 1e6:.0f}{THIN}MB"
