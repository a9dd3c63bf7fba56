"""The options of src.train and src.apply: their schemas, and all checks that need nothing but the configuration."""

import copy
import math
import re
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from src.config import choices, shared  # noqa: F401 - shared registers the resolver that conf/train.yaml needs
from src.config.hierarchy import check_levels, check_posterior
from src.config.memory import check_memory
from src.config.names import MOST_LATENTS, PLAIN, has_levels, option_name, trusted_names
from src.config.overrides import format_option
from src.config.packages import check_packages
from src.config.plain import texts
from src.config.schema import check_parts, check_value, is_referred_to, suggestion
from src.config.trainer_options import check_trainer
from src.support.errors import UserError
from src.support.folders import EXAMPLE, RunFolder
from src.support.links import check_links
from src.support.ranges import as_argument
from src.support.texts import CONTROL
from src.support.world import check_size

# conf/hydra/launcher/ has defaults of our own for these launchers
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
CONF = str(choices.CONF)  # Hydra takes text
MOST_CHARACTERS = 10_000  # of a text
MEASURED = ("elbo", "loss", "recon", "kl")
# the metrics of each epoch, and whether their smallest or their largest value is the best
MONITORED = {
    **{f"{split}/{name}": "max" if name == "elbo" else "min" for split in ("val", "train") for name in MEASURED},
    "val/active_units": "max",
    "val/bits_per_dim": "min",
}
# options of data that may be `auto`, with a usual value of each
AUTOMATIC = {"shape": [1, 28, 28], "batch_size": 64, "epochs": 60}
PARTS = ("data", "model", *PLAIN, "optimizer", "lr_schedule", "trainer")
PARTS_OF_MODEL = ("posterior", "prior", "likelihood", "condition")
FLAT = ("latent_dim", "beta", "seed", "test", "ckpt_path", "run_name", "resume", "sweep_name")


@dataclass
class Config:
    """The flat options of src.train, and its groups; the defaults are in conf/train.yaml too."""

    latent_dim: int = 16
    beta: float = 1.0
    seed: int = 0
    test: bool = True
    ckpt_path: str | None = None
    run_name: str | None = None
    resume: str | None = None
    trust: Any = None
    sweep_name: str | None = None
    title: str = MISSING
    data: Any = MISSING
    model: Any = MISSING
    posterior: Any = MISSING
    prior: Any = MISSING
    likelihood: Any = MISSING
    condition: Any = None
    objective: Any = MISSING
    schedule: Any = MISSING
    optimizer: Any = MISSING
    lr_schedule: Any = MISSING
    trainer: Any = MISSING
    logger: Any = None
    callbacks: Any = None


@dataclass
class ApplyConfig:
    """The flat options of src.apply; `task` is a group."""

    run: str = MISSING
    task: Any = MISSING
    checkpoint: str = "best"
    name: str | None = None
    seed: int | None = None
    device: str = "auto"
    trust: Any = None
    data: Any = MISSING


def check_flat(options: dict[str, Any]) -> None:
    """Raise UserError for a flat option of src.train of the wrong type or out of range."""
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
        check_links(RunFolder.of_checkpoint(path).path)
    for option in ("run_name", "sweep_name"):
        if cfg[option] is not None and not re.fullmatch(r"\w[\w.-]*", cfg[option]):
            raise UserError(f"{option}={cfg[option]} can't name a folder: use letters, digits, _ . and -")
    if cfg.resume not in (None, "auto"):
        raise UserError(f"resume must be null or auto, got {cfg.resume}; a checkpoint is given by ckpt_path=FILE")


def check_run(cfg: DictConfig) -> None:
    """Raise UserError for an option of src.train that does not exist, has another type, is out of range, or would be
    ignored. Nothing heavy is imported."""
    for part in (*PARTS, "model.encoder", "model.decoder"):
        if OmegaConf.select(cfg, part) is None:
            raise UserError(f"{part} must be given: {part}=..." if part in PARTS else f"{part} must name a class")
    cfg = with_usual_values(cfg)
    check_posterior(cfg)
    options = to_plain_dict(cfg)
    is_hierarchy = has_levels(cfg)  # whose latents are checked with its levels
    check_flat({name: options[name] for name in FLAT if not (is_hierarchy and name == "latent_dim")})
    trusted_names(cfg.get("trust"))
    check_names(options, cfg, Config)
    for part in PARTS:
        check_value(part, options[part], dict)
    check_value("condition", options.get("condition"), dict | None)
    check_members(options)
    check_texts(options)
    check_memory(options)
    check_parts(options, cfg)
    check_trainer(options["trainer"])
    check_levels(options)
    check_sizes(options, is_hierarchy)
    check_condition(options)
    check_beta(cfg)
    check_monitors(options["callbacks"] or {})
    data = options["data"]
    if data.get("path") == "":
        raise UserError("data.path is empty: give a folder or a file")
    if data.get("path") is not None and not Path(data["path"]).expanduser().exists():
        raise UserError(f"data.path={data['path']}: there is no such file or folder")


def with_usual_values(cfg: DictConfig) -> DictConfig:
    """A configuration in which options that are `auto`, which src/run/automatic.py replaces, have usual values."""
    names = [name for name in AUTOMATIC if OmegaConf.select(cfg, f"data.{name}") == "auto"]
    if not names:
        return cfg
    cfg = copy.deepcopy(cfg)
    with read_write(cfg), open_dict(cfg):
        for name in names:
            cfg.data[name] = AUTOMATIC[name]
    return cfg


def check_processes(cfg: DictConfig) -> None:
    """Raise UserError where torchrun or srun has started another number of processes than the trainer's options ask
    for."""
    trainer = OmegaConf.to_container(cfg.trainer, resolve=True)
    check_size(trainer["devices"], trainer.get("num_nodes", 1))


def to_plain_dict(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration as a plain dict, without Hydra's own node and without `trust`, which a command grants
    and no file. Raises UserError where an option is missing or refers to one that does not exist."""
    ours = OmegaConf.masked_copy(cfg, [name for name in cfg if name not in ("hydra", "trust")])
    try:
        return OmegaConf.to_container(ours, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        text = str(error).splitlines()[0]
        if missing := re.search(r"Missing mandatory value: ([\w.]+)", text):
            direct = error.full_key.endswith(f".{missing[1]}")  # otherwise something refers to what is missing
            name = error.full_key if direct else missing[1]
            raise UserError(f"{name} must be given: {name}=...") from None
        raise UserError(f"{error.full_key}: {text}") from None


def check_names(options: dict[str, Any], cfg: DictConfig, schema: type) -> None:
    """Raise UserError for an option at the root that the schema does not have and that no other option refers to."""
    names = [each.name for each in fields(schema)]
    for name in options:
        if name not in names and not is_referred_to(name, cfg):
            raise UserError(f"there is no option {name}; {suggestion(name, names)}")


def check_members(options: dict[str, Any]) -> None:
    """Raise UserError for a callback or logger that is neither null nor a node with a class, and for a missing package
    of a logger."""
    for group in ("callbacks", "logger"):
        for name, node in (options[group] or {}).items():
            if node is not None and not (isinstance(node, dict) and "_target_" in node):
                raise UserError(f"{group}.{name} must name a class: {group}.{name}._target_=...")
    check_packages(options["logger"] or {})


def check_monitors(callbacks: dict[str, Any]) -> None:
    """Raise UserError for a callback that monitors what is not measured, or in the wrong direction."""
    for name, node in callbacks.items():
        if not isinstance(node, dict) or node.get("monitor") is None:
            continue
        option, monitored = f"callbacks.{name}.monitor", node["monitor"]
        if monitored not in MONITORED:
            raise UserError(f"{option}={monitored} is not measured after each epoch; what is: {', '.join(MONITORED)}")
        if node.get("mode", "min") != MONITORED[monitored]:
            best = MONITORED[monitored]
            raise UserError(f"{option}={monitored} is best at its {best}imum: +callbacks.{name}.mode={best}")


def check_texts(options: dict[str, Any]) -> None:
    """Raise UserError for a text that a checkpoint could not be opened with (src/config/plain.py)."""
    for option, value in texts(options):
        if len(value) > MOST_CHARACTERS or CONTROL.search(value):
            problem = f"longer than {MOST_CHARACTERS} characters" if len(value) > MOST_CHARACTERS else "no plain text"
            raise UserError(f"{option} is {problem}, got {value}")


def check_sizes(options: dict[str, Any], is_hierarchy: bool) -> None:
    """Raise UserError for a part whose size is not that of the whole, which it follows where it is left out.

    The prior of a hierarchy follows the top level; the levels of a posterior of one's own are not known here.
    """
    decoder, target = options["model"]["decoder"], str(options["posterior"].get("_target_"))
    whole = ("model.decoder.top", decoder.get("top")) if is_hierarchy else ("latent_dim", options["latent_dim"])
    sizes = {("posterior", "latent_dim"): ("latent_dim", options["latent_dim"])}
    if is_hierarchy or target.startswith("src."):
        sizes |= {(part, "latent_dim"): whole for part in ("prior", "condition")}
    sizes |= {(part, "shape"): ("data.shape", options["data"]["shape"]) for part in PARTS_OF_MODEL}
    for (part, option), (name, wanted) in sizes.items():
        if (value := (options.get(part) or {}).get(option, wanted)) != wanted:
            given = f"{part}.{option}={as_argument(value)}, but {name} is {as_argument(wanted)}"
            hint = ", and in a file of your own latent_dim: ${prior_dim:}" if is_hierarchy else ""
            raise UserError(f"{given}: give {name} alone{hint}")


def check_condition(options: dict[str, Any]) -> None:
    """Raise UserError for a prior that would be ignored, since the condition has its own."""
    prior = option_name(str(options["prior"].get("_target_")))
    own = (options.get("condition") or {}).get("prior", "none")
    if own != "none" and prior != PLAIN["prior"]:
        raise UserError(f"condition.prior={own} replaces prior={prior}, which would be ignored: leave one of them out")


def check_beta(cfg: DictConfig) -> None:
    """Raise UserError for a beta that the objective would ignore."""
    if cfg.beta != 1 and "beta" not in cfg.objective:
        name = option_name(cfg.objective._target_)
        raise UserError(f"beta={cfg.beta:g}: objective={name} has no beta; leave it at 1, or choose objective=elbo")


def check_apply(cfg: DictConfig) -> None:
    """Raise UserError for an option of src.apply that is missing, does not exist, has another type, is out of range, or
    names no run."""
    if OmegaConf.is_missing(cfg, "run"):
        raise UserError("run must be given: run=outputs/runs/RUN")
    options = to_plain_dict(cfg)
    check_names(options, cfg, ApplyConfig)
    check_parts(options, cfg)
    if cfg.checkpoint not in ("best", "last"):
        raise UserError(f"checkpoint must be best or last, got {cfg.checkpoint}")
    if cfg.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device must be auto, cpu or cuda, got {cfg.device}")
    trusted_names(cfg.trust)
    if cfg.seed is not None and not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed must be from 0 to 2^32 - 1, got {cfg.seed}")
    if cfg.name is not None and (cfg.name in ("", "latest") or "/" in cfg.name or cfg.name.startswith(".")):
        raise UserError(f"name={cfg.name} can't name a folder of results")
    folder = RunFolder(Path(cfg.run))
    if not folder.path.is_dir():
        named = Path("outputs", "runs", cfg.run)
        meant = f"; did you mean {format_option('run', str(named))}?" if named.is_dir() else ""
        raise UserError(f"run={cfg.run}: no such folder{meant}")
    path = folder.checkpoint(cfg.checkpoint)
    if not path.is_file():
        name = path.relative_to(folder.path)
        raise UserError(f"run={cfg.run} holds no {name}: give the folder of a trained run")
    check_links(folder.path)


ConfigStore.instance().store(name="schema", node=Config)
ConfigStore.instance().store(name="apply_schema", node=ApplyConfig)
