"""Every number of inference is that of the model given the labels of the batch, in float64."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from src.data.batches import Batch
from src.inference import aggregate, calibration, decomposition, importance, inpainting, metrics, proposals
from src.inference.importance import encoder_parameters
from src.inference.inpainting import Fits, Masked
from src.models.gaussians import FullGaussian
from src.models.likelihoods import Bernoulli
from src.models.posteriors import Gaussian
from src.models.priors import Standard
from src.models.vae import VAE
from src.support.noise import Noise
from tests.helpers.batches import select
from tests.helpers.labelled import SHIFT, Labelled, with_labels
from tests.helpers.models import small

pytestmark = pytest.mark.usefixtures("float64")

COUNT, NOISE = 6, Noise(3)
MODULES = (aggregate, calibration, decomposition, importance, inpainting, metrics, proposals)


def labelled() -> Labelled:
    torch.manual_seed(1)
    return with_labels(small(Gaussian(3), Standard(3), Bernoulli()))


def of_label(label: int) -> VAE:
    """The same model for images of one label, as a VAE without labels."""
    torch.manual_seed(1)
    vae = small(Gaussian(3), Standard(3), Bernoulli())
    with torch.no_grad():
        vae.encoder[-1].bias[:3] += SHIFT * label
    return vae


def batch_of(labels: list[int]) -> Batch:
    torch.manual_seed(2)
    x = torch.rand(len(labels), 1, 4, 4).round()
    return Batch(x, torch.tensor(labels), torch.arange(len(labels)))


def masked(batch: Batch) -> Masked:
    visible = torch.ones(len(batch.x), 1, 4, 4, dtype=torch.bool)
    visible[:, :, 2:] = False
    return Masked(batch, visible)


def donors(batch: Batch) -> Tensor:
    return torch.stack([batch.x.flip(0), batch.x.roll(1, 0)])


def anywhere(batch: Batch) -> FullGaussian:
    return FullGaussian(torch.zeros(len(batch.x), 3), torch.eye(3).repeat(len(batch.x), 1, 1))


def eps(batch: Batch, samples: int = 4) -> Tensor:
    return NOISE.normal(batch.index, samples, 3, like=batch.x)


def inpainted(vae: VAE, batch: Batch) -> tuple[Tensor, ...]:
    fits = Fits(inpainting.fit_codes(vae, masked(batch), donors(batch), NOISE, 3), anywhere(batch))
    return inpainting.inpaint(vae, masked(batch), fits, NOISE, 20, 3)


def pilot(vae: VAE, batch: Batch) -> proposals.Pilot:
    return proposals.evaluate_pilot(vae, batch, eps(batch).flatten(0, 1))


def best_start(vae: VAE, batch: Batch) -> tuple[Tensor, ...]:
    return proposals.best_start(vae, batch, NOISE, encoder_parameters(vae, batch, NOISE), pilot(vae, batch))


def uncovered(vae: VAE, batch: Batch) -> tuple[Tensor, ...]:
    q = anywhere(batch)
    mixture = proposals.mixture_of([q], [q, q])
    return proposals.uncovered_codes(vae, batch, mixture, q.loc + 3, pilot(vae, batch))


def proposed(vae: VAE, batch: Batch) -> tuple[Tensor, ...]:
    proposal = proposals.propose(vae, batch, NOISE, 3)
    return *proposal.start, *proposal.refined.tensors().values(), *proposal.mixture.rsample_and_log_prob(eps(batch, 20))


class Uniform:
    """The density of a uniform distribution."""

    def score_samples(self, z: Any) -> Any:
        return 0 * z[:, 0]


def refined(vae: VAE, batch: Batch) -> tuple[Tensor, ...]:
    return tuple(importance.refine(vae, batch, NOISE, encoder_parameters(vae, batch, NOISE), 3).tensors().values())


def refined_full(vae: VAE, batch: Batch) -> tuple[Tensor, ...]:
    start = encoder_parameters(vae, batch, NOISE)
    return tuple(proposals.refine_full(vae, batch, NOISE, start, 3).tensors().values())


CASES: dict[str, Callable[[VAE, Batch], Any]] = {
    "elbo": lambda vae, batch: importance.elbo(vae, batch, anywhere(batch), eps(batch)),
    "log_weights": lambda vae, batch: importance.log_weights(vae, batch, 4, NOISE),
    "nll": lambda vae, batch: importance.nll(vae, batch, 4, NOISE),
    "encoder_parameters": lambda vae, batch: encoder_parameters(vae, batch, NOISE),
    "refine": refined,
    "maximise_elbo": lambda vae, batch: importance.maximise_elbo(
        vae, batch, NOISE, encoder_parameters(vae, batch, NOISE)[:2], 3
    ),
    "propose": proposed,
    "refine_full": refined_full,
    "uncovered_codes": uncovered,
    "evaluate_pilot": pilot,
    "best_start": best_start,
    "bounds": lambda vae, batch: decomposition.bounds(vae, batch, NOISE, 10, 3),
    "mean_elbo": lambda vae, batch: decomposition.mean_elbo(vae, batch, anywhere(batch), NOISE),
    "best_code_cost": lambda vae, batch: decomposition.best_code_cost(vae, batch, batch.x, 3),
    "prior_gain": lambda vae, batch: decomposition.prior_gain(Uniform(), vae, batch, NOISE),
    "posterior_codes": lambda vae, batch: decomposition.posterior_codes(vae, batch, NOISE, 2),
    "inpaint": inpainted,
    "initial_codes": lambda vae, batch: inpainting.initial_codes(vae, masked(batch), donors(batch), NOISE),
    "fit_codes": lambda vae, batch: inpainting.fit_codes(vae, masked(batch), donors(batch), NOISE, 3).loc,
    "log_likelihoods": lambda vae, batch: inpainting.log_likelihoods(vae, masked(batch), eps(batch)),
    "elbo_terms": lambda vae, batch: tuple(map(torch.from_numpy, metrics.elbo_terms(vae, [batch], NOISE).values())),
    "dimensions": lambda vae, batch: tuple(map(torch.from_numpy, metrics.dimensions(vae, [batch]))),
    "code_gain": lambda vae, batch: metrics.code_gain(vae, batch, NOISE),
    "unexplained_share": lambda vae, batch: torch.tensor(metrics.unexplained_share(vae, batch, batch.x.mean(0))),
}
# their numbers depend on the decoder and the prior alone, which have no labels here
WITHOUT_POSTERIOR = {"elbo", "uncovered_codes", "evaluate_pilot", "mean_elbo", "log_likelihoods"}


def tensors(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


@pytest.mark.parametrize("name", CASES)
def test_the_model_is_given_the_labels_of_the_batch(name):
    batch = batch_of([2] * COUNT)
    found = tensors(CASES[name](labelled(), batch))
    expected, other = (tensors(CASES[name](of_label(label), batch)) for label in (2, 0))
    torch.testing.assert_close(found, expected)
    same = all(torch.equal(a, b) for a, b in zip(expected, other, strict=True))
    assert same == (name in WITHOUT_POSTERIOR)


def test_an_image_keeps_its_label_where_some_are_selected():
    """Proposals refine some images of a batch again, and fits begin with several fillings of each."""
    batch = batch_of([0, 1, 2, 1, 0, 2])
    both = [proposed(labelled(), batch)[-1], inpainting.initial_codes(labelled(), masked(batch), donors(batch), NOISE)]
    for label in range(3):
        rows, vae = batch.y == label, of_label(label)
        alone = select(batch, rows)
        torch.testing.assert_close(both[0][:, rows], proposed(vae, alone)[-1])
        codes = inpainting.initial_codes(vae, masked(alone), donors(batch)[:, rows], NOISE)
        torch.testing.assert_close(both[1][:, rows], codes)


def test_every_function_of_a_model_and_a_batch_is_tried():
    functions = {
        name
        for module in MODULES
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and "vae" in (arguments := inspect.signature(function).parameters)
        and {"batch", "batches", "masked"} & set(arguments)
    }
    assert functions == set(CASES)


def test_pilot_codes_are_decoded_for_each_label():
    """This decoder ignores the label, so that the result is that of codes decoded once for all images."""
    batch, codes = batch_of([0, 3, 1]), torch.randn(30, 3)
    with torch.no_grad():
        each, shared = (proposals.evaluate_pilot(vae, batch, codes) for vae in (labelled(), of_label(0)))
    torch.testing.assert_close(each.log_joint, shared.log_joint)


def test_simulated_images_have_labels():
    assert calibration.ranks(labelled(), torch.arange(150) % 4, NOISE).shape == (150, 3)
