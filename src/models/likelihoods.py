"""p(x | z): heads that turn the decoder's output into a distribution over images.

A likelihood says how many numbers a pixel needs (`channels`, for each channel of the image) and what images it is a
distribution over: by its `support` data.py prepares them, and validation refuses all others. `boolean`: binary ones;
`GreyLevels`: the 256 levels as they are; else a density, for which a level k becomes (k + u) / 256, u uniform: else it
could put all its mass on the levels, and its log p(x) would have no bound (Theis et al., 2016). `fits_each_batch` is
true of one whose scale is fitted to each batch in training, which suits only objectives that weigh all samples alike.
The scale of a density is kept above FLOOR: a pixel that never varies, as MNIST's border, would ask for none. Any finite
output of the decoder gives a distribution with finite densities: a location is cut at FAR_PIXEL from zero, a scale
at e^34, and a sum of log-probabilities of binary pixels at 1e30 nats from zero. There they have no gradient.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.distributions import Independent, Normal, constraints

from src.models.bounds import LOG_FAR
from src.models.distributions import BinaryImage, DiscretizedLogistic
from src.models.distributions import ContinuousBernoulli as ContinuousBernoulliDistribution
from src.support.ranges import check_arguments

FLOOR = 1 / 512  # half the distance of two grey levels
Sigma = Literal["learned", "per_pixel", "optimal"] | Annotated[float, Ge(FLOOR), Lt(math.inf)]
FAR_PIXEL = 1e10  # of a pixel's location, of a grey range of 1


class Bernoulli(nn.Module):
    """p(x | z) = prod_i pi_i^x_i (1 - pi_i)^(1 - x_i) for binary images, raw = logit(pi)."""

    channels = 1
    support = constraints.boolean
    fits_each_batch = False

    def forward(self, raw: Tensor) -> BinaryImage:
        """raw (..., C, H, W) -> distribution over the same shape, log_prob (...)."""
        return BinaryImage(raw)


class ContinuousBernoulli(nn.Module):
    """p(x | z) = prod_i C(pi_i) pi_i^x_i (1 - pi_i)^(1 - x_i) for greys in [0, 1] (Loaiza-Ganem & Cunningham, 2019).

    Near 0 and 1 it falls off over a distance of 1 / |logit|, which is kept above FLOOR.
    """

    channels = 1
    support = constraints.unit_interval
    fits_each_batch = False

    def forward(self, raw: Tensor) -> Independent:
        """raw (..., C, H, W) -> distribution over the same shape, log_prob (...)."""
        # bent rather than cut off: a pixel that went too far must find back
        logits = torch.tanh(raw * FLOOR) / FLOOR
        return Independent(ContinuousBernoulliDistribution(logits), 3, validate_args=False)


@check_arguments
class Gaussian(nn.Module):
    """p(x | z) = N(x; mu, sigma^2), mu from the decoder (sigma-VAE: Rybkin et al., 2021).

    sigma: `learned`, one for all pixels; `per_pixel`, from the decoder; `optimal`, the root of the training batch's
        mean squared error, of which evaluation takes the running mean; or a number, in units of the grey range
    """

    support = constraints.real
    START = 0.3  # before training
    MEMORY = 0.9  # of the running mean, a batch

    def __init__(self, sigma: Sigma = "learned"):
        super().__init__()
        self.sigma, self.channels = sigma, 2 if sigma == "per_pixel" else 1
        self.fits_each_batch = sigma == "optimal"
        if sigma == "learned":
            self.log_sigma = nn.Parameter(torch.tensor(math.log(self.START - FLOOR)))
        if sigma == "optimal":
            self.register_buffer("variance", torch.tensor(self.START**2))

    def forward(self, raw: Tensor) -> Independent:
        """raw (..., channels C, H, W) -> distribution over (..., C, H, W), log_prob (...)."""
        mu, sigma = raw.clamp(-FAR_PIXEL, FAR_PIXEL), self.sigma
        if sigma == "learned":
            sigma = FLOOR + self.log_sigma.clamp(max=LOG_FAR).exp()
        elif sigma == "per_pixel":
            mu, raw_sigma = mu.chunk(2, -3)
            sigma = FLOOR + self.START * raw_sigma.clamp(max=LOG_FAR).exp()
        elif sigma == "optimal":
            sigma = self.variance.sqrt()
            if self.training:
                return Independent(FittedNormal(mu, sigma, self.remember), 3, validate_args=False)
        return Independent(Normal(mu, sigma, validate_args=False), 3, validate_args=False)

    @torch.no_grad()
    def remember(self, variance: Tensor) -> None:
        """Takes a batch's variance into the running mean."""
        self.variance.lerp_(variance.to(self.variance), 1 - self.MEMORY)


class FittedNormal(Normal):
    """A Normal whose log_prob(x) has the scale that suits x best, and tells `remember` its square.

    That scale is detached: at its optimum the mean of log p(x) does not change with it, so an objective that averages
    log p over samples and images has the gradient that it would have through the scale; `iwae` does not, and refuses.
    """

    def __init__(self, loc: Tensor, scale: Tensor, remember: Callable[[Tensor], None]):
        super().__init__(loc, scale, validate_args=False)
        self.remember = remember

    def log_prob(self, x: Tensor) -> Tensor:
        variance = (x - self.loc).detach().square().mean().clamp(min=FLOOR**2)
        self.remember(variance)
        return Normal(self.loc, variance.sqrt(), validate_args=False).log_prob(x)


class Logistic256(nn.Module):
    """p(x | z) of the 256 grey levels: a logistic distribution a pixel, rounded; location and scale from the decoder
    (Kingma et al., 2016; Salimans et al., 2017)."""

    channels = 2
    support = DiscretizedLogistic.support
    fits_each_batch = False
    START = 0.1  # scale before training

    def forward(self, raw: Tensor) -> Independent:
        """raw (..., 2 C, H, W) -> distribution over (..., C, H, W), log_prob (...)."""
        loc, raw_scale = raw.chunk(2, -3)
        # a scale far below the levels' distance says nothing more, and one of zero nothing at all
        scale = FLOOR / 10 + self.START * raw_scale.clamp(max=LOG_FAR).exp()
        loc = loc.clamp(-FAR_PIXEL, FAR_PIXEL)
        return Independent(DiscretizedLogistic(loc, scale), 3, validate_args=False)
