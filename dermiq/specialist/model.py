"""The specialist's network: the shared tower, a class head and an outline decoder.

Knows tensors only; images, calibration and abstention are `dermiq.specialist.reader`'s.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dermiq.types import CLASSES
from dermiq.vlm.tower import PYRAMID_CHANNELS, DermTower, DermTowerConfig


class OutlineDecoder(nn.Module):
    """A small feature pyramid (Lin et al. 2017, arXiv 1612.03144): five maps -> one outline logit at stride 2."""

    def __init__(self, width: int = 40) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in PYRAMID_CHANNELS)
        self.smooths = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
                nn.Conv2d(width, width, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
            for _ in PYRAMID_CHANNELS[:-1]
        )
        self.out = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Maps at strides 2 to 32 of (B, 3, S, S) -> logits (B, S/2, S/2)."""
        x = self.laterals[-1](pyramid[-1])
        for level in range(len(pyramid) - 2, -1, -1):
            finer = pyramid[level]
            x = F.interpolate(x, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            x = self.smooths[level](x + self.laterals[level](finer))
        logits: Tensor = self.out(x).squeeze(1)
        return logits


class SpecialistNet(nn.Module):
    def __init__(self, config: DermTowerConfig | None = None, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.tower = DermTower(config or DermTowerConfig())
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.tower.config.hidden_size, len(CLASSES))
        self.decoder = OutlineDecoder()

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) -> class logits (B, 7), outline logits (B, S/2, S/2), features (B, 1280)."""
        pyramid = self.tower.pyramid(pixel_values)
        features = pyramid[-1].mean((2, 3))
        return self.classifier(self.dropout(features)), self.decoder(pyramid), features

    def classify(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, S, S) -> class logits (B, 7), without the outline."""
        logits: Tensor = self.classifier(self.tower.pyramid(pixel_values)[-1].mean((2, 3)))
        return logits
