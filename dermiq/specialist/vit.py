"""The second look's network: a DINOv2 ViT-S/14 with heads for the diagnosis and for dermoscopic structures.

Knows tensors only. Backbone: DINOv2 (Oquab et al. 2023, arXiv 2304.07193), as transformers builds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from dermiq.types import CLASSES, STRUCTURES

PATCH = 14  # px
HIDDEN = 384
LAYERS = (6, 9, 12)  # whose tokens the structures are read from
STRONGEST = 20  # places of the 400 whose mean says whether a structure is there
PIXEL_MEAN, PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of values 0 to 255, DINOv2's own


class Seen(NamedTuple):
    """What the network makes of B windows of S px, S a multiple of 14."""

    classes: Tensor  # logits (B, 7)
    structures: Tensor  # logits of presence (B, 5)
    maps: Tensor  # logits (B, 6, S / 14, S / 14): where each structure is, then the lesion
    features: Tensor  # (B, 768)


def normalised(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) of 0 to 255, as the backbone wants it."""
    return (pixels - torch.tensor(PIXEL_MEAN)[:, None, None]) / torch.tensor(PIXEL_STD)[:, None, None]


def backbone_config(*, drop_path: float = 0.0) -> Dinov2Config:
    return Dinov2Config(
        hidden_size=HIDDEN,
        num_hidden_layers=12,
        num_attention_heads=6,
        patch_size=PATCH,
        image_size=518,
        drop_path_rate=drop_path,
    )


class StructureHeads(nn.Module):
    """Which structures are there and where, from what several layers see of a finer image: small ones are lost on a
    coarse one, and in the last layers.
    """

    token_mean: Tensor  # of the training images, as the next three
    token_spread: Tensor
    image_mean: Tensor
    image_spread: Tensor

    def __init__(self, *, layers: Sequence[int] = LAYERS, hidden: int = HIDDEN, dropout: float = 0.5) -> None:
        super().__init__()
        self.layers = tuple(layers)
        width = hidden * len(self.layers)
        self.register_buffer("token_mean", torch.zeros(width))
        self.register_buffer("token_spread", torch.ones(width))
        self.register_buffer("image_mean", torch.zeros(2 * hidden))
        self.register_buffer("image_spread", torch.ones(2 * hidden))
        self.places = nn.Linear(width, len(STRUCTURES))
        self.image = nn.Linear(2 * hidden, len(STRUCTURES))
        self.scale = nn.Parameter(torch.full((len(STRUCTURES),), 0.7))
        self.shift = nn.Parameter(torch.zeros(len(STRUCTURES)))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, P, width) of the layers side by side and the image's features (B, 2 hidden) -> logits of presence
        (B, 5), logits of places (B, P, 5).
        """
        places = self.places((tokens - self.token_mean) / self.token_spread)
        strongest = places.topk(min(STRONGEST, places.shape[1]), dim=1).values.mean(1)
        image = (image - self.image_mean) / self.image_spread
        return self.scale * strongest + self.shift + self.image(self.dropout(image)), places


class ViTNet(nn.Module):
    def __init__(self, *, drop_path: float = 0.0, dropout: float = 0.2) -> None:
        super().__init__()
        config = backbone_config(drop_path=drop_path)
        self.tower = Dinov2Model(config)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * config.hidden_size, len(CLASSES))
        self.places = nn.Linear(config.hidden_size, len(STRUCTURES) + 1)
        self.presence = nn.Linear(2 * config.hidden_size, len(STRUCTURES))
        self.presence_from_places = nn.Parameter(torch.full((len(STRUCTURES),), 0.5))

    def tokens(self, pixel_values: Tensor, layers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S), normalised -> tokens (B, P, 384 a layer) of the layers side by side, the last one's normed, and
        the image's features (B, 768).
        """
        seen = self.tower(pixel_values, output_hidden_states=True)
        last = seen.last_hidden_state
        depth = len(self.tower.encoder.layer)
        found = [last if layer == depth else seen.hidden_states[layer] for layer in layers]
        return torch.cat([one[:, 1:] for one in found], -1), torch.cat([last[:, 0], last[:, 1:].mean(1)], -1)

    def forward(self, pixel_values: Tensor) -> Seen:
        """(B, 3, S, S), normalised -> what is seen."""
        tokens = self.tower(pixel_values).last_hidden_state
        patches = tokens[:, 1:]
        features = torch.cat([tokens[:, 0], patches.mean(1)], dim=1)
        side = pixel_values.shape[-1] // PATCH
        places = self.places(patches)  # (B, P, 6)
        # A structure is there where some of its places are: a soft maximum over them, beside the whole's impression.
        strongest = places[..., :-1].float().logsumexp(1) - torch.log(torch.tensor(float(patches.shape[1])))
        dropped = self.dropout(features)
        structures = self.presence(dropped) + self.presence_from_places * strongest
        maps = places.transpose(1, 2).unflatten(2, (side, side))
        return Seen(self.classifier(dropped), structures, maps, features)
