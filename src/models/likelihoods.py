"""p(x | z): heads that turn the decoder's output into a distribution over images.

A likelihood states how many numbers it needs for each channel of a pixel, `channels`, and its `support`, for which the
data are prepared and against which they are validated: `boolean`, binary images; `GreyLevels`, the 256 levels as they
are; any other, a density, for which level k becomes (k + u) / 256 with u uniform. Without that noise a density could
put all its mass on the levels, and log p(x) would be unbounded (Theis et al., 2016). It returns an ImageDistribution
(distributions.py), or any distribution of torch that sums over the pixels.

A likelihood whose scale is fitted to each training batch returns distributions that say so (`fits_batch`). It has a
method `update(px, x)`, which is called after each training step and adds the batch to the statistics that evaluation
uses.

Its method `raw_of_mean(mean)` returns the raw numbers at which p(x | z) has a mean in (0, 1), so that the VAE can start
at the mean of the training images. A likelihood without that method starts at raw = 0.

The scale of a density is kept above FLOOR, since a pixel that never varies, as on MNIST's border, would shrink it to
zero. Any finite output of the decoder gives a finite density: a location is clamped at FAR_PIXEL from zero, a scale at
e^34, and a sum of log-probabilities of binary pixels at 1e30 nats from zero. Beyond these bounds the gradient is zero.
"""

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.distributions import Normal, constraints

from src.models.bounds import LOG_FAR
from src.models.distributions import FactorisedImage, ImageDistribution
from src.models.images import FLOOR, BatchFittedNormal, BinaryImage, DiscretizedLogistic, batch_variance
from src.models.images import ContinuousBernoulli as ContinuousBernoulliDistribution
from src.support.ranges import check_arguments

Sigma = Literal["learned", "per_pixel", "optimal"] | Annotated[float, Ge(FLOOR), Lt(math.inf)]
BISECTIONS = 60  # halve an interval of 562 logits to less than 1e-15
FAR_PIXEL = 1e10  # bound of a pixel's location, in units of the gray range


class Bernoulli(nn.Module):
    """p(x | z) = prod_i pi_i^x_i (1 - pi_i)^(1 - x_i) for binary images, raw = logit(pi)."""

    channels = 1
    support = constraints.boolean

    def forward(self, raw: Tensor) -> BinaryImage:
        """raw (..., C, H, W) -> distribution over the same shape, log_prob (...)."""
        return BinaryImage(raw)

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """logit(mean), (..., C, H, W)."""
        return torch.logit(mean)

    def from_uniform(self, raw: Tensor, noise: Tensor) -> Tensor:
        """Pixels (..., C, H, W) drawn by noise of that shape, uniform on [0, 1)."""
        return (noise < torch.sigmoid(raw)).to(raw.dtype)


class ContinuousBernoulli(nn.Module):
    """p(x | z) = prod_i C(pi_i) pi_i^x_i (1 - pi_i)^(1 - x_i) for x in [0, 1] (Loaiza-Ganem & Cunningham, 2019).

    Near 0 and 1 the density decays over a distance of 1 / |logit|, which is kept above FLOOR.
    """

    channels = 1
    support = constraints.unit_interval

    def forward(self, raw: Tensor) -> FactorisedImage:
        """raw (..., C, H, W) -> distribution over the same shape, log_prob (...)."""
        # tanh rather than clamp, so that a saturated pixel still has a gradient that brings it back
        logits = torch.tanh(raw * FLOOR) / FLOOR
        return FactorisedImage(ContinuousBernoulliDistribution(logits))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """The raw numbers with this mean, (..., C, H, W), found by bisection.

        The logit stays within half of its range, where tanh still has three quarters of its slope.
        """
        high = torch.full_like(mean, math.atanh(0.5) / FLOOR)
        low = -high
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            is_below = self(middle).mean < mean
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        return (low + high) / 2


@check_arguments
class Gaussian(nn.Module):
    """p(x | z) = N(x; mu, sigma^2), mu from the decoder (sigma-VAE: Rybkin et al., 2021).

    sigma: `learned`, one for all pixels; `per_pixel`, from the decoder; `optimal`, the root of the training batch's
        mean squared error, of which evaluation takes the running mean; or a number, in units of the gray range
    """

    support = constraints.real
    START = 0.3  # sigma before training
    MEMORY = 0.9  # factor by which each batch discounts the running mean

    def __init__(self, sigma: Sigma = "learned") -> None:
        super().__init__()
        self.sigma: Sigma = sigma
        self.channels = 2 if sigma == "per_pixel" else 1
        if sigma == "learned":
            self.log_sigma = nn.Parameter(torch.tensor(math.log(self.START - FLOOR)))
        if sigma == "optimal":
            self.variance: Tensor
            self.register_buffer("variance", torch.tensor(self.START**2))

    def forward(self, raw: Tensor) -> FactorisedImage:
        """raw (..., channels C, H, W) -> distribution over (..., C, H, W), log_prob (...)."""
        mu = raw.clamp(-FAR_PIXEL, FAR_PIXEL)
        if self.sigma == "optimal" and self.training:
            return FactorisedImage(BatchFittedNormal(mu, self.variance.sqrt()), fits_batch=True)
        if self.sigma == "optimal":
            sigma = self.variance.sqrt()
        elif self.sigma == "learned":
            sigma = FLOOR + self.log_sigma.clamp(max=LOG_FAR).exp()
        elif self.sigma == "per_pixel":
            mu, raw_sigma = mu.chunk(2, -3)
            sigma = FLOOR + self.START * raw_sigma.clamp(max=LOG_FAR).exp()
        else:
            sigma = self.sigma
        return FactorisedImage(Normal(mu, sigma, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """The mean itself, (..., channels C, H, W), and zeros for the scales of sigma=per_pixel."""
        return torch.cat([mean, torch.zeros_like(mean)], -3) if self.sigma == "per_pixel" else mean

    @torch.no_grad()
    def update(self, px: ImageDistribution, x: Tensor) -> None:
        """Move the running mean of sigma=optimal towards the mean squared error of a training batch x (B, C, H, W)."""
        self.variance.lerp_(batch_variance(px.mean, x).to(self.variance), 1 - self.MEMORY)


class Logistic256(nn.Module):
    """p(x | z) of the 256 gray levels: a rounded logistic distribution for each pixel, location and scale from the
    decoder (Kingma et al., 2016; Salimans et al., 2017)."""

    channels = 2
    support = DiscretizedLogistic.support
    START = 0.1  # scale before training

    def forward(self, raw: Tensor) -> FactorisedImage:
        """raw (..., 2 C, H, W) -> distribution over (..., C, H, W), log_prob (...)."""
        return FactorisedImage(self.pixels(raw))

    def pixels(self, raw: Tensor) -> DiscretizedLogistic:
        """The distributions of the single pixels (..., C, H, W)."""
        loc, raw_scale = raw.chunk(2, -3)
        # a scale far below the distance of two levels changes no probability, and a scale of zero divides by zero
        scale = FLOOR / 10 + self.START * raw_scale.clamp(max=LOG_FAR).exp()
        loc = loc.clamp(-FAR_PIXEL, FAR_PIXEL)
        return DiscretizedLogistic(loc, scale)

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """The locations with this mean, (..., 2 C, H, W), beside zeros for the scales.

        With scale s the mean is s (softplus(l / s) - softplus((l - 1) / s)), so that
        l = s log((exp(mean / s) - 1) / (1 - exp((mean - 1) / s))).
        """
        scale = FLOOR / 10 + self.START
        loc = scale * (torch.expm1(mean / scale).log() - (-torch.expm1((mean - 1) / scale)).log())
        return torch.cat([loc, torch.zeros_like(mean)], -3)

    def from_uniform(self, raw: Tensor, noise: Tensor) -> Tensor:
        """Pixels (..., C, H, W) drawn by noise of that shape, uniform on [0, 1)."""
        return self.pixels(raw).from_uniform(noise)
