"""Makes the shipped specialist from its three networks: weights of the looks, temperature, structures, familiarity.

    python -m train.embedded.structure_heads --run runs/second_look
    python -m train.embedded.calibrate --transformer runs/second_look                    # with the shipped others
    python -m train.embedded.calibrate --run runs/specialist --near runs/finer --transformer runs/second_look

The first look is read by the network of `--run`, the second by that of `--near`, the third by that of `--transformer`.
Everything is chosen on the `val` parts of HAM10000 and ISIC 2018 together:

- the weights of the looks: those with the least negative log-likelihood;
- the strength of the logit adjustment (Menon et al. 2021, arXiv 2007.07314: -tau log of each class's share in
  training): the one whose balanced accuracy and macro-F1 on HAM10000 both come nearest to (or furthest above) what the
  project asks for, 0.83 and 0.77;
- the temperature (Guo et al. 2017, arXiv 1706.04599): of those that `val` can't tell from the best by more than one
  standard error, the least confident, since the same `val` chose everything else;
- scale and shift of each structure's logit (Platt 1999, with his smoothed targets), on ISIC 2018's drawn structures;
- how the structures' probabilities are distributed in each class of HAM10000 (percentiles and likelihood ratios);
- familiarity (see `dermiq.specialist.familiarity`), fitted on `train` features of HAM10000, ISIC 2018 and PAD-UFES-20.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from dermiq.shipped import seal
from dermiq.specialist import structures
from dermiq.specialist.familiarity import Familiarity
from dermiq.specialist.model import SpecialistNet
from dermiq.specialist.reader import HEADS, NEAR, TRANSFORMER, WEIGHTS, Calibration, Specialist, calibrated, squash
from dermiq.specialist.vit import StructureHeads, ViTNet
from dermiq.types import CLASSES, STRUCTURES
from train.cases.data import data_folder, read_table
from train.embedded.findings import build_reference
from train.embedded.findings import write as write_reference
from train.embedded.looks import Looks, labels_of, looks_of, pixels_of
from train.embedded.metrics import balanced_accuracy, expected_calibration_error, macro_f1, reliability_bins
from train.embedded.second_look import drawn_presence

IMAGE_SIZE = 192  # px
STEPS = 10  # the weights of the looks are tenths
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # tau of the logit adjustment
TEMPERATURES = torch.exp(torch.linspace(-1.2, 1.2, 241))
ASKED_RECALL, ASKED_F1 = 0.83, 0.77


Net = TypeVar("Net", SpecialistNet, ViTNet)


def load_average(net: Net, run: Path) -> Net:
    """With the moving average that a run ended with, or has reached."""
    path = run / "average.pt"
    state = torch.load(path, weights_only=True) if path.is_file() else None
    net.load_state_dict(state or torch.load(run / "checkpoint.pt", weights_only=True)["average"])
    return net.eval()


def load_heads(run: Path) -> StructureHeads:
    """Of `train.embedded.structure_heads`."""
    heads = StructureHeads()
    heads.load_state_dict(load_file(run / "heads.safetensors"))
    return heads.eval()


def drawn_shares(labels: pd.Series) -> Tensor:
    """How often training drew each class (7,): by the root of its count, as `train.embedded.specialist` does."""
    counts = torch.tensor([int((labels == code).sum()) for code in CLASSES]).float() ** 0.5
    return counts / counts.sum()


def merit(recall: float, f1: float) -> float:
    """The worse of both figures as a share of what is asked for."""
    return min(recall / ASKED_RECALL, f1 / ASKED_F1)


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


def best_weights(logits: Tensor, labels: Tensor) -> tuple[float, ...]:
    """Of the looks, in tenths that sum to 1: `logits` (N, L, 7) mixed so that `labels` (N,) are likeliest."""
    looks = logits.shape[1]
    every = [parts for parts in itertools.product(range(STEPS + 1), repeat=looks) if sum(parts) == STEPS]

    def loss(parts: tuple[int, ...]) -> float:
        mixed = torch.einsum("l,nlc->nc", torch.tensor(parts) / STEPS, logits)
        return F.cross_entropy(mixed / best_temperature(mixed, labels), labels).item()

    for number in range(looks):
        alone = tuple(STEPS * (number == one) for one in range(looks))
        print(f"look {number + 1} alone: loss {loss(alone):.4f}", flush=True)
    chosen = min(every, key=loss)
    print(f"weights {chosen} of {STEPS}: loss {loss(chosen):.4f}", flush=True)
    return tuple(part / STEPS for part in chosen)


def platt(logits: Tensor, present: np.ndarray) -> tuple[float, float]:
    """Scale and shift by which a structure's logits (N,) become those of its presence (N,) of 0 and 1."""
    positives, negatives = present.sum(), (1 - present).sum()
    targets = np.where(present > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    values = np.concatenate([logits.numpy(), logits.numpy()])[:, None]
    told = np.concatenate([np.ones(len(targets)), np.zeros(len(targets))])
    model = LogisticRegression(C=1e4).fit(values, told, sample_weight=np.concatenate([targets, 1 - targets]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


@torch.inference_mode()
def plain_features(net: SpecialistNet, paths: list[str], size: int) -> Tensor:
    """Features (N, 1280) of the whole frame, no flips: enough for means and covariance."""
    parts = []
    for start in range(0, len(paths), 64):
        batch = torch.stack([squash(pixels_of(path), size) for path in paths[start : start + 64]])
        parts.append(net(batch.contiguous(memory_format=torch.channels_last))[2])
    return torch.cat(parts)


def shipped(net: SpecialistNet | ViTNet) -> dict[str, Tensor]:
    """Its tensors in half precision, as they ship; `net` itself is rounded to them."""
    state = {key: value.half() for key, value in net.state_dict().items() if value.dtype.is_floating_point}
    net.load_state_dict({key: value.float() for key, value in state.items()}, strict=False)
    return state


def familiarity_of(specialist: Specialist, data: Path, held_out: Tensor, *, train_limit: int) -> Familiarity:
    """Fitted on features of the training images, the classes of each data set apart."""
    ham = read_table(data, "ham10000", ["train"])
    ham = ham.sample(min(train_limit, len(ham)), random_state=0)
    names = ("ham10000", "isic2018_attributes", "pad_ufes_20")
    table = pd.concat([ham, *(read_table(data, name, ["train"]) for name in names[1:])])
    groups = labels_of(table) + len(CLASSES) * torch.tensor([names.index(source) for source in table["source"]])
    counts = torch.bincount(groups, minlength=len(CLASSES) * len(names))
    keep = counts[groups] >= 8  # a mean of fewer images would sit on them
    features = plain_features(specialist.net, list(table["image"]), specialist.calibration.image_size)
    return Familiarity.fit(features[keep], groups[keep], held_out)


def chosen_calibration(looks: Looks, labels: Tensor, *, ham: int, drawn: Tensor, presence: np.ndarray) -> Calibration:
    """On the looks at HAM10000's `val` (the first `ham`) and ISIC 2018's (the others, with drawn structures)."""
    calibration = Calibration(image_size=IMAGE_SIZE, look_weights=best_weights(looks.logits, labels))
    plain = torch.einsum("l,nlc->nc", torch.tensor(calibration.look_weights), looks.logits)
    adjusted: list[tuple[float, Tensor]] = []
    for tau in STRENGTHS:
        offsets = -tau * (drawn.log() - drawn.log().mean())
        answers = (plain[:ham] + offsets).argmax(1).numpy()
        recall, f1 = balanced_accuracy(labels[:ham].numpy(), answers), macro_f1(labels[:ham].numpy(), answers)
        print(f"tau {tau}: balanced accuracy {recall:.4f}, macro-F1 {f1:.4f}", flush=True)
        adjusted.append((merit(recall, f1), offsets))
    _, offsets = max(adjusted, key=lambda trial: trial[0])
    fits = [platt(looks.structures[ham:, number], presence[:, number]) for number in range(len(STRUCTURES))]
    return replace(
        calibration,
        offsets=tuple(round(value, 4) for value in offsets.tolist()),
        temperature=round(careful_temperature(plain + offsets, labels), 4),
        structure_scales=tuple(round(scale, 4) for scale, _ in fits),
        structure_shifts=tuple(round(shift, 4) for _, shift in fits),
        version="0.3",
    )


def calibrate(
    run: Path | None, near: Path | None, transformer: Path, out: Path, data: Path, *, train_limit: int = 3000
) -> Calibration:
    if run is None:
        before = Specialist.load(out)
        net, near_net = before.net, before.near_net
    else:
        net, near_net = load_average(SpecialistNet(), run), load_average(SpecialistNet(), near or run)
    third = load_average(ViTNet(), transformer)
    state = shipped(net)
    state |= {NEAR + key: value for key, value in shipped(near_net).items() if not key.startswith("decoder.")}
    third_state = shipped(third)
    heads = load_heads(transformer)
    specialist = Specialist(net, near_net, third, heads, Calibration(image_size=IMAGE_SIZE), None, "calibrating")
    ham, isic = (read_table(data, name, ["val"]) for name in ("ham10000", "isic2018_attributes"))
    seen = looks_of(specialist, ham, transformer / "looks_ham10000_val.safetensors")
    far = looks_of(specialist, isic, transformer / "looks_isic2018_attributes_val.safetensors")
    looks, labels = seen.joined(far), torch.cat([labels_of(ham), labels_of(isic)])
    drawn = drawn_shares(read_table(data, "ham10000", ["train"])["label"])
    chosen = chosen_calibration(looks, labels, ham=len(ham), drawn=drawn, presence=drawn_presence(data, isic))
    specialist.calibration = chosen
    familiarity = familiarity_of(specialist, data, seen.features, train_limit=train_limit)
    out.mkdir(parents=True, exist_ok=True)
    tensors = {**state, **{k: v.float() for k, v in familiarity.tensors().items()}}
    save_file({key: value.contiguous() for key, value in tensors.items()}, out / "model.safetensors")
    third_state |= {HEADS + key: value for key, value in heads.state_dict().items()}
    write_transformer(third_state, out)
    (out / "calibration.json").write_text(json.dumps(asdict(chosen), indent=1) + "\n")
    write_structures(seen, ham, chosen, out / structures.REFERENCE_PATH.name)
    write_reliability(seen, ham, chosen, out / "reliability_val.json")
    seal(out)
    print(f"chosen {chosen}")
    return chosen


def write_transformer(state: dict[str, Tensor], out: Path) -> None:
    """In files of equal size."""
    names = sorted(state)
    sizes = np.cumsum([state[name].nbytes for name in names])
    half = int(np.searchsorted(sizes, sizes[-1] / 2))
    for file, part in zip(TRANSFORMER, (names[:half], names[half:]), strict=True):
        save_file({name: state[name].contiguous() for name in part}, out / file)


def write_structures(looks: Looks, table: pd.DataFrame, calibration: Calibration, path: Path) -> None:
    """How probable each structure was held on one image of every lesion, by class."""
    scales, shifts = torch.tensor(calibration.structure_scales), torch.tensor(calibration.structure_shifts)
    chances = 100 * (looks.structures * scales + shifts).sigmoid().numpy()
    first = ~table.duplicated("group").to_numpy()
    labels = table["label"].to_numpy()[first]
    reference = build_reference(labels, {code: chances[first, i] for i, code in enumerate(STRUCTURES)})
    dataset = "HAM10000, val split, one image a lesion, as the specialist sees it (Tschandl, Rosendahl, Kittler 2018)"
    write_reference(replace(reference, dataset=dataset), path)


def write_reliability(looks: Looks, table: pd.DataFrame, calibration: Calibration, path: Path) -> None:
    labels, probabilities = labels_of(table).numpy(), calibrated(looks.logits, calibration).numpy()
    found = {
        "split": "HAM10000 val",
        "temperature": calibration.temperature,
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
        "bins": reliability_bins(labels, probabilities),
    }
    path.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=None, help="the run of the first look; default: the shipped one")
    parser.add_argument("--near", type=Path, default=None, help="the run of the second look; default: --run")
    parser.add_argument("--transformer", type=Path, required=True, help="the run of the third look")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--data", default=None, help="the data folder; default: DERMIQ_DATA")
    options = parser.parse_args()
    calibrate(options.run, options.near, options.transformer, options.out, data_folder(options.data))


if __name__ == "__main__":
    main()
