"""One dataclass of settings; the flags and the environment variables are generated from it.

`--port 7861` and `DERMIQ_PORT=7861` say the same; the flag wins. Unknown flags are refused. A secret has no flag.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias, get_type_hints

from dermiq.errors import InputError
from dermiq.types import Json

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def setting(default: Any, help: str, *, secret: bool = False) -> Any:
    """A field with what its flag says. A secret has no flag."""
    return field(default=default, metadata={"help": help, "secret": secret})


@dataclass(frozen=True)
class Settings:
    model: str | None = setting(
        None, "any Hugging Face image-text-to-text model, by name or folder; default: DermIQ-Nano"
    )
    adapter: str | None = setting(None, "a LoRA adapter for the model, by name or folder")
    load_in_4bit: bool = setting(False, "load the model in 4 bits (bitsandbytes)")
    device: str | None = setting(None, "cpu, cuda, cuda:1, mps; default: a GPU when there is one")
    host: str = setting("127.0.0.1", "address to listen on; a Space listens on 0.0.0.0")
    port: int = setting(7860, "port to listen on")
    hosts: str | None = setting(
        None, "names under which the page is reached, as behind a proxy: derm.example, derm.clinic.example"
    )
    proxies: str | None = setting(
        None, "addresses of reverse proxies whose X-Forwarded-For says who the visitor is: 127.0.0.1, 10.0.0.0/8"
    )
    api: bool = setting(True, "answer programs: assess, search_knowledge, compare, check_text, see docs/programs.md")
    mcp: bool = setting(False, "offer these four as MCP tools, too, at /gradio_api/mcp/; needs the package mcp")
    cache: Path | None = setting(None, "where downloaded and converted models are kept; default: ~/.cache/dermiq")
    data: Path | None = setting(None, "folder of the data sets, for training and evaluation")
    runs: Path | None = setting(None, "where training runs are kept; default: runs")
    admin_password: str | None = setting(
        None, "asked for in the Training tab; on a public address the tab is off without it", secret=True
    )
    reviewers: str | None = setting(
        None,
        "who may review, as name:password, name:password; on a public address the Review tab is read-only without it",
        secret=True,
    )
    review: Path | None = setting(None, "folder of the preference review: its database and its images; default: review")
    review_db: str | None = setting(
        None, "a database for the review in place of the file in its folder: postgresql://user@host/name", secret=True
    )
    review_marks: str = setting(
        "after", "when reviewers see what the graph says of a pair: after their vote, before, or never"
    )
    review_rubric: str = setting("folded", "the review's grades: folded, open, or required for every vote")
    kg: Path | None = setting(None, "folder of the knowledge graph; default: kg_data")
    language: str = setting("en", "language of the page: en, or the name of a file of dermiq/language, such as de")

    @classmethod
    def load(cls, argv: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> Settings:
        """Flags over environment over defaults. Exits with a usage message at an unknown flag."""
        return cls.of(parser().parse_args(argv), env)

    @classmethod
    def of(cls, flags: argparse.Namespace, env: Mapping[str, str] | None = None) -> Settings:
        """Of flags that were parsed already; what else was parsed with them is passed over."""
        values = _from_environment(os.environ if env is None else env)
        names = {f.name for f in fields(cls)}
        values |= {name: value for name, value in vars(flags).items() if name in names and value is not None}
        return cls(**values)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="app.py", description="DermIQ, the consultation page", allow_abbrev=False)
    add_flags(made)
    return made


def add_flags(made: argparse.ArgumentParser) -> None:
    """One flag for every field but secrets; None means "not given"."""
    hints = get_type_hints(Settings)
    for f in fields(Settings):
        if f.metadata["secret"]:  # a flag could be read in the list of processes
            continue
        flag = "--" + f.name.replace("_", "-")
        text = f"{f.metadata['help']} (DERMIQ_{f.name.upper()})".replace("%", "%%")
        if hints[f.name] is bool:
            made.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            made.add_argument(flag, type=_convert_for(hints[f.name]), default=None, help=text)


def _from_environment(env: Mapping[str, str]) -> Json:
    hints = get_type_hints(Settings)
    values: dict[str, Any] = {}
    if env.get("SPACE_ID"):
        values["host"] = "0.0.0.0"
    if env.get("SPACES_ZERO_GPU"):  # there PyTorch tells of a GPU that no function but a marked one may touch
        values["device"] = "cpu"
    for f in fields(Settings):
        assert f.default is not MISSING
        name = f"DERMIQ_{f.name.upper()}"
        text = env.get(name, "")
        if text:
            values[f.name] = _boolean(name, text) if hints[f.name] is bool else _checked(name, text, hints[f.name])
    return values


def _convert_for(hint: object) -> Any:
    text = str(hint)
    if hint is int:
        return int
    return Path if "Path" in text else str


def _checked(name: str, text: str, hint: object) -> Any:
    try:
        return _convert_for(hint)(text)
    except ValueError as error:
        raise InputError(f"{name} is {text!r}, which is not a whole number. Set it to one, or unset it.") from error


def _boolean(name: str, text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in known:
        raise InputError(f"{name} is {text!r}. Set it to 1 or 0.")
    return known[text.lower()]
