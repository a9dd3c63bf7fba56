"""The devices and processes that train a run, for Lightning."""

import os

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from src.support.errors import UserError
from src.support.world import world


def check_accelerator(wanted: str) -> None:
    """Raise UserError for an accelerator that PyTorch does not find on this machine."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    available["gpu"] = any(available.values())
    if not available.get(wanted, True):
        raise UserError(f"trainer.accelerator={wanted}, but PyTorch finds no such device: trainer.accelerator=cpu")


def environment() -> ClusterEnvironment:
    """The environment of torchrun's or srun's processes; otherwise that in which Lightning starts the others itself.

    Lightning's own choice takes a single process in a batch script of SLURM for one of several, requeues SLURM's jobs
    beside what the script or the sweep does, and warns in each run where srun is installed.
    """
    started, env = world(), os.environ
    if started is None:
        return LightningEnvironment()
    if started.launcher == "torchrun":
        return TorchElasticEnvironment()
    first = SLURMEnvironment.resolve_root_node_address(env["SLURM_STEP_NODELIST"])
    env.setdefault("MASTER_ADDR", first)
    # two steps of one job may train at the same time
    env.setdefault("MASTER_PORT", str(15000 + (int(env["SLURM_JOB_ID"]) + 1009 * int(env["SLURM_STEP_ID"])) % 10000))
    env.setdefault("SLURM_NTASKS_PER_NODE", str(started.size // started.nodes))  # srun --ntasks=2 does not set it
    return SLURMEnvironment(auto_requeue=False)
