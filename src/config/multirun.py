"""All jobs of a multirun, composed before the first one starts."""

from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from src.config.command_line import in_one_line
from src.support.errors import UserError


def compose_jobs(config: DictConfig, groups: Path) -> tuple[list[list[str]], list[DictConfig]]:
    """Compose the jobs of a multirun: the overrides and the configuration of each combination that it tries.

    groups: the folder of the groups of options. Raises UserError for a combination that does not compose.
    """
    params = [f"{name}={values}" for name, values in (config.hydra.sweeper.params or {}).items()]
    loader, name = GlobalHydra.instance().config_loader(), config.hydra.job.config_name
    try:
        overrides = OverridesParser.create(loader).parse_overrides([*params, *config.hydra.overrides.task])
        (jobs,) = BasicSweeper.split_arguments(overrides, None)
        bar = tqdm(jobs, "Checking the jobs", unit="job", disable=None, leave=False, delay=1)
        return jobs, [loader.load_configuration(name, job, RunMode.RUN) for job in bar]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(in_one_line(error, groups)) from error
