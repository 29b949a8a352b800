"""DermIQ: what a consultation needs.

    import dermiq

    answer = dermiq.assess("lesion.jpg", age=54, sex="male", site="back")   # reads, reasons, cites, checks itself
    evidence = dermiq.retrieve("How is lentigo maligna treated?")           # facts of the graph, each with its source
    claims = dermiq.check("Melanoma is benign.")                            # each sentence against the graph

Models and graph are loaded at the first call. What cannot be used raises a `DermIQError` whose text says what to do.
A research demonstration for clinicians. Not a medical device, not for diagnosis.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dermiq.version import __version__ as __version__

if TYPE_CHECKING:
    from dermiq.api import assess, check, retrieve
    from dermiq.errors import DataError, DermIQError, DownloadError, ImageError, InputError, KnowledgeError, ModelError
    from dermiq.types import Answer, Claim, Differential, Event, Evidence, Fact, Finding, Source

__all__ = [
    "Answer",
    "Claim",
    "DataError",
    "DermIQError",
    "Differential",
    "DownloadError",
    "Event",
    "Evidence",
    "Fact",
    "Finding",
    "ImageError",
    "InputError",
    "KnowledgeError",
    "ModelError",
    "Source",
    "assess",
    "check",
    "retrieve",
]

# On some processors bitsandbytes warns, whenever it is imported, that a package is missing which is never used here.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def __getattr__(name: str) -> Any:
    """What is public is imported when it is asked for: most of what imports a part of this package needs no model."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "api" if name[0].islower() else "errors" if name.endswith("Error") else "types"
    return getattr(import_module(f"{__name__}.{home}"), name)
