"""Every posterior with every prior, likelihood and objective: each trains all its parameters, or is refused by name."""

import itertools

import pytest
import torch

from src.config.names import option_name
from src.models.images import GreyLevels
from src.support.errors import UserError
from src.training import objectives
from src.training.trial import try_objective
from tests.helpers.models import LIKELIHOODS, POSTERIORS, PRIORS, small

D = 3
OBJECTIVES = {
    "elbo": objectives.ELBO(),
    "elbo_sample": objectives.ELBO(samples=2, kl="sample"),
    "free_bits": objectives.FreeBits(floor=0.0),
    "free_bits_sample": objectives.FreeBits(floor=0.0, kl="sample"),
    "free_bits_total": objectives.FreeBits(floor=0.0, per="total"),
    "capacity": objectives.Capacity(),
    "capacity_batch": objectives.Capacity(per="batch"),
    **{f"iwae_{e}": objectives.IWAE(3, e) for e in ("iwae", "stl", "dreg")},
    "beta_tc": objectives.BetaTC(6),
    "mmd": objectives.MMD(),
    "wae": objectives.MMD(beta=0.0),
}


def refused(posterior: str, prior: str, likelihood: str, objective: str) -> bool:
    """The combinations that mean nothing, or that nobody could wait for."""
    return (
        (likelihood == "gaussian_optimal" and objective.startswith("iwae"))
        or (posterior == "flow" and (prior == "vamp" or objective in ("beta_tc", "iwae_stl", "iwae_dreg")))
        or (objective.startswith("free_bits") and "total" not in objective and (posterior, prior) != FACTORISE)
        or (objective in ("mmd", "wae") and prior in ("mixture", "vamp"))
    )


KNOWN = ("standard", "mixture", "vamp", "coupling", "autoregressive")  # of others only the parts themselves know
FACTORISE = ("gaussian", "standard")


@pytest.mark.parametrize(("posterior", "prior"), itertools.product(POSTERIORS, PRIORS))
def test_every_combination_trains_all_its_parameters_or_is_refused(posterior, prior):
    torch.manual_seed(0)
    accepted = 0
    for likelihood, objective in itertools.product(LIKELIHOODS, OBJECTIVES):
        name = f"{posterior} {prior} {likelihood} {objective}"
        vae = small(POSTERIORS[posterior](D), PRIORS[prior](D), LIKELIHOODS[likelihood]())
        minimised = OBJECTIVES[objective]
        chosen = [option_name(type(part).__name__) for part in (minimised, vae.posterior, vae.prior_head)]
        named = "objective={} posterior={} prior={}: ".format(*chosen)
        try:
            try_objective(vae, minimised, [2, 1, 4, 4])
        except UserError as error:
            assert named in str(error)
            assert refused(posterior, prior, likelihood, objective) or prior not in KNOWN, error
            continue
        assert not refused(posterior, prior, likelihood, objective) or prior not in KNOWN, name
        accepted += 1
        assert vae.training
        levels = torch.randint(0, 256, (6, 1, 4, 4)) / 255
        x = levels if isinstance(vae.likelihood.support, GreyLevels) else levels.round()
        terms = minimised(vae, x, torch.randn(minimised.samples, 6, D), 0.5)
        assert all(term.shape == (6,) and term.isfinite().all() for term in terms[:3]), name
        terms.loss.mean().backward()
        for key, weight in vae.named_parameters():
            assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), f"{name}: {key}"
    assert accepted or (posterior, prior) == ("flow", "vamp")
