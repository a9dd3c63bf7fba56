"""The configuration of a resumed run: that in its checkpoint, changed by the overrides given now."""

import logging
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from src.config import trust
from src.config.options import Config
from src.config.overrides import name_of, replace_null
from src.config.plain import check_interpolations, check_override, check_resolved
from src.run.checkpoint_file import check_run, read_containers
from src.run.confine import confine
from src.run.options import ADDED, REQUEST, without_added_options
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.folders import RunFolder

log = logging.getLogger(__name__)


def read_run(path: Path) -> dict[str, Any]:
    """The description of the run in a checkpoint: the resolved `config`, the `overrides` it was made from, and the
    `composition`, which is the configuration with its interpolations; runs of earlier versions lack the last.

    Raises UserError if the file is missing, damaged, or not one of our checkpoints, or if it holds what no run has.
    """
    run = read_containers(path)["run"]
    run["composition"] = {name: value for name, value in (run.get("composition") or {}).items() if name != "trust"}
    run["overrides"] = [each for each in run["overrides"] if name_of(each) != "trust"]
    check_interpolations(run["composition"], str(path))
    for override in run["overrides"]:
        check_override(override, str(path))
    return run


def compose(path: Path, overrides: list[str], trusted: Any = None) -> tuple[DictConfig, list[str]]:
    """The configuration of the run that a checkpoint belongs to, changed by `overrides`, and all of its overrides.

    The present content of conf/ has no effect, except on a group for which `overrides` choose another file. The run's
    own overrides of such a group are applied again. Raises UserError for an override that does not fit, and for classes
    that are not this program's unless the user trusts them: `trusted` is the option `trust`.
    """
    run = read_run(path)
    own = {name_of(each): each for each in run["overrides"]}  # of two overrides of one option the later counts
    given = {name_of(each): each for each in replace_null(overrides) if name_of(each) not in ("ckpt_path", "trust")}
    new = [each for name, each in given.items() if own.get(name) != each]
    latest = own | {name_of(each): each for each in new}
    if run.get("composition"):
        schema = OmegaConf.structured(Config)
        OmegaConf.set_struct(schema, False)  # the run may have options of its own that others refer to
        try:
            cfg = OmegaConf.merge(schema, run["composition"])
        except OmegaConfBaseException as error:
            raise UserError(f"{path}: {error.full_key}: {str(error).splitlines()[0]}") from None
        OmegaConf.set_struct(cfg, True)
        source = "the environment has"
    else:
        cfg, source = hydra.compose("train", list(own.values())), "conf/ or the environment has"
    before = resolve(cfg)
    check_resolved(before, str(path))
    then, now = without_added_options(run["config"]), without_added_options(before)
    changed = [name for name, value in then.items() if name not in REQUEST and now.get(name) != value]
    if changed:
        log.warning("%s changed since the run began, in %s", source, ", ".join(changed))
    if run.get("composition"):
        for group, added in ADDED.items():  # so that a run of an earlier version can be given them
            missing = {name: value for name, value in added.items() if name not in cfg[group]}
            cfg[group] = OmegaConf.merge(missing, cfg[group]) if missing else cfg[group]
        for name in apply_overrides(cfg, list(own.values()), new) if new else []:
            del latest[name]
    else:
        cfg = hydra.compose("train", list(latest.values()))
    cfg.ckpt_path, cfg.trust = str(path), trusted
    trust.remember_overrides(list(given.values()))
    resolved = resolve(cfg)
    check_resolved(resolved, str(path))
    check_run({"config": resolved, "overrides": []}, path)
    trust.check(resolved, str(RunFolder.of_checkpoint(path).path), trust.all_names(trusted))
    confine(cfg, given)
    return cfg, list(latest.values())


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration. Raises UserError if it can't be resolved here."""
    try:
        return OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"the run's configuration: {str(error).splitlines()[0]}") from None


def apply_overrides(cfg: DictConfig, own: list[str], new: list[str]) -> list[str]:
    """Change a configuration by new overrides; the run's `own` overrides of a group with a new file are applied again.

    Returns the options of those own overrides that the new file does not have.
    """
    loader = GlobalHydra.instance().config_loader()
    before, overrides = (OverridesParser.create(loader).parse_overrides(each) for each in (own, new))
    choices = [each for each in overrides if chooses_file(each)]
    lost = []
    if choices:
        touched = choose_files(cfg, [each.input_line for each in choices])
        for override in before:
            name = override.key_or_group
            if (
                name.partition(".")[0] in touched
                and not chooses_file(override)
                and name_of(override.input_line) not in map(name_of, new)
            ):
                try:
                    apply_override(cfg, override)
                except UserError:
                    log.warning("%s is not kept: there is no such option in what is chosen now", override.input_line)
                    lost.append(name_of(override.input_line))
    for override in overrides:
        if not chooses_file(override):
            apply_override(cfg, override)
    return lost


def chooses_file(override: Override) -> bool:
    """Whether an override chooses the file of a group, or leaves the group out."""
    is_choice = not isinstance(override.value(), dict)
    return is_choice and bool(override.config_loader.get_group_options(override.key_or_group))


def choose_files(cfg: DictConfig, choices: list[str]) -> set[str]:
    """Replace the groups with a newly chosen file, and set what an experiment sets.

    Returns the names at the root that changed.
    """
    configs = [hydra.compose("train", overrides, return_hydra_config=True) for overrides in ([], choices)]
    files = [config.hydra.runtime.choices for config in configs]
    default, chosen = (OmegaConf.to_container(OmegaConf.masked_copy(each, list(cfg))) for each in configs)
    groups = {name_of(each).partition("@")[0] for each in choices}
    groups |= {group for group in files[1] if files[1][group] != files[0].get(group)}
    trust.remember(chosen)
    touched = {name for name in chosen if name in groups or chosen[name] != default.get(name)}
    for name in touched:
        cfg[name] = chosen[name] if name in groups else merge_changes(cfg[name], default.get(name), chosen[name])
    return touched


def merge_changes(node: Any, default: Any, chosen: Any) -> Any:
    """A node with those of its values replaced in which `chosen` differs from `default`."""
    if not all(isinstance(each, dict) or OmegaConf.is_dict(each) for each in (node, default, chosen)):
        return chosen
    node = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
    remaining = {name: value for name, value in node.items() if name in chosen or name not in default}
    changed = {
        name: merge_changes(node.get(name), default.get(name), value)
        for name, value in chosen.items()
        if name not in default or value != default[name]
    }
    return remaining | changed


def apply_override(cfg: DictConfig, override: Override) -> None:
    """Set, add or remove the option that an override names. Raises UserError if that is impossible."""
    name, line = override.key_or_group, override.input_line
    if override.is_sweep_override() or override.package is not None:
        raise UserError(f"{line}: a run that goes on takes one value of an option")
    parent, _, last = name.rpartition(".")
    try:
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if override.is_delete():
            if not OmegaConf.is_dict(node) or last not in node:
                raise UserError(f"{line}: the run has no {name}")
            with open_dict(cfg):
                del node[last]
        else:
            OmegaConf.update(cfg, name, override.value(), force_add=override.is_add() or override.is_force_add())
    except (ConfigAttributeError, ConfigKeyError) as error:
        if OmegaConf.is_dict(node) and last in node:  # within a value that is a mapping
            raise UserError(f"{line}: {str(error).splitlines()[0]}; ++{line.lstrip('+')} adds it") from None
        near = get_close_matches(last, list(node) if OmegaConf.is_dict(node) else [], n=1)
        hint = f": did you mean {'.'.join(filter(None, (parent, near[0])))}?" if near else ""
        raise UserError(f"{name} is no option of the run that goes on{hint}") from None
    except OmegaConfBaseException as error:
        raise UserError(f"{line}: {str(error).splitlines()[0]}") from None


def update_hydra_folder(run: Path, cfg: DictConfig, overrides: list[str]) -> None:
    """Write the run's configuration and overrides over those of the latest command in the folder that Hydra keeps."""
    folder = RunFolder(run).hydra
    if folder.is_dir():
        for name, content in (("config", cfg), ("overrides", OmegaConf.create(overrides))):
            with atomic_path(folder / f"{name}.yaml") as partial:
                partial.write_text(OmegaConf.to_yaml(content))
