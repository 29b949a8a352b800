"""What the trainings of what ships share: options as flags, and a checkpoint that a killed process leaves whole."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch

Config = TypeVar("Config")


def options_of(kind: type[Config], doc: str | None, arguments: Sequence[str] | None) -> tuple[Config, bool]:
    """The configuration that the flags of a dataclass's fields give, and whether an earlier run is gone on with."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(kind):  # type: ignore[arg-type]  # a dataclass
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    parser.add_argument("--resume", action="store_true")
    options = vars(parser.parse_args(arguments))
    resume = options.pop("resume")
    return kind(**options), resume


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """In its place at once."""
    part = path.with_suffix(".part")
    torch.save(dict(state), part)
    os.replace(part, path)
