"""Make the sweeps of this project known to Hydra, which takes plugins from the namespace package hydra_plugins alone.

Every command that uses Hydra imports this file, so it imports nothing heavy.
"""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class VaeLabSweeper(Sweeper):
    """A sweeper that runs all combinations of options, as src.sweeps.sweeper does.

    params: values of options, beside those of the command line
    max_batch_size: how many jobs are handed to the launcher at a time; None for all of them
    """

    def __init__(self, params: dict[str, str], max_batch_size: int | None) -> None:
        self.params, self.max_batch_size = params, max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Run the sweep, whose overrides `arguments` the configuration also holds; return what each job returned."""
        from src.sweeps.sweeper import Sweep

        context = {"hydra_context": self.hydra_context, "task_function": self.task_function, "config": self.config}
        return Sweep(self.config, lambda: Plugins.instance().instantiate_launcher(**context)).run()
