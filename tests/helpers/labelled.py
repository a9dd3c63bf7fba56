"""A VAE that requires labels."""

import copy
from typing import Self

import torch
from torch import Tensor

from src.models.distributions import CodeDistribution, ImageDistribution
from src.models.gaussians import DiagonalGaussian
from src.models.vae import VAE

SHIFT = 0.5  # shift of the posterior's mean per unit of the label


class Labelled(VAE):
    """A VAE whose posterior's mean moves with the label, and which cannot be used without labels."""

    y: Tensor | None = None

    def given(self, y: Tensor) -> Self:
        view = copy.copy(self)
        view.y = y
        return view

    def given_each_label(self, count: int) -> Self:
        return self.given(torch.arange(count) % 3)

    def labels(self) -> Tensor:
        if self.y is None:
            raise AssertionError("used without the labels of the batch")
        return self.y

    def encode(self, x: Tensor) -> CodeDistribution:
        y, q = self.labels(), super().encode(x)
        assert len(y) == len(x)
        return DiagonalGaussian(q.loc + SHIFT * y[:, None], q.scale)

    def decode(self, z: Tensor) -> ImageDistribution:
        self.labels()
        return super().decode(z)

    def prior(self) -> CodeDistribution:
        self.labels()
        return super().prior()


def with_labels(vae: VAE) -> Labelled:
    """Make a VAE with a diagonal Gaussian posterior require labels; it is changed in place."""
    vae.__class__ = Labelled
    return vae
