"""What the command line may say: types and ranges of the flat options, checked before anything is made."""

import math
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.experimental.callback import Callback
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.multirun import compose_jobs
from src.config.overrides import check_folder
from src.config.schema import check_parts, check_value, is_referred_to, suggestion
from src.config.trainer_options import check_trainer
from src.support.errors import UserError
from src.support.folders import EXAMPLE, RunFolder

# our own defaults for a launcher of that name
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
CONF = str(Path(__file__).resolve().parent.parent.parent / "conf")


@dataclass
class Config:
    """The root of conf/train.yaml; each group is a node of its own."""

    latent_dim: int = 16
    beta: float = 1.0
    seed: int = 0
    ckpt_path: str | None = None
    sweep_name: str | None = None
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
    logger: Any = None
    callbacks: Any = None


@dataclass
class ApplyConfig:
    """The root of conf/apply.yaml; `task` is a group."""

    run: str = MISSING
    task: Any = MISSING
    checkpoint: str = "best"
    name: str | None = None
    seed: int | None = None
    device: str = "auto"
    data: Any = MISSING


def check(options: dict[str, Any]) -> None:
    """Raises UserError for a flat option of the wrong type or out of range."""
    try:
        cfg = OmegaConf.merge(OmegaConf.structured(Config), options)
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from None
    if not 1 <= cfg.latent_dim <= MOST_LATENTS:
        limit = "at least 1" if cfg.latent_dim < 1 else f"at most {MOST_LATENTS}"
        raise UserError(f"latent_dim must be {limit}, got {cfg.latent_dim}")
    if not 0 <= cfg.beta < math.inf:
        raise UserError(f"beta must be a finite number, 0 or more, got {cfg.beta}")
    if not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed must be from 0 to 2^32 - 1, got {cfg.seed}")
    if cfg.ckpt_path is not None:
        path = Path(cfg.ckpt_path).absolute()
        if not path.is_file():
            raise UserError(
                f"ckpt_path={cfg.ckpt_path}: no such file; a run's checkpoints are in {EXAMPLE.checkpoints}/"
            )
        if RunFolder.of_checkpoint(path) is None:
            raise UserError(f"ckpt_path={cfg.ckpt_path} is not in a run's folder: give {EXAMPLE.checkpoint('last')}")
    if cfg.sweep_name is not None and not re.fullmatch(r"\w[\w.-]*", cfg.sweep_name):
        raise UserError(f"sweep_name={cfg.sweep_name} can't name a folder: use letters, digits, _ . and -")


def check_run(cfg: DictConfig) -> None:
    """Raise UserError for an option of src.train that does not exist, is of another type, out of range, or would be
    ignored: all that a configuration says of itself, before anything heavy is imported."""
    for part in (*PARTS, "model.encoder", "model.decoder"):
        if OmegaConf.select(cfg, part) is None:
            raise UserError(f"{part} must be given: {part}=..." if part in PARTS else f"{part} must name a class")
    options = plain(cfg)
    check({name: options[name] for name in FLAT})
    check_names(options, cfg, Config)
    for part in PARTS:
        check_value(part, options[part], dict)
    check_members(options)
    check_parts(options, cfg)
    check_trainer(options["trainer"])
    check_beta(cfg)
    check_monitors(options["callbacks"] or {})
    check_memory(options)
    data = options["data"]
    if data["source"].get("_target_") == "src.data.sources.npz" and not Path(data["path"]).expanduser().exists():
        raise UserError(f"data.path={data['path']}: there is no such file")


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration as a plain dict, without Hydra's own. Raises UserError where an option is missing, or
    refers to nothing."""
    own = OmegaConf.masked_copy(cfg, [name for name in cfg if name != "hydra"])
    try:
        return OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        text = str(error).splitlines()[0]
        if missing := re.search(r"Missing mandatory value: ([\w.]+)", text):
            direct = error.full_key.endswith(f".{missing[1]}")  # otherwise something refers to what is missing
            name = error.full_key if direct else missing[1]
            raise UserError(f"{name} must be given: {name}=...") from None
        raise UserError(f"{error.full_key}: {text}") from None


def check_names(options: dict[str, Any], cfg: DictConfig, schema: type) -> None:
    """Raise UserError for an option at the root that is not the schema's, and that nothing refers to."""
    names = [each.name for each in fields(schema)]
    for name in options:
        if name not in names and not is_referred_to(name, cfg):
            raise UserError(f"there is no option {name}; {suggestion(name, names)}")


def check_members(options: dict[str, Any]) -> None:
    """Raise UserError for a callback or logger that names no class, and is not switched off either."""
    for group in ("callbacks", "logger"):
        for name, node in (options[group] or {}).items():
            if node is not None and not (isinstance(node, dict) and "_target_" in node):
                raise UserError(f"{group}.{name} must name a class: {group}.{name}._target_=...")


def check_monitors(callbacks: dict[str, Any]) -> None:
    """Raise UserError for a callback that monitors what is not measured, or takes what is better for what is worse."""
    for name, node in callbacks.items():
        if not isinstance(node, dict) or node.get("monitor") is None:
            continue
        option, monitored = f"callbacks.{name}.monitor", node["monitor"]
        if monitored not in MONITORED:
            raise UserError(f"{option}={monitored} is not measured after each epoch; what is: {', '.join(MONITORED)}")
        if node.get("mode", "min") != MONITORED[monitored]:
            best = MONITORED[monitored]
            raise UserError(f"{option}={monitored} is best at its {best}imum: +callbacks.{name}.mode={best}")


def check_memory(options: dict[str, Any]) -> None:
    """Raise UserError for more images decoded at once than any memory holds."""
    samples, size = options["objective"].get("samples", 1), options["data"]["batch_size"]
    nbytes = 4 * samples * size * math.prod(options["data"]["shape"])
    if nbytes > LARGEST:
        raise UserError(
            f"objective.samples={samples} times data.batch_size={size} images take {nbytes / 1e9:.0f} GB in a single "
            "layer: lower one of them"
        )


def check_beta(cfg: DictConfig) -> None:
    """Raises UserError for a beta that the objective would ignore."""
    if cfg.beta != 1 and "beta" not in cfg.objective:
        name = choice(cfg.objective._target_)
        raise UserError(f"beta={cfg.beta:g}: objective={name} has no beta; leave it at 1, or choose objective=elbo")


MOST_LATENTS = 100_000
LARGEST = 32e9  # bytes of the images that are decoded in a step
MEASURED = ("elbo", "loss", "recon", "kl")
MONITORED = {  # what is measured after each epoch, and whether its least or its largest value is the best
    **{f"{split}/{name}": "max" if name == "elbo" else "min" for split in ("val", "train") for name in MEASURED},
    "val/active_units": "max",
    "val/bits_per_dim": "min",
}
PLAIN = {
    "posterior": "gaussian",
    "prior": "standard",
    "likelihood": "bernoulli",
    "objective": "elbo",
    "schedule": "constant",
}
PARTS = ("data", "model", *PLAIN, "optimizer", "lr_schedule", "trainer")
FLAT = ("latent_dim", "beta", "seed", "ckpt_path", "sweep_name")


class CheckApply(Callback):
    """Hydra's hook before a task: refuses bad values before anything heavy is imported."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse(check_apply, config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse(check_applications, config)


def check_applications(config: DictConfig) -> None:
    """Raise UserError where one of the tasks of a multirun is wrong."""
    for cfg in compose_jobs(config, Path(CONF))[1]:
        check_apply(cfg)


def check_apply(cfg: DictConfig) -> None:
    """Raise UserError for an option of src.apply that is missing, does not exist, is of another type or out of range,
    or names no run."""
    if OmegaConf.is_missing(cfg, "run"):
        raise UserError("run must be given: run=outputs/runs/RUN")
    options = plain(cfg)
    check_names(options, cfg, ApplyConfig)
    check_parts(options, cfg)
    if cfg.checkpoint not in ("best", "last"):
        raise UserError(f"checkpoint must be best or last, got {cfg.checkpoint}")
    if cfg.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device must be auto, cpu or cuda, got {cfg.device}")
    if cfg.seed is not None and not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed must be from 0 to 2^32 - 1, got {cfg.seed}")
    if cfg.name is not None and (cfg.name in ("", "latest") or "/" in cfg.name or cfg.name.startswith(".")):
        raise UserError(f"name={cfg.name} can't name a folder of results")
    folder = RunFolder(Path(cfg.run))
    if not folder.path.is_dir():
        raise UserError(f"run={cfg.run}: no such folder")
    path = folder.checkpoint(cfg.checkpoint)
    if not path.is_file():
        name = path.relative_to(folder.path)
        raise UserError(f"run={cfg.run} holds no {name}: give the folder of a trained run")


class CheckFirst(Callback):
    """Hydra's hook before a run: refuses bad values before a folder is made. For a sweep, src.sweeps.jobs does."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse(check_run, config)
        refuse(check_folder, config)
        if config.sweep_name is not None:
            sys.exit("sweep_name names a sweep: add -m, or sweep=NAME")


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


def help_text(command: str) -> str:
    """The text of conf/hydra/help/ for `train`, with each group and its choices, or `apply`, with each task.

    Hydra's own --help says the same a second later: for each group it copies all the configurations that it knows.
    """
    conf = Path(CONF)
    text = OmegaConf.load(conf / "hydra" / "help" / f"{command}.yaml")
    template = OmegaConf.create({"hydra": {"help": text}}).hydra.help.template
    if command == "apply":
        first_lines = {path.stem: path.read_text().partition("\n")[0] for path in sorted(conf.glob("task/*.yaml"))}
        choices = "".join(f"  {name:<13}{line.strip('# ')}\n" for name, line in first_lines.items())
    else:
        folders = sorted(path for path in conf.iterdir() if path.is_dir() and path.name not in ("hydra", "task"))
        files = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in folders}
        files["sweep"].remove("wandb")  # for W&B's agents, not for Hydra
        choices = "".join(f"{group}: {', '.join(names)}\n" for group, names in files.items())
    return template.replace("$APP_CONFIG_GROUPS", choices)


ConfigStore.instance().store(name="schema", node=Config)
ConfigStore.instance().store(name="apply_schema", node=ApplyConfig)
OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
OmegaConf.register_new_resolver("parts", parts, replace=True)
