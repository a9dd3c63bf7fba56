"""A run is disturbed once, started again by the same command, and compared with a run that was not disturbed."""

import random
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from src.run import status
from src.support.folders import RunFolder
from tests.helpers.faults.commands import ERRORS, KILL, KILL_WITHIN, Fault, Operation, Outcome, Zygote
from tests.helpers.faults.comparison import differences

RUN = Path("outputs/runs/x")
# every picture is drawn after each epoch, however long the epochs take, so that each run does the same operations
TINY = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "callbacks.pictures.share=1", "callbacks=default"]
TINY += ["callbacks.recorder.images=24", "callbacks.recorder.samples=4", "callbacks.recorder.reconstructions=4"]
EXIT_CODES = {
    signal.SIGKILL: (-signal.SIGKILL,),
    # before the program is ready for them, the system's own answer to a signal; a shell sees the same number
    signal.SIGTERM: (128 + signal.SIGTERM, -signal.SIGTERM),
    signal.SIGINT: (128 + signal.SIGINT, -signal.SIGINT),
}


@dataclass(frozen=True)
class Trial:
    """What is to be disturbed: a training from its start, or one that goes on.

    command: a command that begins a run in the folder RUN, or goes on with it if there is one
    whole: the folder of the run that was not disturbed
    operations: those that the command does when it is not disturbed
    seconds: how long it takes then
    begun: a folder in which a run has been begun; None for a start from nothing
    """

    command: list[str]
    whole: Path
    operations: list[Operation]
    seconds: float
    begun: Path | None = None

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A temporary folder in which the run is to be trained."""
        with tempfile.TemporaryDirectory(prefix="trial-") as folder:
            if self.begun:
                shutil.copytree(self.begun, folder, dirs_exist_ok=True)
            yield Path(folder)

    def fail(self, zygote: Zygote, at: int, failure: int) -> list[str]:
        """What is wrong after the failure of an operation, and after the command was then given again."""
        with self.folder() as folder:
            before = status.read(folder / RUN).get("state")
            outcome = zygote.run(self.command, folder, Fault(folder / RUN, at, failure))
            done = [each for each in outcome.operations if each.number == at]
            if not done:
                return [f"operation {at} was not reached: {summary(outcome)}"]
            if failure not in (KILL, KILL_WITHIN):
                found = error_faults(outcome, done[0], folder, before)
            else:
                found = [] if outcome.code == -signal.SIGKILL else [f"not killed: {summary(outcome)}"]
            return found + self.again(zygote, folder)

    def interrupt(self, zygote: Zygote, number: signal.Signals, after: float) -> list[str]:
        """What is wrong after a signal at a moment, and after the command was then given again."""
        with self.folder() as folder:
            running = zygote.start(self.command, folder)
            timer = threading.Timer(after, running.signal, (number,))
            timer.start()
            outcome = running.wait()
            timer.cancel()
            found = interrupt_faults(outcome, number)
            state = status.read(folder / RUN).get("state")
            if outcome.code == 0 and state != status.State.FINISHED:
                found.append(f"{number.name}: exit code 0, but the run is {state}")
            if number != signal.SIGKILL and outcome.code == -number and state == status.State.KILLED and not self.begun:
                found.append(f"{number.name} ended a run that had begun as SIGKILL would")
            return found + self.again(zygote, folder)

    def again(self, zygote: Zygote, folder: Path) -> list[str]:
        """What is wrong after the command was given again."""
        outcome = zygote.run(self.command, folder)
        found = [] if outcome.code == 0 else [f"given again: {summary(outcome)}"]
        return found + differences(folder / RUN, self.whole)


def find(operations: list[Operation], kind: str, name: str, count: int = 1) -> Operation:
    """The `count`th operation of a kind on files of a name."""
    return [each for each in operations if (each.kind, file_name(each.path)) == (kind, name)][count - 1]


def points(operations: list[Operation]) -> list[Operation]:
    """The operations to be disturbed: all but, of several writes in a row to one file, the first, the one in the
    middle and the last."""
    chosen, row = [], []
    for each in [*operations, None]:
        if row and (each is None or (each.kind, each.path) != (row[0].kind, row[0].path)):
            chosen += [row[i] for i in sorted({0, len(row) // 2, len(row) - 1})]
            row = []
        if each is not None and each.kind == "write":
            row.append(each)
        elif each is not None:
            chosen.append(each)
    return chosen


def kills(operations: list[Operation]) -> list[tuple[Operation, int]]:
    """The points at which a process is killed; a write is cut in half, and reading leaves nothing half done."""
    return [(each, KILL_WITHIN) for each in points(operations) if each.kind != "read"]


def errors(operations: list[Operation]) -> list[tuple[Operation, int]]:
    """The points at which an operation fails: the first and the last of each kind for each file."""
    first: dict[tuple[str, str], Operation] = {}
    last: dict[tuple[str, str], Operation] = {}
    for each in operations:
        key = each.kind, file_name(each.path)
        first.setdefault(key, each)
        last[key] = each
    return [(each, ERRORS[each.kind]) for each in sorted({*first.values(), *last.values()})]


def file_name(path: Path) -> str:
    """The name of a file, without the number of the process in that of a temporary file."""
    return path.name.lstrip(".0123456789")


def error_faults(outcome: Outcome, operation: Operation, folder: Path, before: str | None) -> list[str]:
    """What is wrong with the end of a command in which an operation failed.

    It ends with an error in one line that names the file or its folder, and with the state `failed`; or it goes on,
    where the file can be spared, and says so. The state is that of `before` where a run could not be continued.
    """
    found = tracebacks(outcome)
    names = (file_name(operation.path), operation.path.parent.name)
    if outcome.code == 0:
        return found
    last = ["", *messages(outcome)][-1]
    if not any(name in last for name in names):
        found.append(f"the last line does not name the file: {last[:300]}")
    path = RunFolder(folder / RUN).status
    state = status.read(path.parent).get("state")
    # the state stands already where the folder's entries, after the last status, do not reach the disk
    expected = {status.State.FAILED, before} | ({status.State.FINISHED} if operation.path.name == RUN.name else set())
    if path.is_file() and file_name(operation.path) != path.name and state not in expected:
        found.append(f"the state after the error is {state}")
    return found


def interrupt_faults(outcome: Outcome, number: signal.Signals) -> list[str]:
    """What is wrong with the end of a command that got a signal, perhaps too late."""
    found = [] if outcome.code in (0, *EXIT_CODES[number]) else [f"{number.name}: {summary(outcome)}"]
    return found + tracebacks(outcome)


def tracebacks(outcome: Outcome) -> list[str]:
    """The console from the first traceback on, if there is one."""
    _, start, rest = outcome.console.partition("Traceback (most recent call last)")
    return [start + rest[:5000]] if start else []


def moments(count: int, seconds: float, seed: int) -> list[tuple[signal.Signals, float]]:
    """Signals, and when they are sent: at random within so many seconds."""
    generator = random.Random(seed)
    return [(list(EXIT_CODES)[i % 3], generator.uniform(0, seconds)) for i in range(count)]


def summary(outcome: Outcome) -> str:
    """How a command ended, in one line."""
    return f"exit code {outcome.code}, {' / '.join(messages(outcome)[-2:])[-300:]}"


def messages(outcome: Outcome) -> list[str]:
    """The lines that a command printed, without its progress bars, which a message may follow on the same line."""
    lines = [re.sub(r"^.*it/s[^]]*\]", "", line).strip() for line in outcome.console.splitlines()]
    return [line for line in lines if line]
