"""Makes the shipped specialist from a training run: looks, temperature and familiarity, all chosen on `val`.

    python -m train.embedded.calibrate --run runs/specialist --near runs/finer

The first look is read by the network of `--run`, the second by that of `--near` (the same run where it is left out).

The window and the weight of the second look are those with the least negative log-likelihood on
HAM10000 `val`; the strength of the logit adjustment (Menon et al. 2021, arXiv 2007.07314: -tau log of each class's
share in training) is the one whose balanced accuracy and macro-F1 there both come nearest to (or furthest above)
what the project asks for, 0.75 and 0.70. Of the temperatures (Guo et al. 2017, arXiv 1706.04599) that `val` can't
tell from the best by more than one standard error, the least confident is taken: the same `val` chose everything else,
so the best fit there is surer than new images justify, and too sure is the worse error;
familiarity (see `dermiq.specialist.reader.Familiarity`) is fitted on `train` features of both data sets.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from dermiq.shipped import seal
from dermiq.specialist.model import SpecialistNet
from dermiq.specialist.reader import NEAR, WEIGHTS, Calibration, Familiarity, Specialist, squash
from dermiq.types import CLASSES
from train.cases.data import data_folder, read_table
from train.embedded.metrics import balanced_accuracy, expected_calibration_error, macro_f1, reliability_bins

WINDOWS = ((1.3, 0.6), (1.5, 0.75), (1.5, 1.0))  # (extents, smallest)
WEIGHTS_OF_CROP = (0.0, 0.35, 0.5, 0.65, 1.0)
IMAGE_SIZE = 192  # px
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # tau of the logit adjustment


def load_average(run: Path) -> SpecialistNet:
    net = SpecialistNet()
    path = run / "average.pt"
    state = torch.load(path, weights_only=True) if path.is_file() else None
    net.load_state_dict(state or torch.load(run / "checkpoint.pt", weights_only=True)["average"])
    return net.eval()


def pixels_of(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@dataclass(frozen=True, eq=False)
class Looks:
    """What both looks see of N images."""

    frame: Tensor  # logits (N, 7)
    features: Tensor  # (N, 1280), of the frame
    windows: Tensor  # logits (N, windows, 7), in the order of WINDOWS


def look_at(specialist: Specialist, paths: list[str]) -> Looks:
    frames, features, windows = [], [], []
    for path in paths:
        pixels = pixels_of(path)
        logits, seen, outline, _ = specialist.look_at_frame(pixels)
        frames.append(logits)
        features.append(seen)
        near = [specialist.look_at_window(pixels, outline, extents=e, smallest=s) for e, s in WINDOWS]
        windows.append(torch.stack(near))
    return Looks(torch.stack(frames), torch.stack(features), torch.stack(windows))


def drawn_shares(labels: pd.Series) -> Tensor:
    """How often training drew each class (7,): by the root of its count, as `train.embedded.specialist` does."""
    counts = torch.tensor([int((labels == code).sum()) for code in CLASSES]).float() ** 0.5
    return counts / counts.sum()


def merit(recall: float, f1: float) -> float:
    """The worse of both figures as a share of what is asked for."""
    return min(recall / 0.75, f1 / 0.70)


TEMPERATURES = torch.exp(torch.linspace(-1.2, 1.2, 241))


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least negative log-likelihood of `labels` (N,) under `logits` (N, 7)."""
    losses = [F.cross_entropy(logits / t, labels).item() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def careful_temperature(logits: Tensor, labels: Tensor) -> float:
    """The highest temperature whose loss is within one standard error (of the paired difference) of the least."""
    best = best_temperature(logits, labels)
    least = F.cross_entropy(logits / best, labels, reduction="none")
    careful = best
    for temperature in TEMPERATURES[best < TEMPERATURES].tolist():
        excess = F.cross_entropy(logits / temperature, labels, reduction="none") - least
        if excess.mean() > excess.std() / len(labels) ** 0.5:
            break
        careful = temperature
    return careful


@torch.inference_mode()
def plain_features(net: SpecialistNet, paths: list[str], size: int) -> Tensor:
    """Features (N, 1280) of the whole frame, no flips: enough for means and covariance."""
    parts = []
    for start in range(0, len(paths), 64):
        batch = torch.stack([squash(pixels_of(path), size) for path in paths[start : start + 64]])
        parts.append(net(batch.contiguous(memory_format=torch.channels_last))[2])
    return torch.cat(parts)


def shipped(net: SpecialistNet) -> dict[str, Tensor]:
    """Its tensors in half precision, as they ship; `net` itself is rounded to them."""
    state = {key: value.half() for key, value in net.state_dict().items() if value.dtype.is_floating_point}
    net.load_state_dict({key: value.float() for key, value in state.items()}, strict=False)
    return state


def calibrate(run: Path, near: Path, out: Path, data: Path, *, train_limit: int = 3000) -> Calibration:
    net, near_net = load_average(run), load_average(near)
    state = shipped(net)
    state |= {NEAR + key: value for key, value in shipped(near_net).items() if not key.startswith("decoder.")}
    specialist = Specialist(net, near_net, Calibration(image_size=IMAGE_SIZE), None, "calibrating")
    val = read_table(data, "ham10000", ["val"])
    labels = torch.tensor([CLASSES.index(c) for c in val["label"]])
    kept = near / "looks_val.safetensors"  # the slow part, so that another choice from the same runs is quick
    if not kept.is_file():
        looks = look_at(specialist, list(val["image"]))
        save_file({name: value.contiguous() for name, value in vars(looks).items()}, kept)
    seen = Looks(**load_file(kept))
    trials: list[tuple[float, Calibration, Tensor]] = []
    for number, (extents, smallest) in enumerate(WINDOWS):
        for weight in WEIGHTS_OF_CROP:
            logits = (1 - weight) * seen.frame + weight * seen.windows[:, number]
            loss = F.cross_entropy(logits / best_temperature(logits, labels), labels).item()
            print(f"window {extents} >= {smallest}, weight {weight}: loss {loss:.4f}", flush=True)
            setting = replace(specialist.calibration, window=extents, smallest_window=smallest, crop_weight=weight)
            trials.append((loss, setting, logits))
    _, chosen, plain = min(trials, key=lambda trial: trial[0])
    shares = drawn_shares(read_table(data, "ham10000", ["train"])["label"])
    adjusted: list[tuple[float, Tensor]] = []
    for tau in STRENGTHS:
        offsets = -tau * (shares.log() - shares.log().mean())
        answers = (plain + offsets).argmax(1).numpy()
        recall, f1 = balanced_accuracy(labels.numpy(), answers), macro_f1(labels.numpy(), answers)
        print(f"tau {tau}: balanced accuracy {recall:.4f}, macro-F1 {f1:.4f}", flush=True)
        adjusted.append((merit(recall, f1), offsets))
    score, offsets = max(adjusted, key=lambda trial: trial[0])
    logits = plain + offsets
    temperature = careful_temperature(logits, labels)
    chosen = replace(chosen, offsets=tuple(round(o, 4) for o in offsets.tolist()), temperature=round(temperature, 4))
    probabilities = (logits / temperature).softmax(1).numpy()
    train = read_table(data, "ham10000", ["train"])
    train = train.sample(min(train_limit, len(train)), random_state=0)
    pad = read_table(data, "pad_ufes_20", ["train"])
    table = pd.concat([train, pad])
    groups = torch.tensor([CLASSES.index(c) for c in table["label"]]) + 7 * torch.tensor(
        (table["source"] == "pad_ufes_20").to_numpy()
    )
    counts = torch.bincount(groups, minlength=14)
    keep = counts[groups] >= 8  # a mean of fewer images would sit on them
    features = plain_features(net, list(table["image"]), chosen.image_size)
    familiarity = Familiarity.fit(features[keep], groups[keep], seen.features)
    out.mkdir(parents=True, exist_ok=True)
    tensors = {**state, **{k: v.float() for k, v in familiarity.tensors().items()}}
    save_file({key: value.contiguous() for key, value in tensors.items()}, out / "model.safetensors")
    (out / "calibration.json").write_text(json.dumps(asdict(chosen), indent=1) + "\n")
    reliability = {
        "split": "HAM10000 val",
        "temperature": chosen.temperature,
        "expected_calibration_error": expected_calibration_error(labels.numpy(), probabilities),
        "bins": reliability_bins(labels.numpy(), probabilities),
    }
    (out / "reliability_val.json").write_text(json.dumps(reliability, indent=1) + "\n")
    seal(out)
    print(f"chosen {chosen}; {score:.4f} of what is asked for; ECE {reliability['expected_calibration_error']:.4f}")
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/specialist"))
    parser.add_argument("--near", type=Path, default=None, help="the run of the second look; default: --run")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--data", default=None, help="the data folder; default: DERMIQ_DATA")
    options = parser.parse_args()
    calibrate(options.run, options.near or options.run, options.out, data_folder(options.data))


if __name__ == "__main__":
    main()
