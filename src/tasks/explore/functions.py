"""What the page computes of a VAE, as functions of single images and codes, and their programs."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.build import Run
from src.models.vae import VAE
from src.support.errors import UserError
from src.support.noise import seed_of
from src.tasks.explore.arrays import Arrays
from src.tasks.explore.programs import Program, run_program, trace

CLOUD = 24  # codes drawn from the posterior of an image at once
BANK = 2000  # codes drawn beforehand from a prior that makes none from noise
REFERENCES = 4  # inputs of each function whose results the page compares with PyTorch's
Kind = Literal["code", "pixel", "nats"]
ACCEPTED: Mapping[Kind, float] = {"code": 5e-3, "pixel": 1e-3, "nats": 0.05}  # the largest differences from PyTorch


class Function(NamedTuple):
    """A function of tensors: what computes it, the names of its inputs, and the kinds of its outputs.

    An input is an image `x` (1, C, H, W), a code `z` (1, D), normal `noise` (CLOUD, 1, D), or a label `y` (1,).
    """

    compute: Callable[..., tuple[Tensor, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[Kind, ...]


class Reference(NamedTuple):
    """Inputs of a function, and its outputs by PyTorch; each has REFERENCES of them along its first axis."""

    inputs: list[Tensor]
    outputs: list[Tensor]


def functions(vae: VAE) -> dict[str, Function]:
    """The functions of a VAE by name.

    decode      the mean of p(x|z)
    describe    of an image: its code z, which is the mean of q(z|x), the mean of p(x|z) there, -log p(x|z) and KL(q, p)
                in closed form, or else log q(z|x) - log p(z)
    cloud       codes (CLOUD, D) drawn from q(z|x)
    recon       -log p(x|z)
    log_prior   log p(z)
    from_noise  a code from the prior, from standard normal noise (1, D); missing where it makes none from noise
    carry       of a prior p(z|y): the code that is where z is among those of one label, among those of another label
    """

    def decode(z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (vae.given(y).decode(z).mean,)

    def describe(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        draws = vae.given(y).draw(x, x.new_zeros(1, 1, vae.latent_dim))
        return draws.z[0], draws.px.mean[0], draws.recon(), draws.kl("closed")

    def cloud(x: Tensor, noise: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (vae.given(y).draw(x, noise).z[:, 0],)

    def recon(x: Tensor, z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (-vae.given(y).decode(z).log_prob(x),)

    def log_prior(z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (vae.given(y).prior().log_prob(z),)

    def from_noise(noise: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (vae.given(y).prior().rsample_and_log_prob(noise)[0],)

    def carry(z: Tensor, y: Tensor, to: Tensor) -> tuple[Tensor, ...]:
        assert vae.condition is not None
        return (vae.condition.carry(z, y, to),)

    found = {
        "decode": Function(decode, ("z", "y"), ("pixel",)),
        "describe": Function(describe, ("x", "y"), ("code", "pixel", "nats", "nats")),
        "cloud": Function(cloud, ("x", "noise", "y"), ("code",)),
        "recon": Function(recon, ("x", "z", "y"), ("nats",)),
        "log_prior": Function(log_prior, ("z", "y"), ("nats",)),
    }
    if makes_codes(vae):
        found["from_noise"] = Function(from_noise, ("z", "y"), ("code",))
    if vae.condition is not None and vae.condition.has_prior:
        found["carry"] = Function(carry, ("z", "y", "y"), ("code",))
    return found


def makes_codes(vae: VAE) -> bool:
    """Whether the prior makes codes from noise; a mixture chooses a component at random instead."""
    with torch.no_grad():
        return vae.given_each_label(1).prior().has_rsample


def check(vae: VAE) -> None:
    """Raise UserError for a VAE that the page can't decode."""
    if vae.averages_draws:
        raise UserError("task=explore decodes the mean of p(x|z), which has no closed form in this run")


def write_programs(run: Run, arrays: Arrays) -> dict[str, Any]:
    """The programs of a run's VAE by name, and `references`: results of PyTorch that the page compares with its own.

    Large weights are stored as whole numbers of 16 bits with scales, unless that changes a reference by more than half
    of what is accepted. Raises UserError where the model has no programs, or where they differ from PyTorch.
    """
    references, before = make_references(run), len(arrays.entries)
    for exact in (False, True):
        arrays.cut(before)
        programs = {name: write(run.vae, name, arrays, exact) for name in functions(run.vae)}
        found = differences(run.vae, programs, references, arrays)
        if all(found[kind] <= ACCEPTED[kind] / 2 for kind in ACCEPTED):
            break
    else:
        apart = ", ".join(f"{value:.1e} ({kind})" for kind, value in found.items())
        raise UserError(f"task=explore: the programs differ from PyTorch by {apart}")
    stored = {
        name: {
            "inputs": [arrays.add(each, "float32") for each in reference.inputs],
            "outputs": [arrays.add(each, "float32") for each in reference.outputs],
            "kinds": functions(run.vae)[name].outputs,
        }
        for name, reference in references.items()
    }
    return {"programs": programs, "references": stored}


def write(vae: VAE, name: str, arrays: Arrays, exact: bool) -> Program:
    """The program of one function of a VAE."""
    function = functions(vae)[name]
    shapes = {"x": (1, *vae.shape), "z": (1, vae.latent_dim), "noise": (CLOUD, 1, vae.latent_dim)}

    def example(name: str) -> Tensor:  # one for each input, since PyTorch traces equal tensors as one
        return torch.zeros(1, dtype=torch.long) if name == "y" else torch.zeros(shapes[name])

    return trace(function.compute, function.inputs, [example(each) for each in function.inputs], arrays, exact)


@torch.no_grad()
def make_references(run: Run) -> dict[str, Reference]:
    """References of each function: validation images, codes from the prior, noise, and labels."""
    vae = run.vae
    batch = next(iter(run.batches(run.data.val, REFERENCES)))
    rows = torch.arange(REFERENCES) % len(batch.x)
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(run.seed, "explore"))
        labels = vae.given_each_label(REFERENCES)
        y = torch.zeros(REFERENCES, dtype=torch.long) if labels.y is None else labels.y
        noise = torch.randn(REFERENCES, CLOUD, 1, vae.latent_dim)
        given = {"x": batch.x[rows][:, None], "z": labels.sample_codes(REFERENCES)[:, None], "noise": noise}
    references = {}
    for name, function in functions(vae).items():
        labels = iter([y[:, None], y.roll(1)[:, None]])
        inputs = [next(labels) if each == "y" else given[each] for each in function.inputs]
        made = [function.compute(*(each[i] for each in inputs)) for i in range(REFERENCES)]
        references[name] = Reference(inputs, [torch.stack(each) for each in zip(*made, strict=True)])
    return references


def differences(
    vae: VAE, programs: dict[str, Program], references: dict[str, Reference], arrays: Arrays
) -> dict[Kind, float]:
    """The largest differences of programs from references, of each kind of number."""
    found: dict[Kind, float] = dict.fromkeys(ACCEPTED, 0.0)
    for name, (inputs, outputs) in references.items():
        for i in range(REFERENCES):
            made = run_program(programs[name], [each[i] for each in inputs], arrays)
            for kind, ours, theirs in zip(functions(vae)[name].outputs, made, outputs, strict=True):
                error = float((ours - theirs[i]).abs().max())
                found[kind] = max(found[kind], error if np.isfinite(error) else np.inf)
    return found


def bank(run: Run) -> np.ndarray:
    """Codes drawn from the prior, (BANK, D), for a page that can't draw them itself."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed_of(run.seed, "explore", "bank"))
        return run.vae.given_each_label(BANK).sample_codes(BANK).float().numpy()
