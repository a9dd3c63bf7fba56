"""The callback that records what the figures of a training are drawn from."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from src.data.pixels import Pixels, as_bytes, as_input
from src.data.selection import class_balanced_rows, labels_by_class
from src.inference.metrics import nearest
from src.models.vae import VAE
from src.run.trace import Trace
from src.support import noise
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.folders import RunFolder
from src.support.noise import Noise
from src.support.ranges import Count, check_arguments
from src.training import checkpoints
from src.training.module import VAEModule

log = logging.getLogger(__name__)
WORST = 8  # validation images of the lowest ELBO that are recorded
EACH = 6  # samples of each class that are recorded of a conditional model, at least
PRIOR_CODES = 500  # codes recorded in each frame from a prior that is not N(0, I)


@check_arguments
class Recorder(Callback):
    """Records the `trace` of a training and saves it as figures/trace.npz after each epoch; a resume continues it.

    Numbers are recorded at every epoch, codes and images at those of `is_recorded`. The training is not affected: the
    random state and the mode of the model are restored.

    images: the number of class-balanced validation images whose codes are recorded
    samples: the number of codes from the prior whose images are recorded, of a conditional model EACH a class at least
    reconstructions: the number of recorded images that are reconstructed
    level: of a hierarchy the level whose codes are recorded, 1 the top
    """

    def __init__(self, images: Count, samples: Count, reconstructions: Count, level: Count = 1) -> None:
        self.images, self.samples, self.reconstructions = images, samples, reconstructions
        self.level = level

    def on_fit_start(self, trainer: Trainer, module: VAEModule) -> None:
        self.folder, self.is_trained = RunFolder(Path(trainer.default_root_dir)), False
        self.path = self.folder.trace
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = trainer.datamodule
        self.followed = class_balanced_rows(data.val.labels, self.images)
        self.pixels = as_input(torch.from_numpy(data.val.images[self.followed]))
        originals = data.source.val.images[self.followed][: self.reconstructions]
        self.prior_is_standard, self.fixed_codes = module.vae.prior_is_standard, None
        if module.vae.prior_is_fixed and not self.prior_is_standard:
            with evaluation_mode(module.vae, seed=module.seed):
                self.fixed_codes = self.prior_codes(module.vae)
        self.labels = data.val.labels[self.followed][np.arange(self.samples) % len(self.followed)]
        if module.vae.condition is not None:
            self.labels = labels_by_class(data.source.train.labels, max(self.samples, EACH * len(data.source.classes)))
        self.trace = Trace(
            fixed={
                "title": np.array(module.run["config"].get("title", "")),
                "classes": np.array(data.source.classes),
                "pixels": as_bytes(self.pixels),
                "labels": data.val.labels[self.followed],
                **({"originals": originals} if data.pixels == Pixels.BINARY else {}),
                **({} if module.vae.condition is None else {"samples_labels": self.labels}),
                **({"averages_draws": np.array(True)} if module.vae.averages_draws else {}),
                **self.describe_level(module.vae),
            }
        )
        if trainer.ckpt_path and self.path.is_file():
            self.resume(module)
        elif trainer.ckpt_path:
            log.warning("pictures begin anew: there is no %s", self.path)

    def resume(self, module: VAEModule) -> None:
        """Continue the trace of the run that is resumed, or rename one that is damaged or recorded other images."""
        try:
            old = Trace.load(self.path)
            if self.fixed_codes is not None and "prior_codes" not in old.frames:  # it is of an earlier version
                old.frames["prior_codes"] = np.stack([self.fixed_codes] * len(old.frames["epoch"]))
            fits = (
                all(np.array_equal(old.fixed[k], self.trace.fixed[k]) for k in ("pixels", "labels", "classes"))
                and set(old.scheduled) == set(module.objective.scheduled)
                and ("prior_codes" in old.frames) != self.prior_is_standard
                and old.frames["samples_mean"].shape[1] == self.samples
                and all(old.fixed[k] == v for k, v in self.describe_level(module.vae).items())
                and old.frames["recon_mean"].shape[1] == min(self.reconstructions, len(self.followed))
            )
        except (UserError, KeyError):
            fits = False
        if fits:
            old.fixed = self.trace.fixed | old.fixed  # a trace of an earlier version lacks the originals
            self.trace = old
        else:
            aside = self.path.replace(self.folder.previous_trace)
            log.warning(
                "pictures begin anew: the trace, now %s, is damaged or followed other images or another level", aside
            )

    def describe_level(self, vae: VAE) -> dict[str, np.ndarray]:
        """What the trace keeps of a hierarchy: the level whose codes it has, and the dimensions of all levels."""
        return {"level": np.array(self.level), "latent_dim": np.array(vae.latent_dim)} if vae.levels else {}

    def on_train_start(self, trainer: Trainer, module: VAEModule) -> None:
        self.is_trained = True
        self.trace.last.pop("samples_nearest", None)  # they belong to samples that are about to change
        self.trace.cut(trainer.current_epoch)

    def on_validation_end(self, trainer: Trainer, module: VAEModule) -> None:
        self.append_numbers(module)
        if is_recorded(module.numbers["epoch"]) or module.numbers["epoch"] == trainer.max_epochs:
            self.record(trainer, module)
        if trainer.is_global_zero:
            self.trace.save(self.path)

    def on_train_end(self, trainer: Trainer, module: VAEModule) -> None:
        if not self.trace.ends_with("frames", module.numbers["epoch"]):
            self.record(trainer, module)

    def on_fit_end(self, trainer: Trainer, module: VAEModule) -> None:
        """Complete the trace and write the samples, also of a resumed run that had nothing left to train."""
        if not self.is_trained:
            self.catch_up(trainer, module)
        last = self.trace.last
        train = trainer.datamodule.source.train.images
        last["samples_nearest"] = train[nearest(self.trace.frames["samples_mean"][-1], train)]
        if trainer.is_global_zero:
            self.trace.save(self.path)
            names = {"z": "samples_z", "nearest": "samples_nearest"}
            images = {name: self.trace.frames[f"samples_{name}"][-1] for name in ("mean", "draw")}
            with atomic_path(self.folder.samples) as partial:
                np.savez(partial, **images, **{name: last[key] for name, key in names.items()})

    def catch_up(self, trainer: Trainer, module: VAEModule) -> None:
        """Record the checkpoint that a run was resumed from, where the trace does not end with it."""
        epoch = trainer.fit_loop.epoch_progress.current.processed
        if self.trace.ends_with("epochs", epoch) and self.trace.ends_with("frames", epoch):
            return
        self.trace.cut(epoch)
        module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
        module.load_state_dict(checkpoints.read(Path(trainer.ckpt_path))["state_dict"])  # averages, where there are any
        module.measure(epoch)
        if not self.trace.ends_with("epochs", epoch):
            self.append_numbers(module)
        if self.trace.ends_with("frames", epoch):  # `last` may belong to a later epoch
            self.trace.frames = {name: array[:-1] for name, array in self.trace.frames.items()}
        self.record(trainer, module)

    def append_numbers(self, module: VAEModule) -> None:
        """Add the numbers of an epoch."""
        names = ("epoch", "images_seen", *module.objective.scheduled, "lr", "val/active_units")
        names += ("val/kl_per_dim", "val/kl_per_level")
        losses = (f"{split}/{name}" for split in ("train", "val") for name in ("loss", "elbo", "recon", "kl"))
        self.trace.append("epochs", **{k: module.numbers[k] for k in (*names, *losses) if k in module.numbers})

    def record(self, trainer: Trainer, module: VAEModule) -> None:
        """Add a frame, and the validation images whose ELBO is now the lowest."""
        vae, terms, val = module.vae, module.terms["val"], trainer.datamodule.val
        device, labels = module.device, torch.from_numpy(val.labels[self.followed])
        worst = np.argsort(terms["recon"] + terms["kl"])[::-1][:WORST].copy()
        with evaluation_mode(vae, seed=module.seed):
            codes = vae.given(labels.to(device)).encode(self.pixels.to(device)).mean
            head = codes[: self.reconstructions]
            eps = Noise(module.seed).normal(torch.arange(len(head)), *head.shape[1:], like=head)
            reconstructing = vae.given(labels[: len(head)].to(device))
            z_draw = reconstructing.encode(self.pixels[: len(head)].to(device)).rsample_and_log_prob(eps)[0]
            sampling = vae.given(torch.from_numpy(self.labels).to(device))
            z = sampling.sample_codes(len(self.labels))
            px = sampling.decode(z)
            self.trace.append(
                "frames",
                epoch=module.numbers["epoch"],
                codes=codes_of_level(codes, vae.levels, self.level).float().cpu().numpy(),
                samples_mean=as_bytes(px.mean),
                samples_draw=as_bytes(px.sample()),
                recon_mean=as_bytes(reconstructing.decode(head).mean),
                recon_draw=as_bytes(reconstructing.decode(z_draw).mean),
                **({} if self.prior_is_standard else {"prior_codes": self.codes_of_prior(vae)}),
            )
            x = as_input(torch.from_numpy(val.images[worst])).to(device)
            mean = as_bytes(vae.given(torch.from_numpy(val.labels[worst]).to(device)).reconstruct(x))
        elbo = -(terms["recon"] + terms["kl"])[worst]
        self.trace.last |= {"worst_x": as_bytes(x), "worst_mean": mean, "worst_elbo": elbo}
        if "originals" in self.trace.fixed:
            self.trace.last["worst_original"] = trainer.datamodule.source.val.images[worst]
        self.trace.last["samples_z"] = z.float().cpu().numpy()

    def codes_of_prior(self, vae: VAE) -> np.ndarray:
        """Codes from the prior, (PRIOR_CODES, D): of one that is fixed, the same in each frame."""
        return self.prior_codes(vae) if self.fixed_codes is None else self.fixed_codes

    def prior_codes(self, vae: VAE) -> np.ndarray:
        """Codes from the prior, (PRIOR_CODES, D), of the recorded level."""
        codes = vae.given_each_label(PRIOR_CODES).sample_codes(PRIOR_CODES)
        return codes_of_level(codes, vae.levels, self.level).float().cpu().numpy()


def codes_of_level(codes: Tensor, levels: Sequence[int], level: int) -> Tensor:
    """The codes (N, D) of one level of a hierarchy; of codes of one level all."""
    return codes.split(levels, 1)[level - 1] if levels else codes


def is_recorded(epoch: int) -> bool:
    """Whether codes and images of an epoch are recorded: the first ten, then ten each time the number of epochs grows
    by a factor of e, evenly in its logarithm. The last epoch is recorded in any case."""
    return epoch <= 10 or int(10 * math.log(epoch)) > int(10 * math.log(epoch - 1))


@contextmanager
def evaluation_mode(vae: VAE, seed: int) -> Iterator[None]:
    """Evaluation mode without gradients and with a constant random state; all three are restored at the end."""
    training = vae.training
    devices = [p.device for p in vae.parameters() if p.device.type == "cuda"][:1]
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(noise.seed_of(seed, "watching"))
        vae.eval()
        try:
            yield
        finally:
            vae.train(training)
