"""How long the specialist takes for one image: the whole reading, both looks, the first look alone, in one run.

python -m dermiq.specialist.benchmark [--rounds 20] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch

from dermiq.lesion.drawn import drawn_examples
from dermiq.specialist.reader import Specialist
from dermiq.types import Lesion


def measure(*, rounds: int) -> dict[str, float]:
    """Medians in seconds of a 600 x 450 image: the whole reading (looks, outline, findings, distance), its looks."""
    specialist, lesion = Specialist.load(), Lesion(drawn_examples()[1][1])
    timed: dict[str, Callable[[], object]] = {
        "reading": lambda: specialist.read(lesion),
        "looks": lambda: specialist.look(lesion.pixels),
        "first_look": lambda: specialist.look_at_frame(lesion.pixels),
    }
    times: dict[str, list[float]] = {name: [] for name in timed}
    for index in range(rounds + 2):  # the first two warm up
        for name, action in timed.items():
            start = time.perf_counter()
            action()
            if index >= 2:
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "threads": torch.get_num_threads(),
        **{f"{name}_s": round(value, 4) for name, value in medians.items()},
        "looks_ratio": round(medians["looks"] / medians["first_look"], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(json.dumps(measure(rounds=options.rounds), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
