"""The processes that train one run together, whoever has started them: torchrun, srun, or Lightning.

Only the first of them writes files, prints and draws.
"""

import os
import sys
import time
from typing import NamedTuple

from src.support.errors import UserError

PATIENCE = 10  # seconds in which a launcher ends the other processes after the first has ended with an error


class World(NamedTuple):
    """The processes that a launcher has started.

    launcher: `torchrun` or `srun`
    rank: the number of this process, 0 for the first
    size: the number of processes
    nodes: the number of machines
    """

    launcher: str
    rank: int
    size: int
    nodes: int


def world() -> World | None:
    """The processes that torchrun or srun has started together with this one; None where it is alone."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        size = int(env["WORLD_SIZE"])
        return World("torchrun", int(env["RANK"]), size, size // int(env["LOCAL_WORLD_SIZE"]))
    # not SLURM_NTASKS, which a batch script has too; a shell on a terminal is the first task alone
    size = int(env.get("SLURM_STEP_NUM_TASKS", 1))
    if size > 1 and "SLURM_PTY_PORT" not in env:
        return World("srun", int(env["SLURM_PROCID"]), size, int(env.get("SLURM_STEP_NUM_NODES", 1)))
    return None


def rank() -> int:
    """The number of this process among those that train one run; 0 for the first, and for one that is alone."""
    started = world()
    return started.rank if started else int(os.environ.get("LOCAL_RANK", 0))  # Lightning sets it for its processes


def refuse_several(command: str) -> None:
    """Raise UserError where several processes were started for a command that starts others itself."""
    started = world()
    if started and started.size > 1:
        raise UserError(
            f"{started.launcher} has started {started.size} processes, and each would start the whole {command}: "
            f"leave {started.launcher} out"
        )


def check_size(devices: object, nodes: int) -> None:
    """Raise UserError where the number of processes that were started is not that which the trainer's options ask for.

    Args:
        devices: trainer.devices; if it is no number, Lightning finds out
        nodes: trainer.num_nodes
    """
    started = world()
    count = len(devices) if isinstance(devices, list) else devices
    if started is None or type(count) is not int or count * nodes == started.size:
        return
    options = [f"trainer.devices={started.size // started.nodes}"]
    options += [f"+trainer.num_nodes={started.nodes}"] if started.nodes > 1 else []
    raise UserError(
        f"{started.launcher} has started {started.size} process{'es' * (started.size > 1)}, but the run asks for "
        f"{count * nodes}: trainer=ddp {' '.join(options)}, or start as many"
    )


def is_connection_lost(error: Exception) -> bool:
    """Whether an error of torch.distributed says that another process of the run has ended."""
    messages = ("closed by peer", "reset by peer", "remote process exited", "connection refused", "broken pipe")
    return any(message in str(error).lower() for message in messages)


def hydra_overrides() -> list[str]:
    """Overrides by which a process that is not the first writes none of Hydra's files, and no log."""
    return ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"] if rank() else []


def refusal(message: str, code: int = 1) -> str | int:
    """What a process passes to sys.exit where all come to the same refusal: the first prints it, the others do not.

    The others wait, since a launcher ends all processes as soon as one has ended, and the first must print it before.

    Args:
        message: the refusal, in one line
        code: the exit code
    """
    if rank() == 0:
        return with_code(message, code)
    time.sleep(PATIENCE)
    return code


def last_words(message: str, code: int = 1) -> str | int:
    """What a process passes to sys.exit after an error that it may have alone; the arguments are those of `refusal`.

    If the first process has the same error, the launcher ends this one while it waits, so that the error is not printed
    by each of them.
    """
    if rank() == 0:
        return with_code(message, code)
    time.sleep(PATIENCE)
    return with_code(f"process {rank()}: {message}", code)


def with_code(message: str, code: int) -> str | int:
    """What sys.exit takes to end with a code after a message: it prints a text itself, but then the code is 1."""
    if code == 1:
        return message
    sys.stderr.write(f"{message}\n")
    return code
