"""The VAE: three distributions, and nothing about how they are trained."""

import copy
from collections.abc import Callable, Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from src.models.adapters import apply_posterior, code_distribution, image_distribution, levels_of, raw_of_mean
from src.models.bounds import at_least_float32
from src.models.distributions import CodeDistribution, ImageDistribution
from src.models.draws import Draws
from src.models.parts import Condition, Likelihood, Posterior, Prior
from src.models.stacked import stack

TOLERANCE = 1e-3  # amount by which images may exceed [0, 1]
Start = Literal["zero", "data"]
TRIALS = 64  # codes at which a prior's density is compared with that of N(0, I)


class VAE(nn.Module):
    """q(z|x), p(x|z) and p(z), each a distribution whose log_prob sums over pixels or latents.

    With a condition they are q(z|x, y), p(x|z, y) and p(z) or p(z|y), of the labels y of the view that `given` returns.

    shape: of an image, (C, H, W)
    encoder: called with (shape, out_features), returns a module (B, C, H, W) -> (B, out_features)
    decoder: called with (in_features, shape), returns a module (B, in_features) -> (B, *shape)
    posterior, prior, likelihood: modules of posteriors.py, priors.py, likelihoods.py, which set the networks' widths
    start: for `data` a constant image, `offset`, is added to the decoder's output, zero until `start_at` is called. The
        default is `zero` because runs of versions without this option have no offset
    condition: a module of conditions.py, or None for a model that uses no labels
    y: the labels (B,) of a view of a conditional model
    """

    y: Tensor | None = None

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        posterior: Posterior,
        prior: Prior,
        likelihood: Likelihood,
        start: Start = "zero",
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.posterior, self.prior_head, self.likelihood = posterior, prior, likelihood
        self.shape = channels, height, width = tuple(shape)
        self.condition = condition
        self.planes, self.features = (condition.planes, condition.features) if condition else (0, 0)
        self.encoder = encoder((channels + self.planes, height, width), posterior.in_features)
        raw_shape = (likelihood.channels * channels, height, width)
        self.decoder = decoder(latent_dim + self.features, raw_shape)
        self.offset: Tensor | None
        self.register_buffer("offset", torch.zeros(raw_shape) if start == "data" else None)

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Set the offset so that p(x|z) has the mean (C, H, W), in (0, 1), where the decoder's output is zero.

        Without it the first epoch is spent on learning the mean: a border pixel of MNIST that is always black needs a
        logit of -12. The offset is constant and not trained. Raises TypeError where the likelihood has no raw_of_mean.
        """
        if self.offset is None:
            raise TypeError("a VAE without an offset can't start at a mean: make it with start=data")
        raw = raw_of_mean(self.likelihood, mean)
        if raw is None:
            raise TypeError(f"{type(self.likelihood).__name__} has no raw_of_mean(mean), by which it would start there")
        self.offset.copy_(raw)

    def given(self, y: Tensor) -> Self:
        """The model given the labels y (B,), with the same interface; a model that uses no labels returns itself.

        A view is for B images, and for codes (..., B, D). It shares all parts of the model, its weights among them.
        Raises ValueError for labels that are not whole numbers (B,).
        """
        if self.condition is None:
            return self
        if y.dim() != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise ValueError(f"labels must be whole numbers (N,), got {y.dtype} ({', '.join(map(str, y.shape))})")
        view = copy.copy(self)
        view.y = y
        return view

    def labels_of(self, count: int, what: str) -> Tensor:
        """The labels of a view. Raises ValueError where there are none, or not as many as images or codes."""
        if self.y is None:
            raise ValueError("this model is conditional on labels: use vae.given(y), y the labels of the images")
        if self.y.shape[0] != count:
            raise ValueError(f"the model is given {len(self.y)} labels, but {count} {what}: give a label for each")
        return self.y

    def encode(self, x: Tensor) -> CodeDistribution:
        """q(z|x) for images x (B, C, H, W), floats in [0, 1] (not checked here); a distribution over codes (B, D).

        Raises ValueError for another shape or type.
        """
        if x.shape[1:] != self.shape or not x.is_floating_point():
            size = ", ".join(map(str, self.shape))
            raise ValueError(f"images must be floats (N, {size}), got {x.dtype} ({', '.join(map(str, x.shape))})")
        if self.condition is not None:
            x = torch.cat([x, self.condition.beside_images(self.labels_of(x.shape[0], "images"))], 1)
        raw = at_least_float32(self.encoder(x))
        return code_distribution(apply_posterior(self.posterior, raw, self.decoder, self.beside_codes(x.shape[0])))

    def prior(self) -> CodeDistribution:
        """p(z), a distribution over codes (D,); of a condition that has a prior p(z|y), over codes (B, D) of a view.

        Of a hierarchy it is the prior of the top level, and N(0, I) of the levels below. Raises ValueError for a prior
        that is not over the top level's code.
        """
        p = self._prior_of_top()
        return stack(p, self.levels, next(self.parameters())) if self.levels else p

    def _prior_of_top(self) -> CodeDistribution:
        """The prior that is an option, of all codes or of those of a hierarchy's top level."""
        if self.condition is None:
            return code_distribution(self.prior_head(self.encode))
        if self.condition.has_prior:
            count = 0 if self.y is None else len(self.y)
            return code_distribution(self.condition.prior(self.labels_of(count, "codes")))
        return code_distribution(self.prior_head(lambda x: self.given_each_label(len(x)).encode(x)))

    def given_each_label(self, count: int) -> Self:
        """The model given all labels in turn, for so many images or codes; a model without labels returns itself."""
        if self.condition is None:
            return self
        device = next(self.parameters()).device
        return self.given(torch.arange(count, device=device) % len(self.condition.labels))

    def sample_codes(self, n: int) -> Tensor:
        """n codes from the prior, (n, D). Of a view, a code for each label: raises ValueError for another number."""
        if self.y is not None:
            self.labels_of(n, "codes")
        is_of_labels = self.condition is not None and self.condition.has_prior
        return self.prior().sample(torch.Size(() if is_of_labels else (n,)))

    def decode(self, z: Tensor) -> ImageDistribution:
        """p(x|z) for codes z (..., D), with one axis more at least; a distribution over images (..., C, H, W).

        Raises ValueError for another shape or type.
        """
        if z.dim() < 2 or z.shape[-1] != self.latent_dim or not z.is_floating_point():
            size = ", ".join(map(str, z.shape))
            raise ValueError(f"codes must be floats (N, {self.latent_dim}), got {z.dtype} ({size})")
        shape = z.shape[:-1]
        if self.condition is not None:
            z = torch.cat([z, self.beside_codes(shape[-1]).expand(*shape, -1)], -1)
        return self.images(self.decoder(z.flatten(0, -2)).unflatten(0, shape))

    def beside_codes(self, count: int) -> Tensor:
        """The numbers (count, features) that the decoder sees beside so many codes, of the labels of a view."""
        if self.condition is None:
            return next(self.parameters()).new_empty(count, 0)
        return self.condition.beside_codes(self.labels_of(count, "codes"))

    def images(self, raw: Tensor) -> ImageDistribution:
        """p(x|z), from the output (..., *shape) of the decoder."""
        raw = at_least_float32(raw)
        return image_distribution(self.likelihood(raw if self.offset is None else raw + self.offset))

    def draw(
        self, x: Tensor, noise: Tensor, q: CodeDistribution | None = None, p: CodeDistribution | None = None
    ) -> Draws:
        """Samples of q(z|x) for images x (B, C, H, W) from standard normal noise (K, B, D), and their densities.

        q: the distribution over codes (B, D) that is sampled, by default the encoder's posterior
        p: the prior, where it has been made already

        A posterior that follows the decoder's path gives the decoder's output at the samples with them, in one pass.
        """
        q, p = self.encode(x) if q is None else q, self.prior() if p is None else p
        descent = q.descend(noise)
        if descent is None:
            z, log_q = q.rsample_and_log_prob(noise)
            px = self.decode(z)
            return Draws(q, p, px, z, log_q, px.log_prob(x))
        px, log_q = self.images(descent.raw), descent.conditional.log_prob(descent.z)
        return Draws(q, p, px, descent.z, log_q, px.log_prob(x), descent.conditional)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) + log p(z) of images x (B, C, H, W) and codes z (..., B, D), in nats, (..., B)."""
        return self.decode(z).log_prob(x) + self.prior().log_prob(z)

    @property
    def prior_is_fixed(self) -> bool:
        """Whether p(z) does not change during training, that is, whether no gradient reaches it."""
        if self.condition is not None and self.condition.has_prior:
            return False
        with torch.inference_mode(False), torch.enable_grad():
            parameter = next(self.parameters())
            return not self.prior().log_prob(parameter.new_zeros(self.latent_dim)).requires_grad

    @property
    def prior_is_standard(self) -> bool:
        """Whether p(z), or of a hierarchy that of its top level, is N(0, I) and remains it, by its density at codes of
        its own; the random state is restored."""
        if not self.prior_is_fixed:
            return False
        parameter = next(self.parameters())
        with torch.no_grad(), torch.random.fork_rng([parameter.device] if parameter.is_cuda else []):
            torch.manual_seed(0)
            prior = self.prior()
            top = prior.split(self.levels)[0] if self.levels else prior
            z = top.sample((TRIALS,))
            expected = Normal(0.0, 1.0).log_prob(z).sum(-1)
            return torch.allclose(top.log_prob(z), expected, rtol=1e-4, atol=1e-4)

    @property
    def levels(self) -> tuple[int, ...]:
        """The number of dimensions of each level of a hierarchy, from the top; empty for codes of one level."""
        return levels_of(self.posterior)

    @property
    def averages_draws(self) -> bool:
        """Whether the mean of p(x|z) is an average of draws, since it has no closed form."""
        channels, height, width = self.shape
        raw = next(self.parameters()).new_zeros(1, self.likelihood.channels * channels, height, width)
        return image_distribution(self.likelihood(raw)).averages_draws

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """The means of p(x|z) at n codes from the prior, (n, C, H, W); draws where it has no mean in closed form."""
        return self.decode(self.sample_codes(n)).typical()

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """The codes (B, D) of images x (B, C, H, W): the means of q(z|x).

        x: floats from 0 (black) to 1 (white); bytes must be divided by 255, and the means of a density on gray levels,
        which may exceed the range a little, clamped. Raises ValueError for other types and ranges.
        """
        check_images(x)
        return self.encode(x).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Images x (B, C, H, W), floats in [0, 1] as for `embed`, as the mean of p(x|z) at their codes, of that shape.

        The mean of a density on gray levels may exceed that range a little.
        """
        return self.decode(self.embed(x)).mean


def check_images(x: Tensor) -> None:
    """Raise ValueError for images that are not floats in [0, 1], with the conversion that they need."""
    if not x.is_floating_point():
        raise ValueError(f"images must be floats in [0, 1], got {x.dtype}: divide levels of 0 to 255 by 255")
    if not x.numel():
        return
    low, high = (float(level) for level in torch.aminmax(x))
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        if low >= 0 and high <= 255:
            remedy = "x / 255" if high > 128 else f"x / {high:.4g}, if that is white"
        else:
            remedy = "(x + 1) / 2" if low >= -1 and high <= 1 else "scale them; means of a density, use x.clamp(0, 1)"
        raise ValueError(f"images must be floats in [0, 1], got levels from {low:.4g} to {high:.4g}: {remedy}")
