"""Trains the second look: DINOv2 ViT-S/14 on windows around the lesion, with heads for diagnosis and structures.

    python -m train.embedded.second_look --backbone dinov2.safetensors --out runs/second_look
    python -m train.embedded.second_look --out runs/second_look --resume    # goes on after a stop or a crash

Dermoscopy (HAM10000 as whole frames and as finer squares, ISIC 2018 with drawn structures) and clinical photographs
(PAD-UFES-20), `train` splits only. All twelve blocks learn, the deeper the faster (layer-wise decay, as in BEiT, arXiv
2106.08254); rare classes are drawn more often, mix-up (arXiv 1710.09412) on part of the batches, and window, angle,
sharpness and light of each image are drawn anew each time, so that resolution never tells the class apart. What is kept
is an exponential moving average; `val` is scored as it goes, a checkpoint is written every ten minutes.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from dermiq.specialist.reader import window_box
from dermiq.specialist.vit import PATCH, Seen, ViTNet, normalised
from dermiq.types import CLASSES, STRUCTURES
from train.cases.data import Pixels, data_folder, load_pixels, read_table, square_pixels
from train.embedded.loop import options_of, write_checkpoint
from train.embedded.metrics import classification_figures
from train.runs.log import append


@dataclass(frozen=True)
class Config:
    out: str = "runs/second_look"
    backbone: str = ""  # DINOv2's weights under transformers' names; `average.pt` of an earlier run also does
    data: str = ""  # the data folder; empty: DERMIQ_DATA or its default
    steps: int = 2000
    batch: int = 32
    size: int = 168  # px
    learning_rate: float = 1.5e-4  # of the last block
    head_rate: float = 1e-3
    layer_decay: float = 0.8
    weight_decay: float = 0.05
    warmup: int = 100  # steps
    mixup: float = 0.3  # share of batches
    label_smoothing: float = 0.05
    drop_path: float = 0.1
    frozen_blocks: int = 3  # embeddings and first blocks keep DINOv2's weights
    sampling_power: float = 0.5  # a class is drawn in proportion to its count to this power
    pad_share: float = 0.08  # of each batch, clinical photographs
    isic_share: float = 0.25  # of each batch, images with drawn structures
    frame_share: float = 0.4  # of HAM10000's images, as coarse whole frames
    structure_weight: float = 0.5
    map_weight: float = 0.5
    ema: float = 0.996
    eval_every: int = 250  # steps
    save_seconds: int = 600
    seed: int = 1
    threads: int = 2
    limit: int = 0  # images a source, for trials; 0: all


@dataclass(frozen=True, eq=False)
class Drawn:
    """Structures of the images of one source: presence (N, 5) and their bits (N, H, W); none: unknown."""

    presence: np.ndarray
    bits: np.ndarray


def drawn_presence(folder: Path, table: pd.DataFrame) -> np.ndarray:
    """Whether each structure was drawn on the rows of `isic2018_attributes`: (N, 5) of 0 and 1."""
    raw = pd.read_csv(folder / "isic2018_attributes" / "metadata.csv").set_index("image_id").loc[table["image_id"]]
    presence: np.ndarray = raw[list(STRUCTURES)].to_numpy(np.float32)
    return presence


def drawn_structures(folder: Path, table: pd.DataFrame, size: tuple[int, int]) -> Drawn:
    """Of the rows of `isic2018_attributes`; a row without a file has none drawn."""
    raw = pd.read_csv(folder / "isic2018_attributes" / "metadata.csv").set_index("image_id").loc[table["image_id"]]
    bits = np.zeros((len(raw), *size), np.uint8)
    for row, path in enumerate(raw["attributes"]):
        if isinstance(path, str):
            drawing = Image.open(folder / "isic2018_attributes" / path)
            bits[row] = np.asarray(drawing.resize(size[::-1], Image.Resampling.NEAREST))
    return Drawn(drawn_presence(folder, table), bits)


@dataclass(frozen=True)
class Batch:
    pixels: Tensor  # (B, 3, S, S), normalised
    labels: Tensor  # (B,)
    presence: Tensor  # (B, 5)
    maps: Tensor  # (B, 6, S / 14, S / 14): shares of each cell
    has_structures: Tensor  # (B,)
    has_mask: Tensor  # (B,)


class Windows:
    """Draws augmented windows around lesions."""

    def __init__(self, sources: dict[str, Pixels], drawn: Drawn, config: Config, rng: np.random.Generator) -> None:
        self.sources, self.drawn, self.config, self.rng = sources, drawn, config, rng
        self.shares = {name: self._shares(source.labels) for name, source in sources.items()}
        self.boxes = {name: boxes_of(source) for name, source in sources.items()}

    def _shares(self, labels: np.ndarray) -> np.ndarray:
        counts = np.bincount(labels, minlength=len(CLASSES)).clip(1)
        weights = counts[labels] ** (self.config.sampling_power - 1.0)
        shares: np.ndarray = weights / weights.sum()
        return shares

    def batch(self) -> Batch:
        config, rng = self.config, self.rng
        n_pad, n_isic = rng.multinomial(config.batch, [config.pad_share, config.isic_share, 1.0])[:2]
        counts = {"pad": n_pad, "isic": n_isic, "ham": config.batch - n_pad - n_isic}
        counts["frame"] = rng.binomial(counts["ham"], config.frame_share)
        counts["square"] = counts.pop("ham") - counts["frame"]
        parts = []
        for name, count in counts.items():
            if count:
                rows = rng.choice(len(self.sources[name]), count, p=self.shares[name])
                parts.append(self._augment(name, rows))
        joined = [torch.cat(column) for column in zip(*parts, strict=True)]
        return Batch(self._light(joined[0]), *joined[1:])

    def _augment(self, name: str, rows: np.ndarray) -> tuple[Tensor, ...]:
        rng, n, size, source = self.rng, len(rows), self.config.size, self.sources[name]
        images = torch.from_numpy(source.images[rows]).permute(0, 3, 1, 2).float()
        height, width = images.shape[-2:]
        short = min(height, width)
        top, left, bottom, right = self.boxes[name][rows].T
        longest = np.maximum(bottom - top, right - left)
        side = np.clip(longest * rng.uniform(1.1, 2.0, n), 0.55 * short, short) * rng.uniform(0.9, 1.08, n)
        whole = rng.random(n) < 0.15  # the whole frame, squashed
        aspect = np.exp(rng.uniform(-0.12, 0.12, n))
        half_x = np.where(whole, rng.uniform(0.85, 1.05, n), side / width) * aspect
        half_y = np.where(whole, rng.uniform(0.85, 1.05, n), side / height) / aspect
        middle_x, middle_y = (left + right) / width - 1, (top + bottom) / height - 1
        jitter = rng.uniform(-0.25, 0.25, (2, n))
        room_x, room_y = np.clip(1.06 - half_x, 0.02, None), np.clip(1.06 - half_y, 0.02, None)
        shift_x = np.clip(np.where(whole, 0, middle_x) + jitter[0] * half_x, -room_x, room_x)
        shift_y = np.clip(np.where(whole, 0, middle_y) + jitter[1] * half_y, -room_y, room_y)
        angle, mirror = rng.uniform(0, 2 * math.pi, n), rng.choice([-1.0, 1.0], n)
        cos, sin = np.cos(angle), np.sin(angle)
        first = np.stack([half_x * cos * mirror, -half_x * sin, shift_x], 1)
        second = np.stack([half_y * sin * mirror, half_y * cos, shift_y], 1)
        theta = torch.from_numpy(np.stack([first, second], 1)).float()
        grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
        pixels = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        masks = torch.from_numpy(source.masks[rows]).float().unsqueeze(1) / 255.0
        if name == "isic":
            bits = torch.from_numpy(self.drawn.bits[rows])
            planes = torch.stack([(bits >> bit & 1).float() for bit in range(len(STRUCTURES))], 1)
            presence = torch.from_numpy(self.drawn.presence[rows])
        else:
            planes = torch.zeros(n, len(STRUCTURES), height, width)
            presence = torch.zeros(n, len(STRUCTURES))
        planes = F.grid_sample(torch.cat([planes, masks], 1), grid, padding_mode="reflection", align_corners=False)
        labels = torch.from_numpy(source.labels[rows])
        known = torch.full((n,), name == "isic")
        return pixels, labels, presence, F.avg_pool2d(planes, PATCH), known, torch.from_numpy(source.has_mask[rows])

    def _light(self, pixels: Tensor) -> Tensor:
        """Coarsening and blur on some images; gain, contrast, tint and saturation on all."""
        rng, n, size = self.rng, len(pixels), pixels.shape[-1]
        for share in (0.15, 0.15):
            coarse = torch.from_numpy(np.flatnonzero(rng.random(n) < share))
            if len(coarse):
                side = int(size * rng.uniform(0.4, 0.85))
                small = F.interpolate(pixels[coarse], size=(side, side), mode="bilinear", antialias=True)
                pixels[coarse] = F.interpolate(small, size=(size, size), mode="bilinear")

        def draw(low: float, high: float, *shape: int) -> Tensor:
            return torch.from_numpy(rng.uniform(low, high, (n, *shape))).float()

        mean = pixels.mean((2, 3), keepdim=True)
        pixels = (pixels - mean) * draw(0.75, 1.3, 1, 1, 1) + mean * draw(0.8, 1.2, 1, 1, 1)
        grey = pixels.mean(1, keepdim=True)
        pixels = grey + (pixels - grey) * draw(0.8, 1.2, 1, 1, 1)
        pixels = pixels * draw(0.92, 1.08, 3, 1, 1)
        return normalised(pixels.clamp(0, 255))


def boxes_of(source: Pixels) -> np.ndarray:
    """Top, left, bottom, right of each outline (N, 4) px; the middle half where there is none."""
    _, height, width = source.masks.shape
    boxes = np.tile(np.array([height / 4, width / 4, height * 3 / 4, width * 3 / 4]), (len(source), 1))
    for row, mask in enumerate(source.masks):
        rows, columns = np.flatnonzero((mask > 127).any(1)), np.flatnonzero((mask > 127).any(0))
        if len(rows):
            boxes[row] = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    return boxes


def losses_of(seen: Seen, batch: Batch, *, smoothing: float, mix: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """Of the classes (mixed where `mix` is the share of the reversed batch), of presence, and of places."""
    classes = F.cross_entropy(seen.classes, batch.labels, label_smoothing=smoothing)
    none = torch.zeros(())
    if mix is not None:
        other = F.cross_entropy(seen.classes, batch.labels.flip(0), label_smoothing=smoothing)
        return (1 - mix) * classes + mix * other, none, none  # a blend has no places
    known, outlined = batch.has_structures, batch.has_mask
    presence = places = none
    if known.any():
        presence = F.binary_cross_entropy_with_logits(seen.structures[known], batch.presence[known])
        maps, target = seen.maps[known, :-1], batch.maps[known, :-1]
        overlap = 2 * (maps.sigmoid() * target).sum((0, 2, 3)) + 1
        dice = 1 - overlap / (maps.sigmoid().sum((0, 2, 3)) + target.sum((0, 2, 3)) + 1)
        places = F.binary_cross_entropy_with_logits(maps, target) + 0.2 * dice.mean()
    if outlined.any():
        places = places + F.binary_cross_entropy_with_logits(seen.maps[outlined, -1], batch.maps[outlined, -1])
    return classes, presence, places


def windows_of(source: Pixels, size: int) -> Tensor:
    """The reader's windows around the drawn outlines: (N, 3, S, S), normalised, in half precision."""
    made = torch.empty(len(source), 3, size, size, dtype=torch.float16)
    for row, (pixels, mask) in enumerate(zip(source.images, source.masks, strict=True)):
        top, left, bottom, right = window_box(mask > 127, extents=1.5, smallest=0.75)
        window = Image.fromarray(pixels[top:bottom, left:right]).resize((size, size), Image.Resampling.BICUBIC)
        made[row] = normalised(torch.from_numpy(np.asarray(window, np.float32)).permute(2, 0, 1)[None])[0].half()
    return made


@torch.inference_mode()
def predicted(net: ViTNet, windows: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities (N, 7) and structures' (N, 5), without mirrors."""
    net.eval()
    seen = [net(part.float()) for part in windows.split(32)]
    return (
        torch.cat([one.classes for one in seen]).softmax(1).numpy(),
        torch.cat([one.structures for one in seen]).sigmoid().numpy(),
    )


def structure_aurocs(presence: np.ndarray, chances: np.ndarray) -> dict[str, float]:
    return {
        name: float(roc_auc_score(presence[:, i], chances[:, i]))
        for i, name in enumerate(STRUCTURES)
        if 0 < presence[:, i].sum() < len(presence)
    }


@dataclass(frozen=True, eq=False)
class Held:
    """What `val` is scored on."""

    windows: dict[str, Tensor]
    labels: dict[str, np.ndarray]
    presence: np.ndarray

    def scores(self, net: ViTNet) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for name, windows in self.windows.items():
            classes, structures = predicted(net, windows)
            figures = classification_figures(self.labels[name], classes)
            found |= {f"{name} {figure}": value for figure, value in figures.items()}
            if name == "isic":
                aurocs = structure_aurocs(self.presence, structures)
                found |= {f"AUROC {one}": value for one, value in aurocs.items()}
                found["AUROC mean"] = float(np.mean(list(aurocs.values())))
        return found


def load_sources(config: Config) -> tuple[dict[str, Pixels], Drawn, Held]:
    folder = data_folder(config.data or None)

    def table(name: str, split: str) -> pd.DataFrame:
        rows = read_table(folder, name, [split])
        return rows.sample(config.limit, random_state=0).reset_index(drop=True) if config.limit else rows

    isic_size = (300, 400)
    ham, isic = table("ham10000", "train"), table("isic2018_attributes", "train")
    sources = {
        "frame": load_pixels(ham, (150, 200)),
        "square": square_pixels(folder, ham, 256),
        "isic": load_pixels(isic, isic_size),
        "pad": load_pixels(table("pad_ufes_20", "train"), (224, 224)),
    }
    ham_val, isic_val = table("ham10000", "val"), table("isic2018_attributes", "val")
    held = {
        "square": square_pixels(folder, ham_val, 256),
        "frame": load_pixels(ham_val, (150, 200)),
        "isic": load_pixels(isic_val, isic_size),
    }
    return (
        sources,
        drawn_structures(folder, isic, isic_size),
        Held(
            {name: windows_of(source, config.size) for name, source in held.items()},
            {name: source.labels for name, source in held.items()},
            drawn_structures(folder, isic_val, isic_size).presence,
        ),
    )


def groups_of(net: ViTNet, config: Config) -> Iterator[dict[str, object]]:
    """Parameters by depth: each block learns `layer_decay` times as fast as the one after it."""
    depth = len(net.tower.encoder.layer)
    found: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("tower.encoder.layer."):
            level = int(name.split(".")[3])
            rate = config.learning_rate * config.layer_decay ** (depth - 1 - level)
        elif name.startswith("tower.embeddings"):
            rate = config.learning_rate * config.layer_decay**depth
        elif name.startswith("tower."):
            rate = config.learning_rate
        else:
            rate = config.head_rate
        found.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    for (rate, decays), parameters in found.items():
        yield {"params": parameters, "lr": rate, "weight_decay": config.weight_decay if decays else 0.0}


def started(config: Config) -> ViTNet:
    net = ViTNet(drop_path=config.drop_path)
    if config.backbone.endswith(".pt"):
        net.load_state_dict(torch.load(config.backbone, map_location="cpu", weights_only=True))
    elif config.backbone:
        net.tower.load_state_dict(load_file(config.backbone))
    for module in [net.tower.embeddings, *net.tower.encoder.layer[: config.frozen_blocks]]:
        module.requires_grad_(False)
    return net


def train(config: Config, *, resume: bool = False) -> None:
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    torch.set_flush_denormal(True)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(asdict(config), indent=1))
    sources, drawn, held = load_sources(config)
    checkpoint, log = out / "checkpoint.pt", out / "metrics.jsonl"
    net, average, done = started(config), ViTNet(), 0
    optimizer = torch.optim.AdamW(groups_of(net, config), lr=config.learning_rate)

    def rate(step: int) -> float:
        rise = min(1.0, (step + 1) / config.warmup)
        return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    average.load_state_dict(net.state_dict())
    if resume and checkpoint.is_file():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        for part, name in ((net, "net"), (average, "average"), (optimizer, "optimizer"), (schedule, "schedule")):
            part.load_state_dict(state[name])
        done = int(state["step"])
    sampler = Windows(sources, drawn, config, np.random.default_rng(config.seed + done))
    began, saved, totals = time.perf_counter(), time.perf_counter(), np.zeros(3)
    for step in range(done, config.steps):
        net.train()
        batch, pixels, mix = sampler.batch(), None, None
        if sampler.rng.random() < config.mixup:
            mix = float(sampler.rng.beta(0.4, 0.4))
            pixels = (1 - mix) * batch.pixels + mix * batch.pixels.flip(0)
        parts = losses_of(
            net(batch.pixels if pixels is None else pixels), batch, smoothing=config.label_smoothing, mix=mix
        )
        optimizer.zero_grad(set_to_none=True)
        (parts[0] + config.structure_weight * parts[1] + config.map_weight * parts[2]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 3.0)
        optimizer.step()
        schedule.step()
        keep = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                mean.lerp_(value, 1 - keep)
        totals += [part.item() for part in parts]
        if (step + 1) % 25 == 0:
            names = ("class_loss", "presence_loss", "place_loss")
            seconds = (time.perf_counter() - began) / (step + 1 - done)
            append(log, {"step": step + 1, **dict(zip(names, totals / 25, strict=True)), "seconds": seconds})
            totals[:] = 0
        last = step + 1 == config.steps
        if (step + 1) % config.eval_every == 0 or last:
            append(log, {"step": step + 1, **held.scores(average)})
        if time.perf_counter() - saved > config.save_seconds or last:
            state = {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": step + 1,
            }
            write_checkpoint(checkpoint, state)
            saved = time.perf_counter()
    torch.save(average.state_dict(), out / "average.pt")


def main(arguments: list[str] | None = None) -> None:
    config, resume = options_of(Config, __doc__, arguments)
    train(config, resume=resume)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
