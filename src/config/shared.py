"""The folder of a run that several processes train: all must agree on it before any of them has written anything."""

import functools
import os
from datetime import timedelta
from pathlib import Path

from omegaconf import OmegaConf

from src.support.errors import UserError
from src.support.world import world


@functools.cache
def shared_folder(folder: str) -> str:
    """A folder that all processes of a run agree on, beside `folder`, which each process has named by its own time."""
    started, env = world(), os.environ
    if started is None:
        return folder
    if started.launcher == "srun":
        parts = [env["SLURM_JOB_ID"], env["SLURM_STEP_ID"], env.get("SLURM_RESTART_COUNT", "0")]
        return str(Path(folder).with_name("-".join(["slurm", *(parts if parts[2] != "0" else parts[:2])])))
    if env.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        raise UserError("the processes can't agree on a folder: give hydra.run.dir=FOLDER")
    from torch.distributed import TCPStore  # torch is imported soon in any case, and by one process alone not here

    key = f"vae-lab/folder/{env.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    try:
        store = TCPStore(env["MASTER_ADDR"], int(env["MASTER_PORT"]), is_master=False, timeout=timedelta(minutes=1))
        if started.rank == 0:
            store.set(key, folder)
        return store.get(key).decode()
    except RuntimeError as error:
        raise UserError("the processes can't agree on a folder: give hydra.run.dir=FOLDER") from error


OmegaConf.register_new_resolver("shared_folder", shared_folder, replace=True)
