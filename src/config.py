"""What the command line may say: types and ranges of the flat options, checked before anything is made."""

import itertools
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.errors import UserError


@dataclass
class Config:
    """The root of conf/train.yaml; each group is a node of its own."""

    latent_dim: int = 16
    beta: float = 1.0
    seed: int = 0
    ckpt_path: str | None = None
    title: str = MISSING
    data: Any = MISSING
    model: Any = MISSING
    posterior: Any = MISSING
    prior: Any = MISSING
    likelihood: Any = MISSING
    objective: Any = MISSING
    schedule: Any = MISSING
    optimizer: Any = MISSING
    lr_schedule: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    callbacks: Any = MISSING


def check(options: dict[str, Any]) -> None:
    """Raises UserError for a flat option of the wrong type or out of range."""
    try:
        cfg = OmegaConf.merge(OmegaConf.structured(Config), options)
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from None
    if cfg.latent_dim < 1:
        raise UserError(f"latent_dim must be at least 1, got {cfg.latent_dim}")
    if not 0 <= cfg.beta < math.inf:
        raise UserError(f"beta must be a finite number, 0 or more, got {cfg.beta}")
    if not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed must be from 0 to 2^32 - 1, got {cfg.seed}")
    if cfg.ckpt_path is not None:
        path = Path(cfg.ckpt_path).absolute()
        if not path.is_file():
            raise UserError(f"ckpt_path={cfg.ckpt_path}: no such file; a run's checkpoints lie in RUN/checkpoints/")
        if path.parent.name != "checkpoints":
            raise UserError(f"ckpt_path={cfg.ckpt_path} is not in a run's folder: give RUN/checkpoints/last.ckpt")


def check_beta(cfg: DictConfig) -> None:
    """Raises UserError for a beta that the objective would ignore."""
    if cfg.beta != 1 and "beta" not in cfg.objective:
        name = choice(cfg.objective._target_)
        raise UserError(f"beta={cfg.beta:g}: objective={name} has no beta; leave it at 1, or choose objective=elbo")


PLAIN = {
    "posterior": "gaussian",
    "prior": "standard",
    "likelihood": "bernoulli",
    "objective": "elbo",
    "schedule": "constant",
}
FLAT = ("latent_dim", "beta", "seed", "ckpt_path")


class CheckFirst(Callback):
    """Hydra's hook before a run or sweep: refuses bad values before a folder is made or a first job has run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse(check, {name: config[name] for name in FLAT})
        refuse(check_beta, config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        choices: list[list[str]] = []
        for override in OverridesParser.create().parse_overrides(config.hydra.overrides.task):
            name = override.key_or_group
            if name == "ckpt_path" and override.value():
                sys.exit("ckpt_path resumes one run: leave -m out")
            swept = override.is_sweep_override() and override.is_discrete_sweep()
            if name in FLAT:
                for value in override.sweep_iterator() if swept else [override.value()]:
                    refuse(check, {name: value})
            if name in ("beta", "objective", "experiment"):
                choices.append([f"{name}={v}" for v in (override.sweep_iterator() if swept else [override.value()])])
        loader = GlobalHydra.instance().config_loader()
        for options in itertools.product(*choices) if choices else []:
            refuse(check_beta, loader.load_configuration(config.hydra.job.config_name, list(options), RunMode.RUN))


def refuse(check: Callable[[Any], None], options: Any) -> None:
    """Ends the program with one line where an option is bad; Hydra's hooks would turn an exception into a warning."""
    try:
        check(options)
    except UserError as error:
        sys.exit(str(error))


def choice(name: str) -> str:
    """The option that names a class of a part: FreeBits is free_bits."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.rpartition(".")[2]).lower()


def parts(*, _root_: DictConfig) -> str:
    """What a run's title says of its parts: those that are not the plain VAE's."""
    found = {group: choice(_root_[group]._target_) for group in PLAIN}
    return "".join(f" {group}={name}" for group, name in found.items() if name != PLAIN[group])


def run_folder(ckpt_path: str | None, fresh: str) -> str:
    """The folder of the run that `ckpt_path` (RUN/checkpoints/last.ckpt) belongs to, else a fresh one."""
    return str(Path(ckpt_path).absolute().parent.parent) if ckpt_path else fresh


def help_text(conf: Path) -> str:
    """The text of conf/hydra/help/ with each group and its choices.

    Hydra's own --help says the same a second later: for each group it copies all the configurations that it knows.
    """
    text = OmegaConf.load(conf / "hydra" / "help" / "vae_lab.yaml")
    template = OmegaConf.create({"hydra": {"help": text}}).hydra.help.template
    folders = sorted(path for path in conf.iterdir() if path.is_dir() and path.name != "hydra")
    choices = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in folders}
    groups = "".join(f"{group}: {', '.join(names)}\n" for group, names in choices.items())
    return template.replace("$APP_CONFIG_GROUPS", groups)


ConfigStore.instance().store(name="schema", node=Config)
OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
OmegaConf.register_new_resolver("parts", parts, replace=True)
