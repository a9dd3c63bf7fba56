"""Trial of the parts before any training, by one step on two images of noise, which takes milliseconds.

The networks' output is checked for its type, shape and range, the objective's for its shape. Each failure is a
UserError of one line that names the option.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from src.config.classes import describe, explain
from src.config.names import option_name
from src.data.module import ImageData
from src.models.vae import VAE
from src.support.errors import UserError
from src.training.module import VAEModule
from src.training.objectives import Objective, Terms

log = logging.getLogger(__name__)
FAR = 100  # factor on codes, to see the whole range of a decoder's output
CODES = 8  # number of codes for which the range is determined
FEW_OUTPUTS = 16  # of a decoder, whose range would say nothing of an activation at its end
DARK, LIGHT = 0.2, 0.8  # a decoder's pixels must be able to have means below and above these
REMEDY = {
    "encoder": "its last layer must be out_features wide: the second argument that it is made with",
    "decoder": "it must return images, channels first, of the shape that is the second argument it is made with",
}


def try_networks(vae: VAE, shape: list[int]) -> None:
    """Run both networks on noise of the shape (B, C, H, W), in training and in evaluation mode.

    Raises UserError where their output is not what posterior and likelihood need, and warns where its range is not that
    of a likelihood's raw numbers.
    """
    channels = vae.likelihood.channels * shape[1]
    shapes = {"encoder": (shape[0], vae.posterior.in_features), "decoder": (shape[0], channels, *shape[2:])}
    heads = {"encoder": f"posterior={name_of(vae.posterior)}", "decoder": f"likelihood={name_of(vae.likelihood)}"}
    planes = [shape[0], shape[1] + vae.planes, *shape[2:]]
    inputs = {"encoder": noise_images(planes), "decoder": noise_codes(shape[0], vae.latent_dim + vae.features)}
    with preserve_state(vae), torch.no_grad():
        for training in (True, False):
            vae.train(training)
            for name, network in (("encoder", vae.encoder), ("decoder", vae.decoder)):
                raw = run_network(network, inputs[name], f"model.{name}", training)
                check_raw(raw, shapes[name], f"model.{name}", heads[name], REMEDY[name])
        warn_of_range(vae)


def run_network(network: nn.Module, x: Tensor, option: str, training: bool) -> Any:
    """The output of a network. Raises UserError for any exception that it raises."""
    try:
        return network(x)
    except UserError:
        raise
    except Exception as error:
        mode = "in training" if training else "in evaluation"
        more = "" if len(x) > 1 else "; data.batch_size=1 is too little for some layers"
        raise UserError(f"{option}: fails {mode} on {tuple(x.shape)}: {describe(error)}{more}") from error


def check_raw(raw: Any, shape: tuple[int, ...], option: str, part: str, remedy: str) -> None:
    """Raise UserError unless a network's output is one tensor of finite numbers of the shape that a head needs."""
    if not isinstance(raw, Tensor):
        raise UserError(
            f"{option}: gives a {type(raw).__name__}, but {part} needs one tensor {shape}: "
            "put several side by side, as in torch.cat([mu, logvar], 1)"
        )
    if raw.shape != shape:
        raise UserError(f"{option}: gives {tuple(raw.shape)}, but {part} needs {shape}: {remedy}")
    widest = torch.get_default_dtype()
    if not raw.is_floating_point() or torch.promote_types(raw.dtype, widest) != widest:
        raise UserError(f"{option}: gives numbers of {raw.dtype}, but {part} needs {widest}: convert them at its end")
    if not raw.isfinite().all():
        raise UserError(f"{option}: gives numbers that are not finite before any training: {part} can't use them")


def warn_of_range(vae: VAE) -> None:
    """Warn of a decoder whose output is bounded or of one sign, so that no pixel can become dark, or none light.

    The usual reason is a sigmoid at its end although the likelihood expects logits. There is no warning where the raw
    numbers are the means themselves, since such an output is then correct.
    """
    raw = vae.decoder(FAR * noise_codes(CODES, vae.latent_dim + vae.features)).to(torch.get_default_dtype())
    low, high = float(raw.min()), float(raw.max())
    if not math.isfinite(low + high) or (raw == raw[:1]).all():  # the output does not depend on the codes yet
        return
    if raw[0].numel() < FEW_OUTPUTS:  # of one pixel all numbers may well have one sign
        return
    is_saturated = max(abs(low), abs(high)) <= 1 and (raw.abs() > 0.99).float().mean() > 0.5  # as after a tanh
    if low < 0 < high and not is_saturated:
        return
    if vae.averages_draws:  # what the head adds to these numbers decides, too
        return
    means = vae.likelihood(torch.stack([torch.full_like(raw[0], low), torch.full_like(raw[0], high)])).mean
    darkest, lightest = float(means.min()), float(means.max())
    if darkest > DARK or lightest < LIGHT:
        log.warning(
            "model.decoder: gives numbers from %.2f to %.2f even for codes scaled by %d, so that likelihood=%s has "
            "means from %.2f to %.2f alone; a decoder returns raw numbers (here logits), with no activation at its end",
            *(low, high, FAR, name_of(vae.likelihood), darkest, lightest),
        )


def try_objective(vae: VAE, objective: Objective, shape: list[int]) -> None:
    """Evaluate the objective and its gradient on noise of the shape (B, C, H, W).

    Raises UserError that names the parts and repeats the message of the part that can't use another one.
    """
    parts = {"objective": objective, "posterior": vae.posterior, "prior": vae.prior_head}
    names = " ".join(f"{group}={name_of(part)}" for group, part in parts.items())
    try:
        noise = torch.randn(objective.samples, shape[0], vae.latent_dim)
        labels = first_label(shape[0])
        with preserve_state(vae):
            with torch.no_grad():
                check_densities(vae.eval().given(labels), noise_images(shape), noise)
                check_terms(objective(vae.given(labels), noise_images(shape), noise, 1.0), shape[0])
            terms = objective(vae.train().given(labels), noise_images(shape), noise, 1.0)
            check_update(vae, terms)
            terms.loss.mean().backward()
            check_gradients(vae)
    except UserError as error:
        raise UserError(f"{names}: {error}") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{names}: {explain(error)}") from error
    except Exception as error:
        raise UserError(f"{names}: a step on {shape[0]} images of noise fails: {describe(error)}") from error


def try_single_image(module: VAEModule, data: ImageData) -> None:
    """Raise UserError where a split has a single image and the objective needs two or more."""
    splits = {"training": data.source.train, "validation": data.val, "test": data.test}
    if few := [name for name, split in splits.items() if len(split.images) == 1]:
        try:
            try_objective(module.vae, module.objective, [1, *data.source.train.images.shape[1:]])
        except UserError as error:
            raise UserError(f"{error}, but there is one {few[0]} image: give more images") from None


def check_densities(vae: VAE, x: Tensor, noise: Tensor) -> None:
    """Raise UserError where a log-density is not one number for each image or code."""
    q, p = vae.encode(x), vae.prior()
    z, log_q = q.rsample_and_log_prob(noise)
    if z.shape != noise.shape:
        raise UserError(f"the posterior's codes are {tuple(z.shape)} for noise of {tuple(noise.shape)}")
    for name, density in (
        ("the posterior's log-density", log_q),
        ("the prior's log_prob", p.log_prob(z)),
        ("the likelihood's log_prob", vae.decode(z).log_prob(x)),
    ):
        if density.shape != noise.shape[:2]:
            raise UserError(
                f"{name} is {tuple(density.shape)}, and must be {tuple(noise.shape[:2])}, one number for each code or "
                "image: it sums over their dimensions or pixels, as torch's Independent does"
            )


def check_terms(terms: Any, images: int) -> None:
    """Raise UserError unless an objective returned finite Terms of that many images."""
    try:
        loss, recon, kl, _, _, _, _ = terms
    except (TypeError, ValueError):
        kind = terms.__class__.__name__
        raise UserError(
            f"it returns a {kind}, and must return Terms(loss, recon, kl, q, p) of src.training.objectives"
        ) from None
    for name, term in (("loss", loss), ("recon", recon), ("kl", kl)):
        found = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
        if found != (images,):
            raise UserError(
                f"{name} is {found} for {images} images, and must be ({images},), a number for each: the program "
                "takes their mean"
            )
        if not term.isfinite().all():
            raise UserError(f"{name} is not finite on images of noise, before any training")


def check_update(vae: VAE, terms: Terms) -> None:
    """Raise UserError where a likelihood that fits each batch gets no distribution to be updated with."""
    px = vae.given(first_label(1)).decode(noise_codes(1, vae.latent_dim)) if terms.px is None else terms.px
    if px.fits_batch and terms.px is None:
        raise UserError("likelihood.sigma=optimal needs an objective whose Terms have px, as vae.draw(x, noise) has")


def check_gradients(vae: VAE) -> None:
    """Raise UserError where a gradient is not finite, and warn where none reaches a network."""
    for option, network in (("model.encoder", vae.encoder), ("model.decoder", vae.decoder)):
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        gradients = [weight.grad for weight in trained if weight.grad is not None]
        if trained and not gradients:
            log.warning(
                "%s: no gradient reaches its weights, which will not be trained: look for detach or no_grad", option
            )
        if not all(gradient.isfinite().all() for gradient in gradients):
            raise UserError(f"{option}: has gradients that are not finite on images of noise, before any training")


def try_schedules(schedule: Callable[[float, float], float], lr_schedule: Callable[[float], float]) -> None:
    """Raise UserError where a schedule is not a finite number at the start or the end of the training."""
    at = {"schedule": (schedule, [(0.0, 0), (math.inf, math.inf)]), "lr_schedule": (lr_schedule, [(0.0,), (1.0,)])}
    for option, (curve, places) in at.items():
        for place in places:
            try:
                number = float(curve(*place))
            except Exception as error:
                raise UserError(f"{option}: fails at {place}: {describe(error)}") from error
            if not math.isfinite(number):
                raise UserError(f"{option}: is {number} at {place}, and must be a finite number")


@contextmanager
def preserve_state(vae: VAE) -> Iterator[None]:
    """Restore the VAE's mode, buffers and gradients afterwards, and the state of torch's random numbers."""
    modes = {module: module.training for module in vae.modules()}
    buffers = {name: buffer.clone() for name, buffer in vae.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training
            with torch.no_grad():
                for name, buffer in vae.named_buffers():
                    if name in buffers:
                        buffer.copy_(buffers[name])
            vae.zero_grad()


def noise_images(shape: list[int]) -> Tensor:
    """Binary images of a shape (B, C, H, W), always the same: in the support of every likelihood."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).round()


def noise_codes(count: int, latent_dim: int) -> Tensor:
    """Codes (count, latent_dim) from N(0, I), always the same."""
    return torch.randn(count, latent_dim, generator=torch.Generator().manual_seed(0))


def first_label(count: int) -> Tensor:
    """The label 0 of so many images, (count,)."""
    return torch.zeros(count, dtype=torch.long)


def name_of(part: object) -> str:
    """The option that names a part."""
    return option_name(type(part).__name__)
