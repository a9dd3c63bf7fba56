"""What a run sends to TensorBoard, MLflow and Trackio: which numbers, under which names, at which step.

Each of them is a `Store`, which only transports; the step is the number of images seen, as on W&B's axis.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from lightning.pytorch.loggers import Logger

from src.config.names import option_name
from src.run.options import effective, flatten, part
from src.run.status import State
from src.support.folders import RunFolder
from src.support.ranges import as_argument

OF_THE_RUN = ("epoch", "training_seconds", "parameters")  # numbers of metrics.json besides those of the images


class About(NamedTuple):
    """What is told to a store about a run.

    folder: its folder, which keeps the id under which the store knows the run
    title: its name, unless the user gives one
    sweep: the sweep that it belongs to
    options: its configuration, by the names of the command line
    last: the numbers of the last epoch that a resumed run keeps; later ones are removed from the store
    images_per_step: images seen in a step, as far as the configuration says
    is_recorded: whether the store must know the run already
    """

    folder: RunFolder
    title: str
    sweep: str | None
    options: dict[str, Any]
    last: Mapping[str, float] | None = None
    images_per_step: int = 1
    is_recorded: bool = False


class Store(Protocol):
    """Where the numbers, figures and options of one run are kept."""

    client: Any  # the object of the library, for callbacks that use it

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Add numbers by their names."""

    def log_figures(self, figures: Mapping[str, Path], step: int) -> None:
        """Add images (.png) and animations (.gif) by their names."""

    def flush(self) -> None:
        """Write what has been added, if it has not been written yet."""

    def end(self, state: State, step: int) -> None:
        """Close the record of the run, with the state in which it ends."""

    def close(self) -> None:
        """Close the store, without a change of the record's state."""


class StoreLogger(Logger):
    """Lightning's interface of a store."""

    name, version = "", ""

    def __init__(self, store: Store, about: About) -> None:
        super().__init__()
        self.store, self.group = store, about.folder.figures.name
        self.at, self.images = 0, 0  # a step, and the number of images seen by then
        self.images_per_step = float(about.images_per_step)
        if about.last is not None:
            self.log_metrics(about.last, int(about.last["step"]))

    @property
    def experiment(self) -> Any:
        """The library's object."""
        return self.store.client

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add numbers at the number of images seen, which is among them after each epoch."""
        numbers = {name: float(value) for name, value in metrics.items() if name != "step"}
        if "images_seen" in numbers:
            self.at, self.images = step or 0, int(numbers["images_seen"])
            self.images_per_step = self.images / self.at if self.at else self.images_per_step
        self.store.log(numbers, self.images_at(step))

    def images_at(self, step: int | None) -> int:
        """The number of images seen at a step of the training."""
        return self.images + round(((self.at if step is None else step) - self.at) * self.images_per_step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the store has got the configuration."""

    def save(self) -> None:
        """Write what has been added."""
        self.store.flush()

    def log_figures(self, paths: Sequence[Path], images_seen: float) -> None:
        """Add the figures in some files."""
        self.store.log_figures(by_name(self.group, paths), int(images_seen))

    def finish(self, summary: Mapping[str, float], state: State) -> None:
        """Add the numbers of the best checkpoint, as `best/...`, and close the record."""
        if best := {f"best/{name}": value for name, value in summary.items() if is_of_the_best(name)}:
            self.store.log(best, self.images)
        self.store.end(state, self.images)


def add_results(store: Store, task: str, numbers: Mapping[str, Any], paths: Sequence[Path], step: int) -> None:
    """Add the numbers and figures of a task to the record of a run, and close the store."""
    store.log({f"{task}/{name}": float(value) for name, value in numbers.items() if is_number(value)}, step)
    store.log_figures(by_name(task, paths), step)
    store.close()


def by_name(group: str, paths: Sequence[Path]) -> dict[str, Path]:
    """The images and animations among some files by their names: figures/samples, and figures/samples.gif."""
    images = {f"{group}/{path.stem}": path for path in paths if path.suffix == ".png"}
    return images | {f"{group}/{path.name}": path for path in paths if path.suffix == ".gif"}


def is_of_the_best(name: str) -> bool:
    """Whether a number of metrics.json is sent as one of the best checkpoint: not an error, nor one of a vector such as
    val/kl_per_dim/003, nor of the training images."""
    is_measured = name.startswith(("val/", "test/")) and not name.endswith("_se")
    return name in OF_THE_RUN or (is_measured and not name.rpartition("/")[2].isdigit())


def is_number(value: Any) -> bool:
    """Whether a value can be drawn as a curve."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def hyperparameters(config: dict[str, Any]) -> dict[str, str | int | float]:
    """The options of a configuration that say what is trained, named as on the command line; numbers stay numbers."""
    leaves = {name: value for name, value in flatten(effective(config)).items() if not name.endswith("._partial_")}
    chosen = {name for name in leaves if name.endswith(".name")}  # the group's choice, as model.name of mlp
    options = {}
    for name, value in leaves.items():
        if name.endswith("._target_") and f"{part(name)}.name" not in chosen:
            options[part(name)] = value.rpartition(".")[2] if "." in part(name) else option_name(value)
        else:
            options[part(name)] = value if is_number(value) else as_argument(value)
    return options
