"""Loggers that may refuse, hang or die: whatever happens to one costs its own record and one warning, never the run."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyExperiment
from lightning.pytorch.utilities import rank_zero_only

from src.run.status import State
from src.support.errors import one_line

log = logging.getLogger(__name__)
BEGINNING = 150.0  # seconds in which a logger must be made: W&B takes up to 130 to find that it is out of reach
PATIENCE = 60.0  # seconds in which a logger must answer a call, or at the end must have sent all that it holds
STOPPING = 5.0  # the same for a run that fails or is stopped: a scheduler would kill it soon
LONGEST = 300  # characters that are quoted of an exception's message


class NoAnswerError(Exception):
    """A call took too long."""


class Worker:
    """A thread that makes calls one after another. The end of the process does not wait for it."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[tuple[Future, Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=self.run, daemon=True, name="logger").start()

    def run(self) -> None:
        """Make the calls until there is a None among them."""
        while (pair := self.calls.get()) is not None:
            future, function = pair
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)
            except BaseException as error:  # a library's sys.exit must end neither this thread nor the run
                future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

    def call(self, function: Callable[[], Any], seconds: float) -> Any:
        """Call a function and return what it returns, or raise what it raises.

        Raises NoAnswerError if it takes longer than so many seconds; nobody waits for it then.
        """
        future: Future = Future()
        self.calls.put((future, function))
        try:
            return future.result(seconds)
        except TimeoutError as error:
            if future.done():  # the function raised it
                raise
            raise NoAnswerError(f"no answer in {seconds:g} seconds") from error

    def end(self) -> None:
        """End the thread once the calls so far have been made."""
        self.calls.put(None)


def call_in_time(function: Callable[[], Any], seconds: float) -> Any:
    """Call a function on a thread of its own. Raises what it raises, or NoAnswerError if it takes too long."""
    worker = Worker()
    try:
        return worker.call(function, seconds)
    finally:
        worker.end()


class Service(NamedTuple):
    """What a logger does that Lightning's interface has no method for.

    log_figures: sends the figures in some files, given the number of images seen
    finish: ends the record, given the numbers of the run and the state in which it ends
    abandon: releases what a logger that failed still holds, so that nothing waits for it at the end of the process
    remedy: the end of the warning about a logger that failed
    """

    log_figures: Callable[[list[Path], float], None] | None = None
    finish: Callable[[dict[str, Any], State], None] | None = None
    abandon: Callable[[], None] | None = None
    remedy: str = ""


class GuardedLogger(Logger):
    """A logger whose methods are called on a thread of its own, and waited for only for a limited time.

    The first call that raises or takes too long is answered by one warning, after which the logger is not called again.
    It passes for a logger of the guarded one's class, as callbacks ask for one, and has all its other attributes.

    option: the name of its node in the configuration
    """

    def __init__(self, option: str, logger: Logger, worker: Worker, service: Service) -> None:
        super().__init__()
        self.option, self.logger, self.worker, self.service = option, logger, worker, service
        self.is_lost = False

    def ask(self, what: str, function: Callable[[], Any], is_stopping: bool = False) -> Any:
        """What a function returns; None where it fails, and where the logger has failed before."""
        if self.is_lost:
            return None
        try:
            return self.worker.call(function, STOPPING if is_stopping else PATIENCE)
        except Exception as error:
            self.drop(what, error)
        return None

    def drop(self, what: str, error: Exception) -> None:
        """Say that the logger failed and what is lost, and call it no more."""
        self.is_lost = True
        self.worker.end()
        lost = "what follows of this run is in its folder alone"
        log.warning("%s failed in %s (%s): %s%s", self.option, what, describe(error), lost, self.service.remedy)
        release(self.service)

    def close(self, summary: dict[str, Any], state: State) -> None:
        """End the record with the numbers of the run, and say there in which state the run ends."""
        if finish := self.service.finish:
            self.ask("its end", partial(finish, summary, state), state != State.FINISHED)
        else:
            self.finalize(as_lightning_says(state))
        if not self.is_lost:
            self.worker.end()
        self.is_lost = True  # there is no thread any more that could be asked

    def log_figures(self, paths: list[Path], images_seen: float) -> None:
        """Send the figures in these files, if the logger takes any."""
        if log_figures := self.service.log_figures:
            self.ask("log_figures", partial(log_figures, paths, images_seen))

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.ask("log_metrics", partial(self.logger.log_metrics, dict(metrics), step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.ask("log_hyperparams", partial(self.logger.log_hyperparams, params, *args, **kwargs))

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        self.ask("log_graph", partial(self.logger.log_graph, model, input_array))

    def save(self) -> None:
        self.ask("save", self.logger.save)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        self.ask("after_save_checkpoint", partial(self.logger.after_save_checkpoint, checkpoint_callback))

    def finalize(self, status: str) -> None:
        self.ask("finalize", partial(self.logger.finalize, status), status != "success")

    @property
    def name(self) -> str | None:
        return self.ask("name", lambda: self.logger.name)

    @property
    def version(self) -> int | str | None:
        return self.ask("version", lambda: self.logger.version)

    @property
    def root_dir(self) -> str | None:
        return self.ask("root_dir", lambda: self.logger.root_dir)

    @property
    def log_dir(self) -> str | None:
        return self.ask("log_dir", lambda: self.logger.log_dir)

    @property
    def save_dir(self) -> str | None:
        return self.ask("save_dir", lambda: self.logger.save_dir)

    @property
    def group_separator(self) -> str:
        return self.ask("group_separator", lambda: self.logger.group_separator) or "/"

    @property
    def experiment(self) -> Any:
        """What the logger writes to, if it has such a thing; where it failed, something that ignores all calls."""
        made = self.ask("experiment", lambda: getattr(self.logger, "experiment", None))
        return DummyExperiment() if made is None else made

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "logger" not in vars(self):
            raise AttributeError(name)
        return getattr(self.logger, name)

    @property
    def __class__(self) -> type:
        return type(self.logger)


def describe(error: Exception) -> str:
    """An exception in a few words: its type, unless it is `NoAnswerError`, and its message."""
    text = one_line(error)[:LONGEST]
    return (
        text if isinstance(error, NoAnswerError) or text == type(error).__name__ else f"{type(error).__name__}: {text}"
    )


def release(service: Service) -> None:
    """Have a service release what it holds, for a few seconds at most; whether that works is of no interest."""
    if service.abandon:
        with suppress(Exception):
            call_in_time(service.abandon, STOPPING)


def log_figures(loggers: list[Logger], paths: list[Path], images_seen: float) -> None:
    """Send the figures in some files to those of a run's loggers that take figures."""
    for logger in loggers:
        if isinstance(logger, GuardedLogger):
            logger.log_figures(paths, images_seen)


@rank_zero_only
def close(loggers: list[Logger], summary: dict[str, Any], state: State) -> None:
    """Close a run's loggers; those that take it get `summary`, and each learns in which state the run ends."""
    for logger in loggers:
        if isinstance(logger, GuardedLogger):
            logger.close(summary, state)
        else:
            logger.finalize(as_lightning_says(state))


def as_lightning_says(state: State) -> str:
    """The word for the end of a run that Lightning's loggers know."""
    return "success" if state == State.FINISHED else "failed"
