"""How long the specialist takes for one image, with and without folded batch norms, alternating in one run.

python -m dermiq.specialist.benchmark [--rounds 20] [--threads 2]
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time

import torch

from dermiq.lesion.drawn import drawn_examples
from dermiq.specialist.model import SpecialistNet
from dermiq.specialist.reader import Specialist
from dermiq.types import Lesion
from dermiq.vlm.tower import DermTowerConfig


def measure(*, rounds: int) -> dict[str, float]:
    """Medians in seconds: the whole reading (both looks, outline, findings, distance) of a 600 x 450 image."""
    folded = Specialist.load()
    plain = copy.copy(folded)
    plain.net = SpecialistNet(
        DermTowerConfig(image_size=folded.calibration.image_size)
    ).eval()  # same cost, any weights
    plain.net.to(memory_format=torch.channels_last)
    lesion = Lesion(drawn_examples()[1][1])
    times: dict[str, list[float]] = {"folded": [], "plain": []}
    for index in range(rounds + 2):  # the first two warm up
        for name, specialist in (("folded", folded), ("plain", plain)):
            start = time.perf_counter()
            specialist.look(lesion.pixels)
            if index >= 2:
                times[name].append(time.perf_counter() - start)
    whole = []
    for _ in range(rounds):
        start = time.perf_counter()
        folded.read(lesion)
        whole.append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "threads": torch.get_num_threads(),
        "reading_s": round(statistics.median(whole), 4),
        "looks_s": round(medians["folded"], 4),
        "looks_plain_s": round(medians["plain"], 4),
        "looks_ratio": round(medians["folded"] / medians["plain"], 2),
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
