"""The range in which densities are computed, so that any finite output of a network has finite terms in float32.

Within the bounds, which lie far outside of anything useful, nothing is changed, to the last bit. Beyond them:

- a location is cut at 1e15 from zero, where it has no gradient;
- a scale is cut at e^-34 and e^34 (1.7e-15 and 5.8e14), so that squares can be summed and divided by. The logarithm in
  the density stays exact towards zero: the KL of N(0, exp(-210)) from N(0, 1) is 104.5 nats and its slope in the
  logarithm of the variance -1/2. Above e^34 it is cut with the scale, and has no gradient;
- a log-density of one image or code is cut at 1e30 nats from zero, where it has no gradient;
- a flow is narrower, since the gradients of its networks are products of several numbers of that size: it carries codes
  within 1e6 of zero to codes within 1e10, with a log-density within 1e20 nats.
"""

import torch
from torch import Tensor
from torch.nn import functional

FAR = 1e15  # of a location
LOG_FAR = 34.0  # of the logarithm of a scale: e^34 is as far as FAR, and its square in nats as NATS
NATS = 1e30  # of a log-density: the sum of a batch of them is finite
INTO_FLOW, OUT_OF_FLOW, NATS_OF_FLOW = 1e6, 1e10, 1e20


def bounded(x: Tensor) -> Tensor:
    """x, at most FAR from zero."""
    return x.clamp(-FAR, FAR)


def bounded_nats(nats: Tensor) -> Tensor:
    """A log-density or a KL, at most NATS from zero."""
    return nats.clamp(-NATS, NATS)


def bounded_scale(log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """exp(log_scale) within its bounds, and what is to be added to its logarithm to give `log_scale`, of that shape.

    The latter is zero but where the scale is cut from below.
    """
    log_scale = log_scale.clamp(max=LOG_FAR)
    # one step of float32 further, since neither of the two has a gradient where it begins
    return log_scale.clamp(min=-LOG_FAR - 2**-18).exp(), functional.softshrink(log_scale, LOG_FAR)


def finite_gradient(x: Tensor, limit: float = NATS) -> Tensor:
    """x, whose gradient is cut at `limit` from zero, and is zero where it is so large that it can't be told.

    For what a density is divided by: there the gradient leaves the range of float32 long before the density does.
    """
    if not (x.requires_grad and torch.is_grad_enabled()):
        return x
    x = x.view_as(x)
    x.register_hook(lambda gradient: gradient.nan_to_num(0.0, limit, -limit).clamp(-limit, limit))
    return x
