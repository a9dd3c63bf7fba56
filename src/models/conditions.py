"""How a VAE uses the label y of an image: what its networks get beside image and code, and perhaps a prior p(z|y).

A condition is called for the labels (B,) of a batch, whole numbers below the number of `labels`. The encoder sees
`planes` more channels, and the decoder `features` more numbers beside a code, so that any pair of networks serves.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, final

import torch
from annotated_types import MinLen
from torch import Tensor, nn
from torch.distributions import kl_divergence, register_kl

from src.models.adapters import Forwarding, Wrapped
from src.models.bounds import clamp_location, clamp_scale
from src.models.distributions import CodeDistribution, Flow
from src.models.gaussians import DiagonalGaussian
from src.support.ranges import Count, check_arguments

SPREAD = 0.1  # standard deviation of the initial pixels of a label's image


@check_arguments
class Label(nn.Module):
    """The encoder sees a learned image of the label beside the image, the decoder the label as a one-hot vector.

    This is the conditional VAE of Kingma et al. (2014, M2 without its classifier) and Sohn et al. (2015).

    shape: of an image, (C, H, W)
    latent_dim: the dimensions of p(z|y); of a hierarchy those of its top level
    labels: the names of the classes, whose order is that of the labels' numbers
    prior: the form of p(z|y), which replaces the prior of the VAE: `gaussian`, one of each label, or `flow`, a
        normalizing flow of coupling layers that sees the label; `none`: there is the VAE's p(z) alone
    """

    def __init__(
        self,
        shape: Sequence[Count],
        latent_dim: Count,
        labels: Annotated[Sequence[str], MinLen(2)] | Literal["auto"],
        prior: Literal["none", "gaussian", "flow"] = "none",
    ) -> None:
        super().__init__()
        if labels == "auto":
            raise ValueError("labels must be the names of two classes or more, as condition.labels=[cat,dog]")
        self.labels, self.planes, self.features = tuple(labels), 1, len(labels)
        self.images = nn.Parameter(SPREAD * torch.randn(len(labels), 1, *shape[1:]))
        self.one_hot: Tensor
        self.register_buffer("one_hot", torch.eye(len(labels)), persistent=False)
        self.latent_dim, self.has_prior, self.codes = latent_dim, prior != "none", None
        if prior == "gaussian":
            self.codes = GaussianCodes(latent_dim, len(labels))
        elif prior == "flow":
            self.codes = FlowCodes(latent_dim, len(labels))

    def beside_images(self, y: Tensor) -> Tensor:
        """The channels (B, planes, H, W) that the encoder sees beside images of these labels (B,)."""
        return self.images.index_select(0, y)

    def beside_codes(self, y: Tensor) -> Tensor:
        """The numbers (B, features) that the decoder sees beside codes of these labels (B,)."""
        return self.one_hot.index_select(0, y)

    def prior(self, y: Tensor) -> "PriorOfLabels":
        """p(z|y) for labels (B,), a distribution over codes (B, D)."""
        if self.codes is None:
            raise ValueError("prior=none has no p(z|y)")
        return PriorOfLabels(self.codes(y))

    def carry(self, z: Tensor, y: Tensor, to: Tensor) -> Tensor:
        """The codes of images of the labels `to` (B,) that are where z (B, D) are among those of the labels y (B,).

        They are z itself, or of p(z|y) those of the same noise; numbers beside the `latent_dim` that p(z|y) is over, of
        the lower levels of a hierarchy, stay as they are.
        """
        if self.codes is None:
            return z
        ours, below = z[:, : self.latent_dim], z[:, self.latent_dim :]
        return torch.cat([self.codes.from_noise(self.codes.to_noise(ours, y), to), below], 1)


class GaussianCodes(nn.Module):
    """p(z|y) = N(m_y, diag(s_y^2)), which begins as N(0, I); called with labels (B,)."""

    def __init__(self, latent_dim: int, labels: int) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.zeros(labels, latent_dim))
        self.log_scales = nn.Parameter(torch.zeros(labels, latent_dim))

    def forward(self, y: Tensor) -> DiagonalGaussian:
        """Distribution over (B, D)."""
        loc, log_scale = (each.index_select(0, y) for each in (self.means, self.log_scales))
        return DiagonalGaussian(clamp_location(loc), *clamp_scale(log_scale))

    def to_noise(self, z: Tensor, y: Tensor) -> Tensor:
        """The standard normal numbers (B, D) that codes z (B, D) are made of."""
        p = self(y)
        return (z - p.loc) / p.scale

    def from_noise(self, noise: Tensor, y: Tensor) -> Tensor:
        """The codes (B, D) that are made of standard normal numbers (B, D)."""
        p = self(y)
        return p.loc + p.scale * noise


class FlowCodes(nn.Module):
    """z = f(u; y), u ~ N(0, I): the flow of priors.py that sees the labels y (B,), begun near N(0, I)."""

    TRANSFORMS, HIDDEN = 4, (64, 64)

    def __init__(self, latent_dim: int, labels: int) -> None:
        super().__init__()
        from src.models.flows import autoregressive_transform  # zuko takes a second to import

        self.latent_dim = latent_dim
        self.one_hot: Tensor
        self.register_buffer("one_hot", torch.eye(labels), persistent=False)
        self.to_base = autoregressive_transform(latent_dim, labels, self.TRANSFORMS, self.HIDDEN, passes=2)

    def forward(self, y: Tensor) -> Flow:
        """Distribution over (B, D)."""
        zeros = self.one_hot.new_zeros(len(y), self.latent_dim)
        f = self.to_base(self.one_hot.index_select(0, y)).inv
        return Flow(DiagonalGaussian(zeros, zeros + 1), f, evaluates_any_code=True)

    def to_noise(self, z: Tensor, y: Tensor) -> Tensor:
        """The standard normal numbers (B, D) that codes z (B, D) are made of."""
        return self(y).f.inv(z)

    def from_noise(self, noise: Tensor, y: Tensor) -> Tensor:
        """The codes (B, D) that are made of standard normal numbers (B, D)."""
        return self(y).f(noise)


@final
class PriorOfLabels(Forwarding, CodeDistribution):
    """p(z|y) over codes (B, D) of B labels, which is not spread over codes of another number of images.

    Its `sample()` is one code of each label.
    """

    def __init__(self, wrapped: CodeDistribution) -> None:
        super().__init__(wrapped)

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        self.check(noise)
        return self.wrapped.rsample_and_log_prob(noise)

    def quantiles(self, levels: Tensor) -> Tensor | None:
        """Those of each label and dimension, (S, B, D) for levels (S,); None without a closed form."""
        return None if self.known_factors is None else self.known_factors.icdf(levels[:, None, None])

    def log_prob(self, value: Tensor) -> Tensor:
        self.check(value)
        return self.wrapped.log_prob(value)

    def check(self, z: Tensor) -> None:
        """Raise ValueError unless codes (..., B, D) are of as many images as there are labels."""
        (count,) = self.batch_shape
        if z.shape[-2] != count:
            raise ValueError(f"{count} labels need codes (..., {count}, {z.shape[-1]}), got {tuple(z.shape)}")


@register_kl(CodeDistribution, PriorOfLabels)
def _(q: CodeDistribution, p: PriorOfLabels) -> Tensor:
    p.check(q.mean)
    return kl_divergence(q, p.wrapped)


@register_kl(Wrapped, PriorOfLabels)
def _(q: Wrapped, p: PriorOfLabels) -> Tensor:
    p.check(q.mean)
    return kl_divergence(q.wrapped, p.wrapped)
