"""What a run goes on with: the configuration in its checkpoint, and on top of it what is given now."""

import logging
import pickle
import zipfile
from collections import OrderedDict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from src.config.moved import current_paths
from src.config.options import Config
from src.config.overrides import name_of, replace_null
from src.support.errors import DamagedError, UserError
from src.support.files import atomic_path

log = logging.getLogger(__name__)
OF_NOW = ("ckpt_path", "title", "sweep_name")  # not what a run was trained with


class Nothing:
    """What stands for a tensor, and for all that is no plain container."""

    def __init__(self, *_: Any): ...

    def __setstate__(self, _: Any) -> None: ...


class Containers(pickle.Unpickler):
    """Reads the plain containers of a checkpoint without PyTorch, whose import takes seconds; runs no code of it."""

    def find_class(self, module: str, name: str) -> type:
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else Nothing

    def persistent_load(self, _: Any) -> None: ...


def stored(path: Path) -> dict[str, Any]:
    """What a checkpoint says of its run: its resolved `config`, the `overrides` that made it, and, but for runs of
    earlier versions, the `composition`: the configuration with its interpolations.

    Raises UserError where the file is missing, cut short, or none of ours.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (each for each in archive.namelist() if each.endswith("/data.pkl"))
            with archive.open(name) as file:
                state = Containers(file).load()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such checkpoint") from None
    except OSError:
        raise
    except Exception as error:  # whatever a damaged file leads to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedError(f"{path} is no checkpoint, or is cut short ({reason}): try another of its folder") from None
    if not isinstance(state, dict) or "run" not in state:
        raise UserError(f"{path} was not written by this program: it holds no run's configuration")
    return current_paths(state["run"])


def resumed(path: Path, words: list[str]) -> tuple[DictConfig, list[str]]:
    """The configuration of the run that a checkpoint belongs to, changed by the words of now, and all of its words.

    What conf/ holds now does not matter, but for a group that is chosen anew. The run's own words for that group are
    kept. Raises UserError for a word that does not fit.
    """
    run = stored(path)
    own = {name_of(word): word for word in run["overrides"]}  # of two for one option the later counts
    asked = {name_of(word): word for word in replace_null(words) if name_of(word) != "ckpt_path"}
    new = [word for name, word in asked.items() if own.get(name) != word]
    latest = own | {name_of(word): word for word in new}
    if run.get("composition"):
        schema = OmegaConf.structured(Config)
        OmegaConf.set_struct(schema, False)  # the run may have options of its own that others refer to
        cfg = OmegaConf.merge(schema, run["composition"])
        OmegaConf.set_struct(cfg, True)
        source = "the environment has"
    else:
        cfg, source = hydra.compose("train", list(own.values())), "conf/ or the environment has"
    before = container(cfg)
    changed = [name for name, value in run["config"].items() if name not in OF_NOW and before.get(name) != value]
    if changed:
        log.warning("%s changed since the run began, in %s", source, ", ".join(changed))
    if run.get("composition"):
        for name in change(cfg, list(own.values()), new) if new else []:
            del latest[name]
    else:
        cfg = hydra.compose("train", list(latest.values()))
    cfg.ckpt_path = str(path)
    return cfg, list(latest.values())


def container(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration. Raises UserError where it can't be resolved here."""
    try:
        return OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"the run's configuration: {str(error).splitlines()[0]}") from None


def change(cfg: DictConfig, own: list[str], new: list[str]) -> list[str]:
    """Changes a configuration by new words; the run's `own` count again where they are of a group that is chosen anew.
    The options of those that the new choice has not."""
    loader = GlobalHydra.instance().config_loader()
    before, words = (OverridesParser.create(loader).parse_overrides(each) for each in (own, new))
    choices = [word for word in words if chooses(word)]
    lost = []
    if choices:
        touched = choose(cfg, [word.input_line for word in choices])
        for word in before:
            name = word.key_or_group
            if (
                name.partition(".")[0] in touched
                and not chooses(word)
                and name_of(word.input_line) not in map(name_of, new)
            ):
                try:
                    apply(cfg, word)
                except UserError:
                    log.warning("%s is not kept: there is no such option in what is chosen now", word.input_line)
                    lost.append(name_of(word.input_line))
    for word in words:
        if not chooses(word):
            apply(cfg, word)
    return lost


def chooses(word: Override) -> bool:
    """Whether a word chooses a group's file, or leaves the group out."""
    return not isinstance(word.value(), dict) and bool(word.config_loader.get_group_options(word.key_or_group))


def choose(cfg: DictConfig, choices: list[str]) -> set[str]:
    """Replaces the groups that are chosen anew, and sets what an experiment sets; the root's names that changed."""
    configs = [hydra.compose("train", words, return_hydra_config=True) for words in ([], choices)]
    files = [config.hydra.runtime.choices for config in configs]
    default, chosen = (OmegaConf.to_container(OmegaConf.masked_copy(each, list(cfg))) for each in configs)
    groups = {name_of(word).partition("@")[0] for word in choices}
    groups |= {group for group in files[1] if files[1][group] != files[0].get(group)}
    touched = {name for name in chosen if name in groups or chosen[name] != default.get(name)}
    for name in touched:
        cfg[name] = chosen[name] if name in groups else differing(cfg[name], default.get(name), chosen[name])
    return touched


def differing(now: Any, default: Any, chosen: Any) -> Any:
    """A node with what differs between two others."""
    if not all(isinstance(each, dict) or OmegaConf.is_dict(each) for each in (now, default, chosen)):
        return chosen
    now = OmegaConf.to_container(now) if OmegaConf.is_config(now) else now
    kept = {name: value for name, value in now.items() if name in chosen or name not in default}
    changed = {
        name: differing(now.get(name), default.get(name), value)
        for name, value in chosen.items()
        if name not in default or value != default[name]
    }
    return kept | changed


def apply(cfg: DictConfig, word: Override) -> None:
    """Sets, adds or removes the option that a word names. Raises UserError where it can't."""
    name, line = word.key_or_group, word.input_line
    if word.is_sweep_override() or word.package is not None:
        raise UserError(f"{line}: a run that goes on takes one value of an option")
    parent, _, last = name.rpartition(".")
    try:
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if word.is_delete():
            if not OmegaConf.is_dict(node) or last not in node:
                raise UserError(f"{line}: the run has no {name}")
            with open_dict(cfg):
                del node[last]
        else:
            OmegaConf.update(cfg, name, word.value(), force_add=word.is_add() or word.is_force_add())
    except (ConfigAttributeError, ConfigKeyError) as error:
        if OmegaConf.is_dict(node) and last in node:  # within a value that is a mapping
            raise UserError(f"{line}: {str(error).splitlines()[0]}; ++{line.lstrip('+')} adds it") from None
        near = get_close_matches(last, list(node) if OmegaConf.is_dict(node) else [], n=1)
        meant = f": did you mean {'.'.join(filter(None, (parent, near[0])))}?" if near else ""
        raise UserError(f"{name} is no option of the run that goes on{meant}") from None
    except OmegaConfBaseException as error:
        raise UserError(f"{line}: {str(error).splitlines()[0]}") from None


def tell_hydra(run: Path, cfg: DictConfig, words: list[str]) -> None:
    """Keeps what Hydra has left in RUN/.hydra what it means: the run's configuration and its words."""
    if (run / ".hydra").is_dir():
        for name, content in (("config", cfg), ("overrides", OmegaConf.create(words))):
            with atomic_path(run / ".hydra" / f"{name}.yaml") as partial:
                partial.write_text(OmegaConf.to_yaml(content))
