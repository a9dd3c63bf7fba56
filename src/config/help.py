"""The answer to --help, from conf/hydra/help/."""

from pathlib import Path

from omegaconf import OmegaConf

from src.config.options import CONF


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
        files["sweep"].remove("wandb")  # this file is for W&B's agents, not for Hydra
        choices = "".join(f"{group}: {', '.join(names)}\n" for group, names in files.items())
    return template.replace("$APP_CONFIG_GROUPS", choices)
