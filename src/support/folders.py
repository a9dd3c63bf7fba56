"""The paths of all files of a run, of a sweep and of a task's results: the only module that names these files.

It is in `support` because the checks of options look into the folders of runs too. A path does not imply that its file
exists.
"""

from dataclasses import dataclass
from pathlib import Path

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @classmethod
    def of_checkpoint(cls, checkpoint: Path) -> "RunFolder | None":
        """The folder of the run that a checkpoint belongs to; None where the file is in no folder of checkpoints."""
        return cls(checkpoint.parent.parent) if checkpoint.parent.name == CHECKPOINTS else None

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def hydra(self) -> Path:
        """The folder in which Hydra keeps the configuration and the overrides."""
        return self.path / ".hydra"

    @property
    def status(self) -> Path:
        """The run's state, with the reason for it."""
        return self.path / "status.json"

    @property
    def lock(self) -> Path:
        """The file that is locked by the process that trains the run."""
        return self.path / ".lock"

    @property
    def log(self) -> Path:
        """The output of a job of a parallel sweep."""
        return self.path / "train.log"

    @property
    def data(self) -> Path:
        """The fingerprint of the images that the run was trained on."""
        return self.path / "data.json"

    @property
    def epochs(self) -> Path:
        """The metrics of each epoch, one row an epoch."""
        return self.path / "metrics.csv"

    @property
    def metrics(self) -> Path:
        """The metrics of the best checkpoint."""
        return self.path / "metrics.json"

    def terms(self, split: str) -> Path:
        """The terms of the loss of each image of a split, `val` or `test`."""
        return self.path / f"{split}_terms.npz"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / CHECKPOINTS

    def checkpoint(self, which: str) -> Path:
        """One of the checkpoints, `best` or `last`."""
        return self.checkpoints / f"{which}.ckpt"

    @property
    def has_checkpoints(self) -> bool:
        """Whether there is any checkpoint; a temporary file, whose name begins with a dot, is none."""
        return any(not path.name.startswith(".") for path in self.checkpoints.glob("*.ckpt"))

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds a run, or what is left of one."""
        written = (self.status, self.config, self.data, self.epochs, self.metrics)
        return self.has_checkpoints or any(path.exists() for path in written)

    def files(self) -> list[Path]:
        """All files and folders that a training writes, the status last."""
        terms = [self.terms(split) for split in ("val", "test")]
        files = [self.config, self.hydra, self.lock, self.log, self.data, self.epochs, self.metrics, *terms]
        loggers = [self.tensorboard, self.wandb_id, self.mlflow_id, self.trackio_id]
        return [*files, self.checkpoints, self.figures, *loggers, self.status]

    @property
    def figures(self) -> Path:
        """The folder of the figures of the training."""
        return self.path / "figures"

    @property
    def trace(self) -> Path:
        """The arrays from which the figures are drawn."""
        return self.figures / "trace.npz"

    @property
    def completion(self) -> Path:
        """The names of all figures, a line each, written once the last of them is drawn."""
        return self.figures / ".drawn"

    @property
    def previous_trace(self) -> Path:
        """A trace that a resumed run could not continue."""
        return self.figures / "trace_before.npz"

    @property
    def samples(self) -> Path:
        """The samples of the last epoch, with their codes."""
        return self.figures / "samples.npz"

    @property
    def tasks(self) -> Path:
        """The folder of the results of all tasks, TASK/NAME."""
        return self.path / "tasks"

    @property
    def wandb_id(self) -> Path:
        """The id of the run in Weights & Biases."""
        return self.path / ".wandb_id"

    @property
    def mlflow_id(self) -> Path:
        """The id of the run in MLflow."""
        return self.path / ".mlflow_id"

    @property
    def trackio_id(self) -> Path:
        """The id and the name of the run in Trackio."""
        return self.path / ".trackio_id"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep or search, in which each run has a folder named by its number."""

    path: Path

    def run(self, number: int) -> RunFolder:
        """The folder of the run with this number."""
        return RunFolder(self.path / str(number))

    @property
    def jobs(self) -> Path:
        """The planned jobs of a sweep: number, options, and whether the last start asked for it, by fingerprint."""
        return self.path / "jobs.json"

    @property
    def multirun(self) -> Path:
        """Hydra's configuration of the sweep as it was last started."""
        return self.path / "multirun.yaml"

    @property
    def picture(self) -> Path:
        """The picture of a search."""
        return self.path / "search.png"

    @property
    def search(self) -> Path:
        """The plan of a search."""
        return self.path / "search.yaml"

    @property
    def journal(self) -> Path:
        """Optuna's journal of a search."""
        return self.path / "study.journal"

    @property
    def journal_lock(self) -> Path:
        """Optuna's lock of its journal."""
        return self.path / "study.journal.lock"

    @property
    def lock(self) -> Path:
        """The file that is locked by the process that runs the sweep."""
        return self.path / ".lock"

    @property
    def report(self) -> Path:
        """The page that compares the runs."""
        return self.path / "report.html"

    @property
    def wandb_id(self) -> Path:
        """The id, in Weights & Biases, of the run that holds the table of all runs."""
        return self.path / ".wandb_id"


@dataclass(frozen=True)
class ResultsFolder:
    """The folder of the results of a task, RUN/tasks/TASK/NAME."""

    path: Path

    @property
    def options(self) -> Path:
        """The resolved options of the task."""
        return self.path / "task.yaml"

    @property
    def metrics(self) -> Path:
        """The numbers that the task measured."""
        return self.path / "metrics.json"

    @property
    def terms(self) -> Path:
        """The numbers that the task measured for each image."""
        return self.path / "terms.npz"

    @property
    def samples(self) -> Path:
        """The samples that the task drew."""
        return self.path / "samples.npz"

    @property
    def explorer(self) -> Path:
        """The page of task=explore."""
        return self.path / "explorer.html"


EXAMPLE = RunFolder(Path("RUN"))  # a placeholder for any run in messages
