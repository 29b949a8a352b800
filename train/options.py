"""One dataclass of options a command: its flags, its YAML file and its checks are generated from it.

    @dataclass(frozen=True)
    class Options:
        learning_rate: float = option(1e-4, "of the optimizer", above=0)
        steps: int = 60  # optimizer steps; the comment is the flag's help where there is no `option`

    config = load(Options, ["--config", "run.yaml", "--learning-rate", "2e-4"])   # flags over file over defaults

A field may be a dataclass itself: `rewards.correctness` is then the flag `--rewards.correctness` and the key
`correctness` below `rewards` in YAML. Whatever is wrong is one sentence that names the option. Knows no trainer.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import yaml

from dermiq.errors import InputError
from dermiq.types import Fields, Json

T = TypeVar("T")
Hint = Any  # a type as `get_type_hints` gives it, and whatever else stands in an annotation
LARGEST = 10**9  # of any number: a larger one is a slip, and overflows where steps, tokens or seeds are counted
_COMMENT = re.compile(r"^    (\w+): [^#\n]*#\s*(.+)$", re.MULTILINE)


def option(
    default: object,
    help: str,
    *,
    choices: Sequence[object] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
) -> Any:
    """A dataclass field with what its flag says and what its value must be."""
    limits = {"minimum": minimum, "maximum": maximum, "above": above}
    return field(default=default, metadata={"help": help, "choices": tuple(choices), **limits})


@dataclass(frozen=True)
class Option:
    """One value that can be set, as seen from outside."""

    name: str  # "learning_rate", or "rewards.correctness"
    kind: Hint  # bool, int, float, str, or tuple[...] of one of them
    optional: bool  # may be None
    default: object
    help: str
    choices: tuple[object, ...]
    limits: Mapping[str, float | None]

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def item_kind(self) -> Hint:
        """Of a list's items, else the kind itself."""
        return get_args(self.kind)[0] if self.is_list else self.kind

    @property
    def is_list(self) -> bool:
        return _form_of(self.kind) is tuple


@cache
def options_of(kind: Hint) -> tuple[Option, ...]:
    """All options of a dataclass, those of dataclasses inside it under dotted names."""
    hints, comments = get_type_hints(kind), _comments(kind)
    return tuple(option for f in fields(kind) for option in _options_of_field(f, hints[f.name], comments))


def _options_of_field(f: Field[object], hint: Hint, comments: Mapping[str, str]) -> Iterator[Option]:
    if is_dataclass(hint):
        for inner in options_of(typing.cast(type, hint)):
            yield Option(**{**vars(inner), "name": f"{f.name}.{inner.name}"})
        return
    inner_hint, optional = _without_none(hint)
    choices = tuple(f.metadata.get("choices", ()))
    if _form_of(inner_hint) is typing.Literal:
        choices, inner_hint = get_args(inner_hint), str
    yield Option(
        name=f.name,
        kind=inner_hint,
        optional=optional,
        default=f.default_factory() if f.default_factory is not MISSING else f.default,
        help=f.metadata.get("help") or comments.get(f.name, ""),
        choices=choices,
        limits={name: f.metadata.get(name) for name in ("minimum", "maximum", "above")},
    )


def _form_of(hint: Hint) -> object:
    """What a hint is written with: `tuple`, `typing.Literal`, a union; None for a plain type."""
    return get_origin(hint)


def _without_none(hint: Hint) -> tuple[Hint, bool]:
    if _form_of(hint) not in (typing.Union, types.UnionType):
        return hint, False
    rest = [part for part in get_args(hint) if part is not type(None)]
    assert len(rest) == 1, f"an option has one kind of value, not {hint}"
    return rest[0], True


def _comments(kind: type) -> dict[str, str]:
    """The comment behind each field, of the class and of those it inherits from."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if is_dataclass(owner):
            found.update(_COMMENT.findall(inspect.getsource(owner)))
    return found


# --- values -----------------------------------------------------------------------------


def make(kind: type[T], values: Mapping[str, object]) -> T:
    """The dataclass of nested `values`, as YAML and JSON give them. Raises InputError for the first that is wrong."""
    return _build(kind, _flat(kind, values), "")


def _build(kind: type[T], flat: Mapping[str, object], prefix: str) -> T:
    given: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for f in fields(typing.cast(Hint, kind)):
        name = prefix + f.name
        if is_dataclass(hints[f.name]):
            given[f.name] = _build(typing.cast(type, hints[f.name]), flat, name + ".")
        elif name in flat:
            given[f.name] = flat[name]
    try:
        return kind(**given)
    except ValueError as error:  # a dataclass that checks itself, and knows nothing of this module
        raise InputError(f"{prefix.rstrip('.')}: {error}".removeprefix(": ")) from error


def _flat(kind: type, values: Mapping[str, object]) -> Json:
    known = {option.name: option for option in options_of(typing.cast(Hint, kind))}
    groups = {name.rsplit(".", 1)[0] for name in known if "." in name}
    flat: Json = {}
    for name, value in _walk(values, groups, ""):
        if name not in known:
            raise InputError(f"There is no option {name!r}{_nearest(name, known)}")
        flat[name] = converted(known[name], value)
    return flat


def _walk(values: Mapping[str, object], groups: set[str], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name in groups:
            if not isinstance(value, Mapping):
                raise InputError(f"{name} is {value!r}; it must be a list of options, one a line below it.")
            yield from _walk(value, groups, name + ".")
        else:
            yield name, value


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else "."


def converted(option: Option, value: object) -> object:
    """`value` as the option's kind, checked. Raises InputError."""
    if value is None and option.optional:
        return None
    if option.is_list:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise InputError(f"{option.name} is {value!r}; it must be a list.")
        return tuple(_single(option, item) for item in items)
    return _single(option, value)


def _single(option: Option, value: object) -> Any:
    made = _typed(option, value)
    if option.choices and made not in option.choices:
        raise InputError(f"{option.name} is {value!r}; it must be one of {', '.join(map(str, option.choices))}.")
    limits = option.limits
    wrong: tuple[tuple[float | None, Callable[[float], bool], str], ...] = (
        (limits["minimum"], lambda limit: made < limit, "at least"),
        (limits["above"], lambda limit: made <= limit, "more than"),
        (limits["maximum"], lambda limit: made > limit, "at most"),
    )
    for limit, breaks, words in wrong:
        if limit is not None and breaks(limit):
            raise InputError(f"{option.name} is {value}; it must be {words} {limit:g}.")
    if option.item_kind in (int, float) and made > LARGEST:
        raise InputError(f"{option.name} is {value}; it must be at most {LARGEST:,}.")
    return made


def _typed(option: Option, value: object) -> Any:
    kind = option.item_kind
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise InputError(f"{option.name} is {value!r}; it must be true or false.")
    if kind is str:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)
        raise InputError(f"{option.name} is {value!r}; it must be a text.")
    words = {int: "a whole number", float: "a number"}[kind]
    try:
        if isinstance(value, bool) or (kind is int and isinstance(value, float) and value != int(value)):
            raise ValueError
        made = kind(value)  # YAML reads 1e-4 as a text
        if not math.isfinite(made):
            raise ValueError
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{option.name} is {value!r}; it must be {words}.") from error
    return made


def as_dict(config: Hint) -> Json:
    """Nested plain values, as `make` takes them."""
    made: Json = {}
    for f in fields(config):
        value = getattr(config, f.name)
        made[f.name] = as_dict(value) if is_dataclass(value) else list(value) if isinstance(value, tuple) else value
    return made


# --- YAML -------------------------------------------------------------------------------


def read_yaml(path: Path) -> Json:
    """The values of a YAML file, unchecked. Raises InputError where it is missing or no mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text.") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, called: str) -> Json:
    """The values of a YAML text, unchecked. Raises InputError, which calls the text `called`."""
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date without such a day, brackets without end
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InputError(f"{called} is not valid YAML{where}.", detail=str(error)) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{called} must hold one `option: value` a line.")
    return {str(key): value for key, value in values.items()}


def to_yaml(config: object) -> str:
    """Every option with its value and, behind it, its help: a file that `load` takes."""
    helps = {option.name: option.help for option in options_of(typing.cast(Hint, type(config)))}
    return "".join(_yaml_lines(as_dict(config), helps, ""))


def _yaml_lines(values: Mapping[str, object], helps: Mapping[str, str], prefix: str) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:\n"
            yield from _yaml_lines(value, helps, f"{prefix}{key}.")
            continue
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").rstrip("\n")
        comment = f"  # {helps[prefix + key]}" if helps[prefix + key] else ""
        yield f"{indent}{key}: {text}{comment}\n"


# --- flags ------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Says what is wrong as an InputError, so that a caller decides how it is shown."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}. See --help.")


def parser(kind: type, *, prog: str, description: str) -> Parser:
    """One flag an option, and `--config FILE`. A flag that is not given is absent from the result."""
    made = Parser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument("--config", type=Path, metavar="FILE", help="options from a YAML file; flags win over it")
    for option in options_of(typing.cast(Hint, kind)):
        text = option.help.replace("%", "%%")
        if option.kind is bool:
            told = f"{text} (default: {'yes' if option.default else 'no'})"
            made.add_argument(option.flag, dest=option.name, action=argparse.BooleanOptionalAction, help=told)
            continue
        told = text if option.default in ("", None, ()) else f"{text} (default: {_shown(option.default)})"
        metavar = "{" + ",".join(map(str, option.choices)) + "}" if option.choices else _word(option)
        made.add_argument(
            option.flag, dest=option.name, nargs="*" if option.is_list else None, metavar=metavar, help=told
        )
    return made


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _word(option: Option) -> str:
    return {int: "N", float: "X", str: "TEXT"}[option.item_kind]


def load(kind: type[T], argv: Sequence[str], *, prog: str = "train", description: str = "") -> T:
    """Flags over the YAML file over the defaults. Raises InputError."""
    given = vars(parser(kind, prog=prog, description=description).parse_args(list(argv)))
    return from_flags(kind, given)


def from_flags(kind: type[T], given: Fields) -> T:
    """From what `parser` parsed; other keys must have been taken out."""
    given = dict(given)
    file = given.pop("config", None)
    flat = _flat(kind, read_yaml(file)) if file else {}
    known = {option.name: option for option in options_of(typing.cast(Hint, kind))}
    flat |= {name: converted(known[name], value) for name, value in given.items()}
    return _build(kind, flat, "")
