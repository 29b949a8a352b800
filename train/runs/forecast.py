"""Memory and time of a run before it starts, as it would be now on this machine; of a chain of runs, too.

    print(forecast(config, root).text())                     # what `--estimate` prints
    found = forecast(config, root, progress=told)            # for a page: told("Measuring example 3 of 8", 0.4)

No weight is loaded. Joins `train.runs.estimate` and `train.runs.duration`, which know nothing of each other's question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from train.cases.texts import capital
from train.config import StageConfig
from train.model import without_weights
from train.runs.duration import Duration, expected
from train.runs.estimate import Estimate, advice, estimate, free_on
from train.runs.progress import Progress, part_of, silent
from train.runs.times import between

CACHE = ".cache"  # below the runs' folder: what was measured of images


@dataclass(frozen=True)
class Forecast:
    memory: Estimate
    time: Duration
    free: int  # bytes
    learned: str  # of how much of the data, in a sentence
    advice: str  # what lowers the memory, a sentence
    notes: tuple[str, ...] = ()  # sentences: what was left out of the data, or read in another way than it stands there

    @property
    def sentences(self) -> tuple[str, ...]:
        """What will not work out, and how much is learned from where it is not all."""
        return (*self.memory.warnings, *self._data)

    @property
    def _data(self) -> tuple[str, ...]:
        return (*([self.learned] if self.learned else []), *self.notes)

    def text(self) -> str:
        lines = [self.memory.text(), f"{'time':12} {self.time.text()}"]
        return "\n".join([*lines, *self._data])


def forecast(config: StageConfig, root: Path, *, progress: Progress = silent, free: int | None = None) -> Forecast:
    """Some seconds of work. `free` bytes, where they are known already. Raises DermIQError."""
    progress("Reading the model's shape", 0.0)
    vlm, device = without_weights(config), config.place()
    cache = root / CACHE / "measured"
    cache.mkdir(parents=True, exist_ok=True)
    shape = config.shape(vlm, cache, part_of(progress, 0.2, 0.7))
    notes: list[str] = []
    rows, _ = config.rows(say=notes.append)
    time = expected(config, vlm, shape, root, examples=len(rows), progress=part_of(progress, 0.7, 0.9))
    progress("Counting the memory", 0.9)
    free = free_on(device) if free is None else free
    found = estimate(vlm.model, config, shape, device, free=free)
    return Forecast(found, time, free, config.learned(), capital(advice(found, config)), tuple(notes))


def forecast_chain(
    configs: Mapping[str, StageConfig], root: Path, *, progress: Progress = silent, free: int | None = None
) -> dict[str, Forecast]:
    """Of stages by name, each as if it trained the model that the first begins with: the later ones do not exist yet,
    and are as large.
    """
    each = 1 / max(1, len(configs))
    return {
        name: forecast(config, root, progress=_named(part_of(progress, i * each, (i + 1) * each), name), free=free)
        for i, (name, config) in enumerate(configs.items())
    }


def _named(progress: Progress, name: str) -> Progress:
    return lambda text, share: progress(f"{name}: {text}", share)


def chain_text(found: Mapping[str, Forecast]) -> str:
    """Every stage's parts, then what they come to together."""
    parts = [f"{name}\n{one.text()}" for name, one in found.items()]
    largest = max(found.values(), key=lambda one: one.memory.total)
    seconds, low, high = (sum(getattr(one.time, what) for one in found.values()) for what in ("seconds", "low", "high"))
    whole = largest.memory.text().splitlines()[-1 - len(largest.memory.warnings)]
    return "\n\n".join([*parts, f"all stages, one after the other\n{whole}\n{'time':12} {between(seconds, low, high)}"])
