"""Trains the heads that see dermoscopic structures, on what the third look's network sees of finer images.

    python -m train.embedded.structure_heads --run runs/second_look

The network stays as it is: its tokens are computed once for every image of ISIC 2018 with drawn structures, in windows
of 280 px around the drawn outline. `train` is learned from; the epoch is the one with the least loss on `val`. Writes
`heads.safetensors` into the run's folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from dermiq.specialist.reader import STRUCTURE_SIZE, transformer_views, window_box
from dermiq.specialist.vit import PATCH, StructureHeads, ViTNet
from dermiq.types import STRUCTURES
from train.cases.data import data_folder, read_table
from train.embedded.looks import pixels_of
from train.embedded.second_look import drawn_structures

EPOCHS, BATCH, RATE, DECAY = 14, 64, 2e-3, 0.05


@dataclass(frozen=True, eq=False)
class Seen:
    """Of N images: tokens (N, P, width) in half precision, features (N, 768), presence (N, 5), places (N, P, 5)."""

    tokens: Tensor
    images: Tensor
    presence: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.presence)


@torch.inference_mode()
def seen(net: ViTNet, heads: StructureHeads, data: Path, split: str) -> Seen:
    net.eval()
    table = read_table(data, "isic2018_attributes", [split])
    drawn, side = drawn_structures(data, table, (300, 400)), STRUCTURE_SIZE // PATCH
    tokens, images = [], []
    places = np.zeros((len(table), len(STRUCTURES), side, side), np.float32)
    for row, (image, mask) in enumerate(zip(table["image"], table["mask"], strict=True)):
        pixels = pixels_of(image)
        size = pixels.shape[1::-1]
        outline = np.asarray(Image.open(mask).convert("L").resize(size, Image.Resampling.NEAREST)) > 127
        top, left, bottom, right = window_box(outline, extents=1.5, smallest=0.75)
        views = transformer_views(pixels[top:bottom, left:right], STRUCTURE_SIZE)[:1]
        found, whole = net.tokens(views, heads.layers)
        tokens.append(found[0].half())
        images.append(whole[0])
        for number in range(len(STRUCTURES)):
            bit = Image.fromarray((drawn.bits[row] >> number & 1) * np.uint8(255)).resize(
                size, Image.Resampling.NEAREST
            )
            window = bit.crop((left, top, right, bottom)).resize((side, side), Image.Resampling.BOX)
            places[row, number] = np.asarray(window, np.float32) / 255
    where = torch.from_numpy(places).flatten(2).transpose(1, 2)
    return Seen(torch.stack(tokens), torch.stack(images), torch.from_numpy(drawn.presence), where)


def normalised(given: Seen, by: Seen) -> Seen:
    """In fp32, with the means and spreads of `by`: once, since it takes longer than the heads themselves."""
    (mean, spread), (image_mean, image_spread) = spreads(by)
    tokens = given.tokens.float().sub_(mean).div_(spread)
    return Seen(tokens, (given.images - image_mean) / image_spread, given.presence, given.places)


def spreads(given: Seen) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Mean and standard deviation of each number of the tokens, and of the images' features."""
    sample = given.tokens[::7].float()
    of_tokens = sample.mean((0, 1)), sample.std((0, 1)).clamp(min=1e-6)
    return of_tokens, (given.images.mean(0), given.images.std(0).clamp(min=1e-6))


def loss_of(heads: StructureHeads, given: Seen, rows: Tensor) -> Tensor:
    presence, places = heads(given.tokens[rows], given.images[rows])
    where = F.binary_cross_entropy_with_logits(places, given.places[rows])
    return F.binary_cross_entropy_with_logits(presence, given.presence[rows]) + where


@torch.inference_mode()
def judged(heads: StructureHeads, given: Seen) -> tuple[float, list[float]]:
    """Loss of presence, and AUROC of each structure."""
    heads.eval()
    parts = torch.arange(len(given)).split(BATCH)
    logits = torch.cat([heads(given.tokens[rows].float(), given.images[rows])[0] for rows in parts])
    loss = F.binary_cross_entropy_with_logits(logits, given.presence).item()
    truth = given.presence.numpy()
    return loss, [float(roc_auc_score(truth[:, i], logits[:, i].numpy())) for i in range(len(STRUCTURES))]


def fit(heads: StructureHeads, train: Seen, val: Seen, *, epochs: int = EPOCHS, seed: int = 0) -> StructureHeads:
    """The epoch with the least loss of presence on `val`."""
    torch.manual_seed(seed)
    known, held = normalised(train, train), normalised(val, train)
    torch.nn.init.normal_(heads.places.weight, std=0.01)
    torch.nn.init.zeros_(heads.image.weight)
    optimizer = torch.optim.AdamW(heads.parameters(), lr=RATE, weight_decay=DECAY)
    best, kept = float("inf"), heads.state_dict()
    for epoch in range(epochs):
        heads.train()
        for rows in torch.randperm(len(known)).split(BATCH):
            loss = loss_of(heads, known, rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        found, aurocs = judged(heads, held)
        print(f"epoch {epoch}: loss {found:.4f}, AUROC {', '.join(f'{one:.3f}' for one in aurocs)}", flush=True)
        if found < best:
            best, kept = found, {name: value.clone() for name, value in heads.state_dict().items()}
    heads.load_state_dict(kept)
    (heads.token_mean, heads.token_spread), (heads.image_mean, heads.image_spread) = spreads(train)
    return heads.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", default=None, help="the data folder; default: DERMIQ_DATA")
    options = parser.parse_args(arguments)
    data, net, heads = data_folder(options.data), ViTNet(), StructureHeads()
    net.load_state_dict(torch.load(options.run / "average.pt", weights_only=True))
    train, val = (seen(net, heads, data, split) for split in ("train", "val"))
    fit(heads, train, val)
    save_file(heads.state_dict(), options.run / "heads.safetensors")


if __name__ == "__main__":
    main()
