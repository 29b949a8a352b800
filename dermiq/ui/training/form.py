"""The form that starts a run: what was typed, what is wrong with it, and the options, file and command it stands for.

    form = Form.of("grpo")                          # the first preset
    form = form.given({"learning_rate": "2e-5"})    # as the browser sends it; what is wrong is in form.errors
    form = form.check()                             # whatever the stage itself would refuse: data, device, model
    config = form.config()                          # what `train.runs.registry.start` takes

A form is a value: each method gives a new one. Knows no gradio and no HTML (`form_shown` says what is shown of it).
"""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache, reduce
from pathlib import Path
from typing import Any

import yaml

from dermiq.data_sets import DATA_SETS
from dermiq.errors import DermIQError, InputError
from dermiq.ui.training.labels import HIDDEN, bare, label
from train import options
from train.config import StageConfig
from train.dpo import DPOConfig
from train.grpo import GRPOConfig
from train.options import Option, options_of
from train.pipeline import PipelineConfig
from train.runs import registry as runs
from train.runs.estimate import REFUSED, WARNED, Part
from train.sft import SFTConfig

log = logging.getLogger(__name__)

Config = StageConfig | PipelineConfig
KINDS: Mapping[str, Any] = {"sft": SFTConfig, "grpo": GRPOConfig, "dpo": DPOConfig, "pipeline": PipelineConfig}
CONFIGS = Path(options.__file__).resolve().parent / "configs"
TITLES = {
    "embedded_cpu": "Short try without a GPU",
    "pipeline_embedded_cpu": "DermIQ-Nano without a GPU",
    "embedded_gpu": "DermIQ-Nano on a GPU",
    "qwen25vl_3b_4bit_24gb": "Qwen2.5-VL-3B on a GPU of 24 GB",
}
DEFAULTS = "defaults"
MAX_TEXT, MAX_YAML = 1000, 50_000  # characters
SHOWN = 60  # characters of a wrong value that its sentence repeats
WHAT = ("model", "data", "preferences", "val", "data_folder")
"""What is trained and on what: kept, once chosen, when another stage is."""
TEXTUAL = ("model", "data", "val", "preferences", "data_folder", "rewards.expert_model")
"""Options that a sentence may name by their value: "mine.csv does not exist"."""


# --- presets ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Preset:
    key: str
    title: str
    sentence: str
    config: Config


@cache
def presets(stage: str) -> tuple[Preset, ...]:
    """Those of `train/configs`, what runs anywhere first, then the defaults. KeyError for an unknown stage."""
    kind = KINDS[stage]
    made = []
    for path in sorted(CONFIGS.glob(f"{stage}_*.yaml")):
        key = path.stem.removeprefix(f"{stage}_")
        sentence = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()
        title = TITLES.get(path.stem) or TITLES.get(key, key)
        made.append(Preset(key, title, sentence, options.make(kind, options.read_yaml(path))))
    sentence = "What an option is where nothing else is said: the whole data, one pass."
    return (*made, Preset(DEFAULTS, "Defaults", sentence, kind()))


# --- texts and values -------------------------------------------------------------------


@cache
def shown_options(stage: str) -> Mapping[str, Option]:
    """Those that the form has, by name. The stages of a pipeline have no model of their own: it trains one."""
    found = {option.name: option for option in options_of(KINDS[stage]) if bare(option.name) not in HIDDEN}
    return {name: option for name, option in found.items() if stage != "pipeline" or not name.endswith(".model")}


def value_of(config: Config, name: str) -> Any:
    return reduce(getattr, name.split("."), config)


def text_of(value: Any) -> str:
    """As a field shows it: 1e-5, 0.05, true, "" for none, a list with spaces between."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        exact = Decimal(repr(value)).normalize()
        return f"{exact:e}" if value and not 1e-3 <= abs(value) < 1e9 else f"{exact:f}"
    if isinstance(value, tuple):
        return " ".join(_quoted(text_of(item)) for item in value)
    return "" if value is None else str(value)


def _quoted(item: str) -> str:
    """One item of a list, which may hold spaces."""
    return item if item and not re.search(r"[\s\"']", item) else '"' + item.replace('"', '"\'"\'"') + '"'


def split_list(text: str) -> tuple[str, ...]:
    """The items of a text, in quotation marks where they hold spaces. Raises InputError for one that is not closed."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.escape, lexer.commenters = True, "", ""
    try:
        return tuple(lexer)
    except ValueError as error:
        raise InputError("A quotation mark is not closed.") from error


def _value(option: Option, text: str) -> Any:
    """What was typed as the option's kind. Raises InputError with a sentence for the field."""
    text = text.strip()
    title = label(option.name)
    if len(text) > MAX_TEXT:
        raise InputError(f"{title} is too long: {len(text):,} characters, and at most {MAX_TEXT:,} are read.")
    try:
        return options.converted(option, _typed(option, text))
    except InputError as error:
        raise InputError(_at_field(str(error), option.name, text)) from error


def _typed(option: Option, text: str) -> Any:
    if option.is_list:
        return split_list(text)
    if option.item_kind is bool:
        return {"true": True, "false": False}.get(text, text)
    return None if option.optional and not text else text


def _at_field(message: str, name: str, text: str) -> str:
    """A sentence about an option as its field shows it: with the option's label, and without a long value."""
    if message.startswith(name):
        message = label(name) + message.removeprefix(name)
    message = message.replace("is ''", "is empty")
    for item in {text, *_items(text)}:
        short = item if len(item) <= SHOWN else f"{item[:SHOWN]}…"
        message = message.replace(repr(item), f"“{short}”").replace(item, short) if item else message
    comma = re.fullmatch(r"[+-]?\d+,\d+", text)
    return f"{message} Write decimals with a point: {text.replace(',', '.')}." if comma else message


# --- the estimate -----------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to take. Made by whoever computes it; the form only shows it."""

    parts: tuple[Part, ...]  # with their reasons
    total: int  # bytes at the peak
    free: int  # bytes
    device: str  # "cpu", "cuda:0"
    seconds: float | None = None  # None: not known
    why: str = ""  # what the seconds rest on, one sentence
    lower: tuple[str, ...] = ()  # sentences: what to lower, where memory is short
    notes: tuple[str, ...] = ()  # sentences: what will not work out, how much of the data is learned, what was left out
    low: float | None = None  # seconds, where the machine is left to the run
    high: float | None = None  # seconds, where it gets busier

    @property
    def level(self) -> str:
        """green, amber or red, by the limits at which a run warns and refuses."""
        return "red" if self.total > REFUSED * self.free else "amber" if self.total > WARNED * self.free else "green"

    @property
    def is_red(self) -> bool:
        return self.level == "red"


# --- the form ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    stage: str
    preset: str
    name: str = ""  # of the run; empty: the stage and the time
    fields: Mapping[str, str] = field(default_factory=dict)  # as typed, where it differs from the preset
    errors: Mapping[str, str] = field(default_factory=dict)  # by option, or "name" or "yaml": a sentence
    yaml: str | None = None  # a text that could not be read, kept
    chosen: frozenset[str] = frozenset()  # options that the visitor set: no preset changes them
    note: str = ""  # a sentence beside Start: why nothing was started
    said: str = ""  # a sentence beside Start, where nothing is wrong
    estimate: Estimate | None = None
    doing: str = ""  # what is being computed for it, a sentence
    share: float = 0.0  # of that computing, what is done: 0 to 1
    asked_again: bool = False  # Start was pressed against a red estimate

    @classmethod
    def of(cls, stage: str, preset: str = "", *, name: str = "") -> Form:
        """As a preset says; the first one where there is none of this key, or the first stage."""
        stage = stage if stage in KINDS else next(iter(KINDS))
        keys = [made.key for made in presets(stage)]
        return cls(stage, preset if preset in keys else keys[0], name)

    @classmethod
    def of_options(cls, stage: str, values: Mapping[str, Any], *, name: str = "") -> Form:
        """As a run was made: `values` are its options. Raises InputError where they no longer fit."""
        config = options.make(KINDS[stage], values)
        return cls.of(stage, DEFAULTS, name=name)._with_config(config)

    @property
    def base(self) -> Config:
        """What the preset says."""
        return next(made.config for made in presets(self.stage) if made.key == self.preset)

    @property
    def key(self) -> str:
        """Which fields these are: what was typed into those of another preset is not meant for these."""
        return f"{self.stage}/{self.preset}"

    @property
    def is_right(self) -> bool:
        return not self.errors and not self.note

    def text(self, name: str) -> str:
        """What the field of an option shows."""
        return self.fields.get(name, text_of(value_of(self.base, name)))

    # --- what the visitor does ---

    def with_preset(self, preset: str) -> Form:
        """Another preset for what was not chosen; what was, stays as it is."""
        return self._moved(Form.of(self.stage, preset, name=self.name), self.chosen)

    def with_stage(self, stage: str) -> Form:
        """Another stage, with the same model and data where they were chosen."""
        return self._moved(Form.of(stage, name=self.name), {name for name in self.chosen if bare(name) in WHAT})

    def _moved(self, to: Form, names: Collection[str]) -> Form:
        """`to` with the texts of these options, where it has them; those of a pipeline's stages go by the same name."""
        texts = {bare(name): self.text(name) for name in sorted(names)}
        kept = {name: texts[bare(name)] for name in shown_options(to.stage) if bare(name) in texts}
        if to.stage == self.stage:
            kept = {name: self.text(name) for name in names}
        fields = {name: text for name, text in kept.items() if text != text_of(value_of(to.base, name))}
        return replace(to, fields=fields, chosen=frozenset(kept))._whole()._judged()

    def _whole(self) -> Form:
        """Pairs that were chosen are all learned, once, unless steps were chosen. Without pairs it is as before."""
        if self.stage != "dpo" or "preferences" not in self.chosen:
            return self
        free = [name for name in ("steps", "images") if name not in self.chosen]
        others = {name: text for name, text in self.fields.items() if name not in free}
        if self.text("preferences").strip():
            others |= {name: "0" for name in free if text_of(value_of(self.base, name)) != "0"}
        return replace(self, fields=others)

    def given(self, fields: Mapping[str, str]) -> Form:
        """With every field as the browser has it, by name; "=" is `key`, and "stage" and "preset" are chosen, too. What
        is meant for another preset changes nothing; unknown names are left out.
        """
        if fields.get("=", self.key) != self.key:
            return self
        form = self._with_texts(fields)
        if fields.get("stage", self.stage) != self.stage:
            return form.with_stage(fields["stage"])
        return form if fields.get("preset", self.preset) == self.preset else form.with_preset(fields["preset"])

    def _with_texts(self, sent: Mapping[str, str]) -> Form:
        given = {name: sent[name] for name in shown_options(self.stage) if name in sent}
        typed = dict(self.fields) | given
        kept = {name: text for name, text in typed.items() if text != text_of(value_of(self.base, name))}
        name = sent.get("name", self.name).strip()[: MAX_TEXT + 1]
        if kept == self.fields and name == self.name:
            return self  # a message that came late, after the check that a click on Start began
        changed = kept != self.fields
        chosen = {option for option, text in given.items() if text != self.text(option)}
        made = replace(
            self,
            name=name,
            fields=kept,
            chosen=self.chosen | chosen,
            yaml=None if changed else self.yaml,
            note="",
            said="",
            estimate=None if changed else self.estimate,
            asked_again=False,
        )
        return (made._whole() if "preferences" in chosen else made)._judged()

    def read_yaml(self, text: str) -> Form:
        """With the options of a YAML text, those that it leaves out at their defaults; or the text with what is wrong.

        A text is read as the file that `--config` names, so the preset adds nothing to it.
        """
        text = text.replace("\r\n", "\n")
        kind = KINDS[self.stage]
        try:
            if len(text) > MAX_YAML:
                raise InputError(f"The file is larger than {MAX_YAML // 1000} kB: these are no options of a run.")
            values = _parsed(text)
            config = options.make(kind, values)
            _refuse_upload(config, self.stage)
        except InputError as error:
            where = _line_of(text, _unknown(str(error)) or _named(str(error), dict.fromkeys(_all_names(kind), "")))
            message = f"Line {where}: {error}" if where else str(error)
            return replace(self, yaml=text[:MAX_YAML], errors={**self.errors, "yaml": message}, note="", estimate=None)
        return self._with_config(config)

    def _with_config(self, config: Config) -> Form:
        texts = {name: text_of(value_of(config, name)) for name in shown_options(self.stage)}
        kept = {name: text for name, text in texts.items() if text != text_of(value_of(self.base, name))}
        plain = KINDS[self.stage]()
        chosen = frozenset(name for name, text in texts.items() if text != text_of(value_of(plain, name)))
        bare_form = replace(self, errors={}, yaml=None, note="", said="", estimate=None, asked_again=False)
        return replace(bare_form, fields=kept, chosen=chosen)._judged()

    # --- what it stands for ---

    def config(self) -> Config:
        """Raises InputError for what is wrong with any field."""
        given = {name: value_of(self.base, name) for name in shown_options(self.stage)}
        known = shown_options(self.stage)
        given |= {name: _value(known[name], text) for name, text in self.fields.items()}
        config: Config = options.from_flags(KINDS[self.stage], given)
        return config

    def unchecked(self) -> Form:
        """The same without the check that would end a run at once for which too little memory is free."""
        checks = [name for name in shown_options(self.stage) if bare(name) == "check_memory"]
        return self.given(dict.fromkeys(checks, "false"))

    def yaml_text(self) -> str:
        """The file that `--config` takes. Raises InputError where a field is wrong."""
        return options.to_yaml(self.config())

    def command(self) -> str:
        """What does the same from a terminal: a flag for each option that is not at its default. Raises InputError."""
        config, plain = self.config(), KINDS[self.stage]()
        words = ["python", "-m", f"train.{self.stage}", *(["--name", self.name] if self.name else [])]
        for name, option in shown_options(self.stage).items():
            value = value_of(config, name)
            if value != value_of(plain, name):
                words += _flag(option, value)
        return shlex.join(words)

    # --- what is wrong with it ---

    def _judged(self) -> Form:
        """With the errors that can be seen at once: of each field by itself, then of them together."""
        errors = {"yaml": self.errors["yaml"]} if self.yaml is not None else {}
        known = shown_options(self.stage)
        for name, text in self.fields.items():
            try:
                _value(known[name], text)
            except InputError as error:
                errors[name] = str(error)
        try:
            if self.name:
                runs.check_name(self.name)
        except InputError as error:
            errors["name"] = _at_field(str(error), "name", self.name)
        made = replace(self, errors=errors)
        try:
            if not set(errors) - {"name", "yaml"}:
                made.config()
        except InputError as error:
            return made.refused(error)
        return made

    def check(self) -> Form:
        """With what the stage itself refuses: it looks for the model, reads the tables of the data, asks for the
        device. A second or so; with data of the hub it loads them.
        """
        made = replace(self, note="", said="", asked_again=False)._judged()
        if made.errors:
            return made
        try:
            made.config().check()
        except DermIQError as error:
            return made.refused(error)
        except OSError as error:
            reason = InputError(f"{error.filename or 'A file'} cannot be read: {error.strerror or error}.")
            return made.refused(reason)
        except Exception as error:  # a table or a file that no check foresaw must not end the page
            log.exception("the form could not be checked")
            return made.refused(InputError(f"The check failed ({type(error).__name__}: {error})."))
        return made

    def refused(self, error: DermIQError) -> Form:
        """With a sentence at the field that it names, or above Start where it names none."""
        message = str(error)
        if self.name and repr(self.name) in message:
            return replace(self, errors={**self.errors, "name": message})
        name = _named(message, {name: self.text(name) for name in shown_options(self.stage)})
        if name is None:
            return replace(self, note=_shortened(message))
        own = re.sub(r"^[a-z_.]+: ", "", message) if "." in name else message
        return replace(self, errors={**self.errors, name: _shortened(_at_field(own, bare(name), self.text(name)))})


def _shortened(message: str) -> str:
    """A sentence that repeats a long value keeps its beginning and its end."""
    return message if len(message) <= 400 else f"{message[:200]} … {message[-190:]}"


def _flag(option: Option, value: Any) -> list[str]:
    if option.kind is bool:
        return [option.flag if value else f"--no-{option.flag.removeprefix('--')}"]
    if option.is_list:
        return [option.flag, *(_word(item) for item in value)]
    word = _word(value)
    return [f"{option.flag}={word}"] if word.startswith("-") else [option.flag, word]


def _word(value: Any) -> str:
    return text_of(value) if isinstance(value, float) else str(value)


# --- reading a file ---------------------------------------------------------------------


def _parsed(text: str) -> dict[str, Any]:
    """Raises InputError for what is no YAML, or refers to itself, which would grow without end where it is shown."""
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise InputError("The text refers to a part of itself (*name), which options do not need.")
    except yaml.YAMLError:
        pass  # said better below
    return options.parse_yaml(text, "The text")


def _refuse_upload(config: Config, stage: str) -> None:
    for name in (option.name for option in options_of(KINDS[stage]) if bare(option.name) in HIDDEN):
        if value_of(config, name):
            raise InputError(f"{name} is set, but nothing is sent to the hub from here: leave it out.")


def _unknown(message: str) -> str | None:
    """The name that `options.make` did not know."""
    found = re.match("There is no option '([^']+)'", message)
    return found[1] if found else None


def _all_names(kind: Any) -> list[str]:
    """Of options and of their groups."""
    names = [option.name for option in options_of(kind)]
    return [*names, *{name.rpartition(".")[0] for name in names if "." in name}]


def _line_of(text: str, name: str | None) -> int | None:
    """The line (from 1) at which an option stands, a dotted one below its group."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader) if name else None
    except (yaml.YAMLError, RecursionError):
        return None
    line = None
    for part in (name or "").split("."):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        key, node = next(((key, value) for key, value in pairs if key.value == part), (None, None))
        if key is None:
            return line
        line = key.start_mark.line + 1
    return line


# --- which field a sentence is about ----------------------------------------------------


def _named(message: str, texts: Mapping[str, str]) -> str | None:
    """The option that a sentence is about: the one whose value it repeats, or whose name it says. `texts` by option.

    "grpo: ..." is about an option of the group "grpo". A name that is an ordinary word, too ("images"), counts less
    than one at the start of a clause, or one that is no word ("lora_rank").
    """
    group, _, rest = message.partition(": ")
    if not any(name.startswith(f"{group}.") for name in texts):
        return _said(message, texts)
    inner = {name.removeprefix(f"{group}."): text for name, text in texts.items() if name.startswith(f"{group}.")}
    found = _named(rest, inner)
    return f"{group}.{found}" if found else _said(rest, texts)


def _said(message: str, texts: Mapping[str, str]) -> str | None:
    told = [(name, item) for name in TEXTUAL if name in texts for item in _items(texts[name])]
    values = [(message.find(item), name) for name, item in told if len(item) > 2 and item not in ("nano", *DATA_SETS)]
    if found := sorted((at, name) for at, name in values if at >= 0):
        return found[0][1]
    words = [(m.start(), m[0].rstrip(".")) for m in re.finditer(r"[A-Za-z_][\w.]*", message)]
    known = [(at, word) for at, word in words if word in texts]
    telling = [word for at, word in known if at == 0 or re.search("[_.]", word) or message[:at].endswith(": ")]
    return next(iter([*telling, *(word for _, word in known)]), None)


def _items(text: str) -> Sequence[str]:
    """A field's text, and what it is where it is a list."""
    try:
        return [text.strip(), *split_list(text)]
    except InputError:
        return [text.strip()]
