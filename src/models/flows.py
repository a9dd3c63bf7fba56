"""Bijections from zuko for flow posteriors and priors."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import nn
from torch.distributions import Distribution

VALIDATES = Distribution._validate_args  # noqa: SLF001 (importing zuko switches validation off for the whole process)

import zuko.flows  # noqa: E402
from zuko.lazy import LazyComposedTransform  # noqa: E402

Distribution.set_default_validate_args(VALIDATES)


def autoregressive_transform(
    features: int, context: int, transforms: int, hidden: Sequence[int], passes: int | None = None
) -> LazyComposedTransform:
    """Affine autoregressive layers y_d = x_d exp(s_d(x_<d, c)) + t_d(x_<d, c), every other one in reversed order.

    Called with the context c (..., context), or None, it returns the bijection of x (..., features). x -> y takes one
    pass of the masked networks, y -> x takes `passes`, by default `features`; with 2 the layers are coupling layers.
    It is initialised near the identity, so that a flow begins as its base (Kingma et al., 2016).
    """
    flow = zuko.flows.MAF(features, context, transforms, hidden_features=list(hidden), passes=passes)
    transform = cast(LazyComposedTransform, flow.transform)  # zuko declares a LazyTransform
    with torch.no_grad():
        for layer in cast(Iterable[nn.Module], transform.transforms):
            # These are weight and bias of the last layer, or, for one feature without context, shift and scale.
            for weight in list(layer.parameters())[-2:]:
                weight.mul_(0.01)
    return transform
