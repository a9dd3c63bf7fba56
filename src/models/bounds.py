"""Bounds within which densities are computed, so that any finite output of a network has finite terms in float32.

Within the bounds, which are far outside of any useful range, no bit is changed. Beyond them:

- a location is clamped at 1e15 from zero, and has no gradient there;
- a scale is clamped at e^-34 and e^34 (1.7e-15 and 5.8e14), so that squares can be summed and divided by. The logarithm
  in the density stays exact towards zero: the KL of N(0, exp(-210)) from N(0, 1) is 104.5 nats and its slope in the
  logarithm of the variance -1/2. Above e^34 it is clamped with the scale, and has no gradient;
- a log-density of one image or code is clamped at 1e30 nats from zero, and has no gradient there;
- a flow has narrower bounds, since the gradients of its networks are products of several numbers of that size: it maps
  codes within 1e6 of zero to codes within 1e10, with a log-density within 1e20 nats.
"""

import torch
from torch import Tensor
from torch.nn import functional

FAR = 1e15  # bound of a location
LOG_FAR = 34.0  # bound of the logarithm of a scale: e^34 is about FAR, and its square in nats about NATS
NATS = 1e30  # bound of a log-density, which keeps the sum over a batch finite
INTO_FLOW, OUT_OF_FLOW, NATS_OF_FLOW = 1e6, 1e10, 1e20


def clamp_location(x: Tensor) -> Tensor:
    """Clamp x to [-FAR, FAR]."""
    return x.clamp(-FAR, FAR)


def clamp_nats(nats: Tensor) -> Tensor:
    """Clamp a log-density or a KL to [-NATS, NATS]."""
    return nats.clamp(-NATS, NATS)


def clamp_scale(log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """exp(log_scale) within its bounds, and the excess to be added to its logarithm, both of that shape.

    The excess is zero unless the scale is clamped from below; there the sum is the exact `log_scale`.
    """
    log_scale = log_scale.clamp(max=LOG_FAR)
    # one step of float32 further, since at its threshold neither clamp nor softshrink has a gradient
    return log_scale.clamp(min=-LOG_FAR - 2**-18).exp(), functional.softshrink(log_scale, LOG_FAR)


def finite_gradient(x: Tensor, limit: float = NATS) -> Tensor:
    """x, with its gradient clamped at `limit` from zero, and zero where the gradient overflows to NaN.

    It is for the denominators of a density, whose gradient leaves the range of float32 long before the density does.
    """
    if not (x.requires_grad and torch.is_grad_enabled()):
        return x
    x = x.view_as(x)
    x.register_hook(lambda gradient: gradient.nan_to_num(0.0, limit, -limit).clamp(-limit, limit))
    return x


def at_least_float32(raw: Tensor) -> Tensor:
    """The output of a network under autocast, in float32: in bf16 a KL of 25 nats would have steps of 1/8."""
    return raw.to(torch.promote_types(raw.dtype, torch.float32))
