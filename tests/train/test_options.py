"""Options: flags, YAML and the dataclass say the same, and what is wrong is one sentence that names it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import InputError
from train.options import as_dict, load, make, option, parser, to_yaml


@dataclass(frozen=True)
class Parts:
    weight: float = 1.0  # of the first part
    other: float = 0.5  # of the second

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"The weight is {self.weight}; it must be 0 or more.")


@dataclass(frozen=True)
class Base:
    steps: int = option(60, "optimizer steps", minimum=1, maximum=1000)
    rate: float = option(1e-4, "of the optimizer", above=0)


@dataclass(frozen=True)
class Config(Base):
    name: str = "x"  # what it is called; 100 % free
    fast: bool = option(False, "hurry")
    data: tuple[str, ...] = option(("a", "b"), "where from")
    kind: str = option("one", "which", choices=("one", "two"))
    limit: int | None = None  # none: no limit
    parts: Parts = field(default_factory=Parts)


def test_defaults_and_flags() -> None:
    assert load(Config, []) == Config()
    flags = ["--steps", "7", "--fast", "--data", "c", "--limit", "3", "--parts.weight", "2", "--kind", "two"]
    made = load(Config, flags)
    assert (made.steps, made.fast, made.data, made.limit, made.kind) == (7, True, ("c",), 3, "two")
    assert made.parts == Parts(weight=2.0)
    assert load(Config, ["--no-fast"]).fast is False


def test_yaml_there_and_back(tmp_path: Path) -> None:
    made = load(Config, ["--rate", "3e-5", "--name", "yes: # no", "--parts.other", "0", "--data", "p", "q"])
    file = tmp_path / "c.yaml"
    file.write_text(to_yaml(made))
    assert load(Config, ["--config", str(file)]) == made
    assert make(Config, as_dict(made)) == made
    assert load(Config, ["--config", str(file), "--rate", "1"]).rate == 1.0
    assert "# of the first part" in file.read_text()


def test_help_comes_from_option_or_comment() -> None:
    text = parser(Config, prog="x", description="").format_help()
    for words in ("what it is called; 100 % free", "optimizer steps (default: 60)", "{one,two}", "--parts.weight"):
        assert words in " ".join(text.split())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"stepz": 3}, "There is no option 'stepz'; did you mean 'steps'?"),
        ({"parts": {"zzzzzzzzzzzz": 3}}, "There is no option 'parts.zzzzzzzzzzzz'."),
        ({"parts": 3}, "parts is 3; it must be a list of options, one a line below it."),
        ({"steps": "many"}, "steps is 'many'; it must be a whole number."),
        ({"steps": 2.5}, "steps is 2.5; it must be a whole number."),
        ({"steps": True}, "steps is True; it must be a whole number."),
        ({"steps": None}, "steps is None; it must be a whole number."),
        ({"steps": 0}, "steps is 0; it must be at least 1."),
        ({"steps": 1001}, "steps is 1001; it must be at most 1000."),
        ({"rate": 0}, "rate is 0; it must be more than 0."),
        ({"rate": "1e99"}, "rate is 1e99; it must be at most 1,000,000,000."),
        ({"rate": ".nan"}, "rate is '.nan'; it must be a number."),
        ({"rate": float("nan")}, "rate is nan; it must be a number."),
        ({"fast": "perhaps"}, "fast is 'perhaps'; it must be true or false."),
        ({"name": ["x"]}, "name is ['x']; it must be a text."),
        ({"data": 3}, "data is 3; it must be a list."),
        ({"kind": "three"}, "kind is 'three'; it must be one of one, two."),
        ({"parts": {"weight": -1}}, "parts: The weight is -1.0; it must be 0 or more."),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        make(Config, values)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: [", "not valid YAML at line"), ("- a", "one `option: value` a line"), (None, "does not exist")],
)
def test_a_file_that_cannot_be_used(text: str | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=words):
        load(Config, ["--config", str(file)])


def test_unknown_flags_are_refused() -> None:
    with pytest.raises(InputError, match=r"Unrecognized arguments: --step 3\. See --help\."):
        load(Config, ["--step", "3"])
