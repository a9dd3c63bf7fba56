"""A hierarchy of codes: p(z_1) p(z_2 | z_1) ... p(x | z_1, ..., z_L), and q(z_l | z_1, ..., z_{l-1}, x) beside it.

The top level is a code of the whole image, as that of one level; those below are maps, with numbers at each place.
The code of a level below is in units of its prior: with p(z_l | above) = N(m(h), s(h)^2), where h is the path down from
the levels above, it is u = (z - m) / s. That changes no density ratio, and makes the prior of all levels below N(0, I):
a hierarchy is a VAE whose posterior follows its decoder. The KL of such a level depends on the offset and the scale
that the posterior adds alone (the residual form of Vahdat & Kautz, 2020).

Codes (..., D) are those of the levels side by side, from the top. The path, which the prior, the posterior and the
decoder share, is run once for a draw (Sønderby et al., 2016). The networks are narrow and have no normalization, as
the small, stable ones of Kuzina & Tomczak (2024).
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, cast, final

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional

from src.models.bounds import at_least_float32
from src.models.distributions import CodeDistribution, Descent
from src.models.gaussians import DiagonalGaussian
from src.models.levels import level_shapes, maps
from src.models.networks.conv import down_layers, padding_for_strides, same_size, skip_layers
from src.models.networks.layers import FORMAT, Activation, DoublingConvTranspose2d, Shape, activate
from src.models.networks.mlp import mlp
from src.support.ranges import Count, Depth, Widths, check_arguments

FAR_CODE = 100.0  # bound of the mean of a code's posterior; from N(0, I) its KL is 5,000 nats there
LOG_FAR_SCALE = 7.0  # bound of the logarithm of its scale
UNIT = math.log(math.e - 1)  # softplus(UNIT) = 1
# Scale, before training, of the layers below the top that give distributions, or through which a code enters the path:
# with a larger one the noise of a level is shut out in the first steps, and the level stays unused.
START = 0.03

Levels = Sequence[Annotated[int, Ge(0), Le(1000)]]


@check_arguments
class BottomUp(nn.Module):
    """The features of an image at all resolutions, flattened, from the top: an encoder for `Ladder` posteriors.

    For each of `channels` a stride-2 convolution and `depth` - 1 residual ones of the same size.
    """

    def __init__(self, shape: Shape, out_features: int, channels: Widths, depth: Depth, activation: Activation) -> None:
        super().__init__()
        if out_features != (count := sum(math.prod(each) for each in maps(shape, channels))):
            raise ValueError(f"gives {count} features, and not the {out_features} of another posterior than its own")
        self.padding = padding_for_strides(shape, channels)
        self.stages = nn.ModuleList()
        for c_in, c_out in zip([shape[0], *channels], channels, strict=False):
            self.stages.append(
                down_layers((c_in, *shape[1:]), [c_out], [skip_layers(c_out, depth, activation)], activation)
            )

    def forward(self, x: Tensor) -> Tensor:
        if any(self.padding):
            x = functional.pad(x, self.padding)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x.flatten(1))
        return torch.cat(features[::-1], 1)


@torch.no_grad()
def small(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that gives nearly zero before training."""
    layer.weight.mul_(START)
    cast(nn.Parameter, layer.bias).zero_()
    return layer


class Level(nn.Module):
    """A level of the path: h -> h + f(h) + g(z) for the code z = m(h) + s(h) u, f, m and s of one hidden layer."""

    def __init__(self, channels: int, latents: int, activation: Activation) -> None:
        super().__init__()
        self.latents = latents
        outputs = small(nn.Conv2d(channels, 2 * latents + channels, 1))
        self.prior = nn.Sequential(activate(activation), same_size(channels), activate(activation), outputs)
        self.code = small(nn.Conv2d(latents, channels, 1))

    def forward(self, h: Tensor, u: Tensor) -> Tensor:
        """The path h (N, channels, H, W) below the level's code u (N, latents, H, W)."""
        loc, scale, update = self.prior(h).split([self.latents, self.latents, h.shape[1]], 1)
        z = loc + functional.softplus(scale + UNIT) * u
        return h + update + self.code(z)


@check_arguments
class TopDown(nn.Module):
    """The path from the top to the image: one hidden layer, then at each resolution its levels and a stride-2
    transposed convolution.

    channels, levels, latents: of each resolution, in the encoder's order: channels of the path, levels, and channels
        of a level's code
    top: dimensions of the code of the top level; hidden: width of the layer behind it
    """

    def __init__(
        self,
        in_features: int,
        shape: Shape,
        channels: Widths,
        levels: Levels,
        latents: Widths,
        top: Count,
        hidden: Count,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.padding = left, _, above, _ = padding_for_strides(shape, channels)
        self.inside = (..., slice(above, above + shape[1]), slice(left, left + shape[2]))
        self.shapes = level_shapes(shape, channels, levels, latents, top)
        self.sizes = tuple(math.prod(each) for each in self.shapes)
        beside = in_features - sum(self.sizes)
        if beside < 0:
            raise ValueError(f"the levels have {sum(self.sizes)} latents, not {in_features}")
        self.start = maps(shape, channels)[-1]
        self.head = mlp([top + beside, hidden, math.prod(self.start)], activation)
        self.resolutions, self.up = nn.ModuleList(), nn.ModuleList()
        below = [shape[0], *channels[:-1]]
        for c_in, c_out, count, each in reversed(list(zip(channels, below, levels, latents, strict=True))):
            self.resolutions.append(nn.ModuleList(Level(c_in, each, activation) for _ in range(count)))
            self.up.append(nn.Sequential(activate(activation), DoublingConvTranspose2d(c_in, c_out)))
        self.to(memory_format=FORMAT)

    def split(self, codes: Tensor) -> list[Tensor]:
        """The codes (N, top), (N, latents, H, W), ... of each level, from codes (N, D)."""
        return [each.unflatten(-1, shape) for each, shape in zip(codes.split(self.sizes, -1), self.shapes, strict=True)]

    def descend(self, code: Callable[[int, Tensor], Tensor], beside: Tensor) -> Tensor:
        """The output (N, *shape) where level l has the code `code`(l, h), h (N, channels, H, W) the path above it.

        beside: numbers (N, features) that a condition puts beside the codes, which are all that is above the top
        """
        h = self.head(torch.cat([code(0, beside), beside], 1)).unflatten(1, self.start)
        level = 1
        for levels, up in zip(self.resolutions, self.up, strict=True):
            for each in cast(nn.ModuleList, levels):
                h = each(h, code(level, h))
                level += 1
            h = up(h)
        return h[self.inside] if any(self.padding) else h

    def forward(self, z: Tensor) -> Tensor:
        codes, beside = z.split([sum(self.sizes), z.shape[-1] - sum(self.sizes)], -1)
        given = self.split(codes)
        return self.descend(lambda level, h: given[level], beside)


class Top(nn.Module):
    """The posterior of the top level, of the image's features alone: one hidden layer."""

    def __init__(self, features: int, hidden: int, top: int, activation: Activation) -> None:
        super().__init__()
        self.of_image = mlp([features, hidden, 2 * top], activation)

    def forward(self, h: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the scale (N, top), from `seen`, what `of_image` gives; h is not used."""
        mean, logvar = seen.chunk(2, 1)
        return mean, 0.5 * logvar


class Residual(nn.Module):
    """What the posterior of a level below the top adds to its prior, from the path and from the image's features."""

    def __init__(self, channels: int, latents: int, activation: Activation) -> None:
        super().__init__()
        outputs = small(nn.Conv2d(channels, 2 * latents, 1))
        self.of_image = nn.Conv2d(channels, channels, 1)
        self.of_both = nn.Sequential(activate(activation), same_size(channels), activate(activation), outputs)

    def forward(self, h: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Offset and logarithm of the scale (N, latents, H, W), from the path h and `seen`, what `of_image` gives."""
        offset, log_scale = self.of_both(h + seen).chunk(2, 1)
        return offset, log_scale


@check_arguments
class Ladder(nn.Module):
    """q(u_l | u_1, ..., u_{l-1}, x) = N(a(h, x), b(h, x)^2), h the path of a `TopDown` decoder (Sønderby et al.,
    2016), for the features of a `BottomUp` encoder.

    shape: of an image, (C, H, W); channels, levels, latents, top: as in TopDown
    hidden: width of the layer before the posterior of the top
    sizes: the dimensions of each level's code, from the top
    """

    def __init__(
        self,
        shape: Sequence[Count],
        channels: Widths,
        levels: Levels,
        latents: Widths,
        top: Count,
        hidden: Count,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.sizes = tuple(math.prod(each) for each in level_shapes(shape, channels, levels, latents, top))
        self.maps = maps(shape, channels)[::-1]
        self.in_features = sum(math.prod(each) for each in self.maps)
        self.top = Top(math.prod(self.maps[0]), hidden, top, activation)
        self.resolutions = nn.ModuleList()
        for size, count, each in zip(self.maps, levels[::-1], latents[::-1], strict=True):
            self.resolutions.append(nn.ModuleList(Residual(size[0], each, activation) for _ in range(count)))
        self.to(memory_format=FORMAT)

    def along(self, raw: Tensor, decoder: nn.Module, beside: Tensor) -> "LadderCodes":
        """raw (B, in_features), and the numbers (B, features) of a condition -> distribution over (B, D)."""
        flat = raw.split([math.prod(each) for each in self.maps], -1)
        layers: list[nn.Module] = [self.top]
        seen = [self.top.of_image(flat[0])]
        for levels, features, shape in zip(self.resolutions, flat, self.maps, strict=True):
            for each in cast(Sequence[Residual], levels):
                layers.append(each)
                seen.append(each.of_image(features.unflatten(-1, shape)))
        return LadderCodes(layers, seen, cast(TopDown, decoder), beside)


@final
class LadderCodes(CodeDistribution):
    """The posterior of a `Ladder`, over codes (B, D), which follows the path of the decoder.

    layers: `Top`, and the `Residual` of each level below; seen: what it gives for the features of the images
    beside: (B, features)
    """

    evaluates_any_code = False  # one pass down for each code, and for each image

    def __init__(self, layers: Sequence[nn.Module], seen: Sequence[Tensor], decoder: TopDown, beside: Tensor) -> None:
        self.layers, self.seen, self.decoder, self.beside = layers, seen, decoder, beside
        self.levels = decoder.sizes
        super().__init__(beside.shape[:1], torch.Size([sum(self.levels)]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The codes (B, D) that are at each level the mean, given those above: a typical point, no expectation."""
        return self.rsample_and_log_prob(self.seen[0].new_zeros(*self.batch_shape, *self.event_shape))[0]

    @property
    def stddev(self) -> Tensor:
        """The scales (B, D) at each level, given the means of those above."""
        noise = self.seen[0].new_zeros(1, *self.batch_shape, *self.event_shape)
        return self.descend(noise).conditional.stddev[0]

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        """Codes (..., B, D), drawn level by level."""
        noise = torch.randn(*sample_shape, *self.batch_shape, *self.event_shape).to(self.seen[0])
        return self.rsample_and_log_prob(noise)[0]

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (K, ..., D) for standard normal noise of that shape, and their log density (K, ...)."""
        descent = self.descend(noise)
        return descent.z, descent.conditional.log_prob(descent.z)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) of codes z (..., B, D), in one pass down; (..., B)."""
        return self._walk(z, is_noise=False).conditional.log_prob(z)

    def descend(self, noise: Tensor) -> Descent:
        """Codes, their distributions given the codes above, and the decoder's output, in one pass down."""
        return self._walk(noise, is_noise=True)

    def _walk(self, given: Tensor, is_noise: bool) -> Descent:
        """The pass down with given noise, or with given codes (..., B, D)."""
        count = given.shape[:-2].numel()
        numbers = self.decoder.split(given.flatten(0, -2))
        seen = [repeat(each, count) for each in self.seen]
        codes, locs, scales = [], [], []

        def code(level: int, h: Tensor) -> Tensor:
            offset, log_scale = (at_least_float32(each) for each in self.layers[level](h, seen[level]))
            loc, scale = bound(offset, FAR_CODE), bound(log_scale, LOG_FAR_SCALE).exp()
            u = loc + scale * numbers[level] if is_noise else numbers[level]
            for each, value in zip((codes, locs, scales), (u, loc, scale), strict=True):
                each.append(value.flatten(1))
            return u

        raw = self.decoder.descend(code, repeat(self.beside, count))
        z, loc, scale = (torch.cat(each, 1).unflatten(0, given.shape[:-1]) for each in (codes, locs, scales))
        return Descent(z, DiagonalGaussian(loc, scale), raw.unflatten(0, given.shape[:-1]))


def bound(x: Tensor, limit: float) -> Tensor:
    """x within `limit` of zero; the gradient passes, so that what is beyond can come back."""
    return x + (x.clamp(-limit, limit) - x).detach()


def repeat(x: Tensor, count: int) -> Tensor:
    """x (B, ...) so many times, (count B, ...)."""
    return x if count == 1 else x.expand(count, *x.shape).flatten(0, 1)
