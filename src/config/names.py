"""What options are derived from others: the names of parts, titles and folders of runs, and the sizes of codes."""

import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.models.levels import count_latents
from src.support.errors import UserError, printable

HIERARCHY = "src.models.hierarchy."  # the module of a hierarchy's parts
LEVELS = ("channels", "levels", "latents", "top")  # options of its decoder on which the codes depend
MOST_LATENTS = 100_000
LONGEST_NAME = 40  # letters of the name of a user's images in a title
# the choices of the plain VAE, which a title leaves out
PLAIN = {
    "posterior": "gaussian",
    "prior": "standard",
    "likelihood": "bernoulli",
    "objective": "elbo",
    "schedule": "constant",
}


def option_name(target: str) -> str:
    """The choice on the command line that names a class: free_bits for FreeBits or src.training.objectives.FreeBits."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", target.rpartition(".")[2]).lower()


def has_levels(cfg: DictConfig | dict[str, Any]) -> bool:
    """Whether the model of a configuration is a hierarchy, which has a posterior of its own."""
    node = cfg if OmegaConf.is_config(cfg) else OmegaConf.create(cfg)
    return str(OmegaConf.select(node, "model.decoder._target_")).startswith(HIERARCHY)


def title_of_parts(*, _root_: DictConfig) -> str:
    """The parts in a run's title, " encoder=mine.Net prior=vamp": networks of one's own, and those that differ from the
    plain VAE's."""
    targets = {name: OmegaConf.select(_root_, f"model.{name}._target_") for name in ("encoder", "decoder")}
    own = [f" {name}={target}" for name, target in targets.items() if not str(target or "src.").startswith("src.")]
    choices = {group: option_name(_root_[group]._target_) for group in PLAIN}
    usual = PLAIN | {"posterior": "ladder"} if has_levels(_root_) else PLAIN
    others = [f" {group}={name}" for group, name in choices.items() if name != usual[group]]
    pixel = OmegaConf.select(_root_, "likelihood.pixel") or "bernoulli"
    others += [f" likelihood.pixel={pixel}"] if pixel != "bernoulli" else []
    condition = OmegaConf.select(_root_, "condition._target_")  # null, or of an earlier version, without it
    others += [f" condition={option_name(condition)}"] if condition else []
    prior = OmegaConf.select(_root_, "condition.prior") or "none"
    return "".join([*own, *others, *([f" condition.prior={prior}"] if prior != "none" else [])])


def latents_of_levels(usual: int, *, _root_: DictConfig) -> int:
    """The dimensions of all levels of a hierarchy; `usual` for other models, and where its options are wrong."""
    if not has_levels(_root_):
        return usual
    options = (OmegaConf.select(_root_, f"model.decoder.{name}") for name in LEVELS)
    try:
        return count_latents(OmegaConf.select(_root_, "data.shape"), *options)
    except (TypeError, ValueError):  # the checks of these options say what is wrong
        return usual


def latents_of_prior(*, _root_: DictConfig) -> int:
    """The dimensions of the codes that `prior` is over: all, or those of a hierarchy's top level."""
    return OmegaConf.select(_root_, "model.decoder.top") if has_levels(_root_) else _root_.latent_dim


def images_name(*, _root_: DictConfig) -> str:
    """The name of the images in a run's title: of a user's own that of their folder or file, or of the data set."""
    path = OmegaConf.select(_root_, "data.path", default=None)
    name = Path(str(path)).name.partition(".")[0] if path else ""
    return printable(name[:LONGEST_NAME]) or str(_root_.data.name)


def trusted_names(value: Any, option: str = "trust") -> list[str]:
    """The names of modules or classes in the option `trust`, one or a list. Raises UserError for anything else."""
    names = [value] if isinstance(value, str) else value or []
    is_list = OmegaConf.is_list(names) or isinstance(names, list | tuple)
    for name in names if is_list else [names]:
        if not isinstance(name, str) or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
            raise UserError(f"{option} must be the name of a module or a class, or a list of names, got {name}")
    return list(names)


def run_folder(ckpt_path: str | None, fresh: str, run_name: str | None = None) -> str:
    """The folder of the run that `ckpt_path` (RUN/checkpoints/last.ckpt) belongs to, or that `run_name` names,
    otherwise a fresh one."""
    if ckpt_path:
        return str(Path(ckpt_path).absolute().parent.parent)
    return str(Path(fresh).parent / str(run_name)) if run_name else fresh


OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
OmegaConf.register_new_resolver("latents", latents_of_levels, replace=True)
OmegaConf.register_new_resolver("prior_dim", latents_of_prior, replace=True)
OmegaConf.register_new_resolver("images_name", images_name, replace=True)
OmegaConf.register_new_resolver("parts", title_of_parts, replace=True)  # checkpoints hold titles with ${parts:}
