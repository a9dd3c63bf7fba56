"""A user's module with loggers that raise or hang in one of their methods, and a callback that harms W&B's process."""

MODULE = """
import os
import signal
import time
from pathlib import Path

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

ERRORS = {
    "raise": RuntimeError("the server\\nsays no"),
    "full": OSError(28, "No space left on device"),
    "refuse": ConnectionRefusedError(111, "Connection refused"),
    "exit": SystemExit(3),
}


class Bad(Logger):
    def __init__(self, where, how):
        super().__init__()
        self.where, self.how = where, how
        self.do("init")

    def do(self, method):
        if method == self.where and self.how == "hang":
            Path("hangs").touch()
            time.sleep(10_000)
        elif method == self.where:
            raise ERRORS[self.how]

    name = property(lambda self: self.do("name"))
    version = property(lambda self: self.do("version"))
    save_dir = property(lambda self: self.do("save_dir"))
    experiment = property(lambda self: self.do("experiment"))

    def log_metrics(self, metrics, step=None):
        if "val/elbo" in metrics and metrics["epoch"]:
            self.do("log_metrics")

    def log_hyperparams(self, *args, **kwargs):
        self.do("log_hyperparams")

    def log_graph(self, *args, **kwargs):
        self.do("log_graph")

    def save(self):
        self.do("save")

    def after_save_checkpoint(self, checkpoint_callback):
        self.do("after_save_checkpoint")

    def finalize(self, status):
        self.do("finalize")


class Harm(Callback):
    def __init__(self, number):
        self.number = number

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            for pid in cores():
                Path("core").write_text(str(pid))
                os.kill(pid, self.number)


def cores():
    for stat in Path("/proc").glob("[0-9]*/stat"):
        parent = int(stat.read_text().rpartition(")")[2].split()[1])
        if parent == os.getpid() and b"wandb-core" in (stat.parent / "cmdline").read_bytes():
            yield int(stat.parent.name)
"""
CALLED = ("log_metrics", "after_save_checkpoint", "finalize", "experiment")  # of every logger of a run


def bad_logger(name: str, where: str, how: str) -> list[str]:
    """The options that add a logger which fails in the method `where`."""
    node = f"+logger.{name}"
    return [f"{node}._target_=bad_loggers.Bad", f"{node}.where={where}", f"{node}.how={how}"]
