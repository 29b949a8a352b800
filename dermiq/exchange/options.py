"""Which reader answers, and with which weights: what `assess` and `batch` share. Loads nothing by itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from dermiq.types import Event

if TYPE_CHECKING:
    from dermiq.exchange.reading import Assessor

READERS = ("specialist", "vlm")
MODEL = ("model", "adapter", "load_in_4bit", "device")
"""By the names that `dermiq.api.settings_of` has for them, in its order."""


def add_reader(parser: argparse.ArgumentParser, *, default: str, help: str) -> None:
    parser.add_argument("--reader", choices=READERS, default=default, help=help)
    parser.add_argument("--model", help="any Hugging Face image-text-to-text model; default: DermIQ-Nano")
    parser.add_argument("--adapter", help="a LoRA adapter for the model")
    parser.add_argument("--load-in-4bit", action="store_true")
    parser.add_argument("--device", help="cpu, cuda, ...")
    parser.add_argument("--votes", type=int, default=1, help="samples for a majority vote")


def reader_of(
    options: argparse.Namespace, *, check_image: bool = False, on_event: Callable[[Event], None] | None = None
) -> Assessor:
    """Loaded. Raises ModelError, DownloadError or KnowledgeError where it cannot be had."""
    from dermiq import api
    from dermiq.exchange.reading import BothReaders, SpecialistAlone

    settings = api.settings_of(*(getattr(options, name) for name in MODEL))
    if options.reader == "specialist":
        return SpecialistAlone.load(settings)
    return BothReaders(api.consultant_for(settings, options.votes), check_image, on_event)
