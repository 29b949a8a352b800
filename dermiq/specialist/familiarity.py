"""How far an image lies from what the specialist was trained on. Knows features only."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Familiarity:
    """Distance of an image from the training data.

    Mahalanobis distance to the nearest class mean with one shared covariance (Lee et al. 2018, arXiv
    1807.03888), on the leading principal components of the features, stated as percentile among `val` images.
    """

    def __init__(self, basis: Tensor, means: Tensor, precision: Tensor, quantiles: Tensor) -> None:
        self.basis = basis  # (1280, k)
        self.means = means  # (groups, k)
        self.precision = precision  # (k, k)
        self.quantiles = quantiles  # (1001,) distances of validation images, ascending

    @classmethod
    def fit(cls, features: Tensor, groups: Tensor, held_out: Tensor, *, components: int = 48) -> Familiarity:
        """`features` (N, 1280) of training images with their group, `held_out` (M, 1280) of validation images."""
        _, _, right = torch.linalg.svd(features - features.mean(0), full_matrices=False)
        basis = right[:components].T.contiguous()
        projected = features @ basis
        means = torch.stack([projected[groups == g].mean(0) for g in groups.unique()])
        centred = torch.cat([projected[groups == g] - projected[groups == g].mean(0) for g in groups.unique()])
        precision = torch.linalg.inv(torch.cov(centred.T) + 1e-3 * torch.eye(components))
        made = cls(basis, means, precision, torch.zeros(1001))
        made.quantiles = torch.quantile(made.distance(held_out), torch.linspace(0, 1, 1001))
        return made

    def distance(self, features: Tensor) -> Tensor:
        """(N, 1280) -> (N,), in standard deviations."""
        gap = (features @ self.basis)[:, None] - self.means  # (N, groups, k)
        return torch.einsum("ngk,kl,ngl->ng", gap, self.precision, gap).min(1).values.clamp(min=0).sqrt()

    def percentile(self, features: Tensor) -> float:
        rank = torch.searchsorted(self.quantiles, self.distance(features[None]))
        return float(rank[0]) / (len(self.quantiles) - 1) * 100 if rank[0] < len(self.quantiles) else 100.0

    def tensors(self) -> dict[str, Tensor]:
        return {f"familiarity.{name}": value.contiguous() for name, value in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Familiarity:
        return cls(**{key.removeprefix("familiarity."): value.float() for key, value in tensors.items()})
