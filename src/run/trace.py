"""The trace of a training: small arrays from which every figure and animation is drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.support.arrays import open_arrays
from src.support.errors import UserError
from src.support.files import atomic_path

GROUPS = ("fixed", "epochs", "frames", "last")
UNSCHEDULED = ("epoch", "images_seen", "lr")  # the rows of an epoch that every training has, besides its measurements


@dataclass
class Trace:
    """The record of a training, in four groups of named arrays.

    fixed   written once. `title` ("mlp d=16 beta=1 on mnist5k"), `classes` (their names), and of P class-balanced
            validation images `pixels` (P, C, H, W) uint8 as the model gets them and `labels` (P,); where these pixels
            are binary, the gray levels that they were drawn from as `originals` (R, C, H, W), of the first R; of a
            conditional model `samples_labels` (S,), those that the samples are given; `averages_draws`, where the means
            of p(x|z) are averages of draws; of a hierarchy `level`, whose codes it has, and `latent_dim` of all levels
    epochs  one row for each epoch, from the untrained model on. `epoch`, `images_seen`,
            `{train,val}/{loss,elbo,recon,kl}` (nats per image), `val/kl_per_dim` (D,) or `val/kl_per_level` (L,),
            `val/active_units`, `lr`, and by its name the effective value of what the objective schedules, `beta`,
            `capacity` or another
    frames  one row for each recorded epoch. `epoch`; `codes` (P, D), the posterior means of `pixels`; `samples_mean`
            and `samples_draw` (S, C, H, W), the mean of p(x|z) and a draw from it at z from the prior, the same base
            noise at every epoch; `recon_mean` and `recon_draw` (R, C, H, W), the decoder's mean at the posterior's
            mean and at a draw, for the first R of `pixels`; of a prior other than N(0, I) `prior_codes` (N, D), draws
    last    overwritten. `worst_x`, `worst_mean` (8, C, H, W) and `worst_elbo` (8,) of the validation set, and where
            there are `originals` also `worst_original` (8, C, H, W); `samples_z` (S, D); after the training also
            `samples_nearest` (S, C, H, W), the training image nearest to each sample's mean

    Images are uint8, 0 to 255.
    """

    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    epochs: dict[str, np.ndarray] = field(default_factory=dict)
    frames: dict[str, np.ndarray] = field(default_factory=dict)
    last: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def scheduled(self) -> list[str]:
        """The names of what the schedule changes, which have a row an epoch."""
        return [name for name in self.epochs if "/" not in name and name not in UNSCHEDULED]

    @property
    def level_note(self) -> str:
        """Of which level of a hierarchy the codes are, at the end of a line; empty for codes of one level."""
        return f", level {self.fixed['level']} from the top" if "level" in self.fixed else ""

    def append(self, group: str, **row: np.ndarray) -> None:
        """Add a row to each array of `epochs` or `frames`."""
        arrays = getattr(self, group)
        for name, value in row.items():
            value = np.asarray(value)[None]
            arrays[name] = np.concatenate([arrays[name], value]) if name in arrays else value

    def cut(self, epoch: int) -> None:
        """Remove all rows after `epoch`, from which a resumed run continues."""
        for arrays in (self.epochs, self.frames):
            if "epoch" in arrays:
                rows = arrays["epoch"] <= epoch
                arrays.update({name: array[rows] for name, array in arrays.items()})

    def ends_with(self, group: str, epoch: int) -> bool:
        """Whether the last row of `epochs` or `frames` is that of `epoch`."""
        return bool(np.size(epochs := getattr(self, group).get("epoch", ()))) and epochs[-1] == epoch

    def save(self, path: Path) -> None:
        """Write the trace to `path` (npz), which holds either the old or the new trace, never a part of one."""
        groups = vars(self).items()
        with atomic_path(path) as partial:
            np.savez(partial, **{f"{group}/{name}": a for group, arrays in groups for name, a in arrays.items()})

    @classmethod
    def load(cls, path: Path, groups: Sequence[str] = GROUPS) -> "Trace":
        """The trace in `path`, or some groups of it. Raises UserError where the file is missing or damaged."""
        trace = cls()
        try:
            with open_arrays(path) as arrays:
                for key in arrays.files:
                    group, name = key.split("/", 1)
                    if group not in GROUPS:
                        raise ValueError(f"unknown array {key}")
                    if group in groups:
                        getattr(trace, group)[name] = arrays[key]
        except FileNotFoundError:
            raise UserError(f"{path} does not exist: give the folder of a run that was trained with figures") from None
        except Exception as error:  # zipfile and NumPy raise a dozen types for a damaged file
            raise UserError(f"{path} is no readable trace ({error}): train again to write a new one") from None
        return trace


def read_epochs(path: Path) -> list[dict[str, float]]:
    """The numbers of each epoch in a trace by the names of metrics.csv; none where it is missing or damaged."""
    try:
        trace = Trace.load(path, ["epochs"])
        return [dict(row_of(trace.epochs, i)) for i in range(len(trace.epochs["epoch"]))]
    except (UserError, KeyError, IndexError, TypeError, ValueError):
        return []


def row_of(epochs: dict[str, np.ndarray], i: int) -> Iterator[tuple[str, float]]:
    """The names and numbers of one epoch; a vector has one for each dimension, `val/kl_per_dim/003`."""
    for name, values in epochs.items():
        if values.ndim == 1:
            yield name, float(values[i])
        else:
            yield from ((f"{name}/{d:03d}", float(value)) for d, value in enumerate(values[i]))
