"""The vision tower that both readers share: EfficientNet-Lite0 as a Hugging Face vision model.

Registered with the Auto classes, so that a stock `LlavaForConditionalGeneration` takes it as
its vision tower. Knows no heads: the specialist's class head and outline decoder live in
`dermiq.specialist`.

Architecture: EfficientNet (Tan and Le 2019, arXiv 1905.11946) without squeeze-and-excitation and
with ReLU6, as TensorFlow's "lite" variants define it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

# (expansion, channels, repeats, stride, kernel) of each stage
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
PYRAMID_CHANNELS = (16, 24, 40, 112, 1280)
"""Channels of the feature maps at strides 2, 4, 8, 16 and 32."""
FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))  # axes of (B, C, H, W) to mirror
PIXEL_MEAN, PIXEL_STD = 127.0, 128.0  # of values 0 to 255, the pretrained network's own


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    """A convolution with TensorFlow's SAME padding (asymmetric at stride 2 on even sizes) and batch norm."""
    total = kernel - stride
    pad = (total // 2, total - total // 2)
    layers: list[nn.Module] = []
    if pad[0] != pad[1]:
        layers.append(nn.ZeroPad2d((pad[0], pad[1], pad[0], pad[1])))
    padding = pad[0] if pad[0] == pad[1] else 0
    layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
    layers.append(nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))
    return nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; with a shortcut where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int, kernel: int, drop: float) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = _convolution(inputs, hidden, 1, 1) if expansion != 1 else None
        self.depthwise = _convolution(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _convolution(hidden, outputs, 1, 1)
        self.shortcut = stride == 1 and inputs == outputs
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else nn.functional.relu6(self.expand(x))
        y = self.project(nn.functional.relu6(self.depthwise(y)))
        if not self.shortcut:
            return y
        if self.training and self.drop:  # stochastic depth (arXiv 1603.09382)
            keep = (torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop).to(y.dtype)
            y = y * keep / (1 - self.drop)
        return x + y


class DermTowerConfig(PretrainedConfig):
    model_type = "derm_tower"

    def __init__(
        self,
        image_size: int = 160,
        patch_size: int = 32,
        hidden_size: int = 1280,
        drop_connect: float = 0.1,
        **kwargs: Any,
    ) -> None:
        self.image_size = image_size
        self.patch_size = patch_size  # one output cell covers 32 x 32 pixels
        self.hidden_size = hidden_size
        self.drop_connect = drop_connect
        super().__init__(**kwargs)


class Tower(PreTrainedModel):
    """What transformers must know of a vision tower."""

    base_model_prefix = "tower"
    main_input_name = "pixel_values"
    input_modalities = "image"
    _no_split_modules = ["InvertedResidual"]  # noqa: RUF012  the base class declares a list


class DermTower(Tower):
    config_class = DermTowerConfig

    def __init__(self, config: DermTowerConfig) -> None:
        super().__init__(config)
        self.stem = _convolution(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        inputs = 32
        count = sum(stage[2] for stage in STAGES)
        self.pyramid_after: list[int] = []  # index of the last block at strides 2, 4, 8, 16
        for expansion, outputs, repeats, stride, kernel in STAGES:
            if stride == 2:
                self.pyramid_after.append(len(blocks) - 1)
            for repeat in range(repeats):
                drop = config.drop_connect * len(blocks) / count
                step = stride if repeat == 0 else 1
                block = InvertedResidual(inputs, outputs, expansion=expansion, stride=step, kernel=kernel, drop=drop)
                blocks.append(block)
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = _convolution(inputs, config.hidden_size, 1, 1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            nn.init.zeros_(module.running_mean)  # type: ignore[arg-type]
            nn.init.ones_(module.running_var)  # type: ignore[arg-type]

    def pyramid(self, pixel_values: Tensor) -> list[Tensor]:
        """Feature maps at strides 2, 4, 8, 16, 32 of (B, 3, S, S); the last has 1280 channels."""
        maps = []
        x = nn.functional.relu6(self.stem(pixel_values))
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.pyramid_after:
                maps.append(x)
        maps.append(nn.functional.relu6(self.head(x)))
        return maps

    def forward(self, pixel_values: Tensor, **kwargs: object) -> BaseModelOutputWithPooling:
        """(B, 3, S, S) -> last_hidden_state (B, (S/32)^2, 1280), pooled (B, 1280)."""
        return _as_output(self.pyramid(pixel_values)[-1])


class DermTowerPairConfig(PretrainedConfig):
    model_type = "derm_tower_pair"

    def __init__(self, image_size: int = 192, patch_size: int = 32, hidden_size: int = 2560, **kwargs: Any) -> None:
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_size = hidden_size  # both towers' channels, one after the other
        super().__init__(**kwargs)


class DermTowerPair(Tower):
    """Both of the specialist's towers on one image: DermIQ-Nano's vision tower.

    The cells are averaged over four mirrored copies, each mirrored back, so that a linear head over their mean gives
    the mean of its logits over the copies.
    """

    config_class = DermTowerPairConfig

    def __init__(self, config: DermTowerPairConfig) -> None:
        super().__init__(config)
        single = DermTowerConfig(image_size=config.image_size)
        self.far, self.near = DermTower(single), DermTower(single)
        self.post_init()

    def train(self, mode: bool = True) -> DermTowerPair:
        """While it is frozen it stays as in evaluation: batch norm's running statistics are weights, too."""
        super().train(mode and any(parameter.requires_grad for parameter in self.parameters()))
        return self

    def maps(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 2560, S/32, S/32), each image as it is."""
        return torch.cat([tower.pyramid(pixel_values)[-1] for tower in (self.far, self.near)], dim=1)

    def forward(self, pixel_values: Tensor, **kwargs: object) -> BaseModelOutputWithPooling:
        """(B, 3, S, S) -> last_hidden_state (B, (S/32)^2, 2560), pooled (B, 2560)."""
        copies = self.maps(torch.cat([pixel_values.flip(axes) for axes in FLIPS])).chunk(len(FLIPS))
        upright = torch.stack([copy.flip(axes) for copy, axes in zip(copies, FLIPS, strict=True)]).mean(0)
        return _as_output(upright)


def _as_output(maps: Tensor) -> BaseModelOutputWithPooling:
    tokens = maps.flatten(2).transpose(1, 2)
    return BaseModelOutputWithPooling(last_hidden_state=tokens, pooler_output=tokens.mean(1), hidden_states=(tokens,))


AutoConfig.register("derm_tower", DermTowerConfig, exist_ok=True)
AutoModel.register(DermTowerConfig, DermTower, exist_ok=True)
AutoConfig.register("derm_tower_pair", DermTowerPairConfig, exist_ok=True)
AutoModel.register(DermTowerPairConfig, DermTowerPair, exist_ok=True)
