"""Names that other projects give to our options, for the answer to an option that does not exist."""

from omegaconf import DictConfig, OmegaConf

# of several options, the first that the command has is meant
SYNONYMS = {
    ("lr", "learning_rate", "lrate", "base_lr", "init_lr", "max_lr"): ["optimizer.lr"],
    ("epoch", "epochs", "max_epochs", "n_epochs", "num_epochs", "nepochs", "max_epoch"): ["trainer.max_epochs"],
    ("batch", "batch_size", "batchsize", "bs", "n_batch", "train_batch_size"): ["data.batch_size"],
    ("z_dim", "zdim", "dim_z", "z_size", "n_z", "nz", "z", "dim", "code_size", "code_dim"): ["latent_dim"],
    ("latent", "latents", "n_latent", "n_latents", "num_latents", "latent_size", "latent_dims"): ["latent_dim"],
    ("dataset", "data_set", "images"): ["data"],
    ("data_dir", "dataroot", "data_root"): ["data.root"],
    ("data_path", "npz"): ["data.path"],
    ("device", "gpu", "gpus", "cuda", "cpu"): ["trainer.accelerator", "device"],
    ("random_seed", "manual_seed", "rng", "random_state"): ["seed"],
    ("kl_weight", "kld_weight", "kl_beta", "kl_coef", "w_kl"): ["beta"],
    ("encoder", "decoder", "network", "net", "arch", "architecture", "backbone"): ["model"],
    ("hidden_dim", "hidden_dims", "hidden_size", "h_dim", "layers", "units", "width"): ["model.encoder.hidden"],
    ("loss", "criterion", "loss_fn"): ["objective"],
    ("recon_loss", "reconstruction", "observation", "output_dist", "decoder_dist"): ["likelihood"],
    ("optim", "opt"): ["optimizer"],
    ("scheduler", "lr_scheduler"): ["lr_schedule"],
    ("warmup", "warm_up", "annealing", "kl_annealing", "beta_schedule"): ["schedule"],
    ("early_stopping", "early_stop"): ["trainer.patience"],
    ("clip", "grad_clip", "clip_grad", "max_grad_norm"): ["trainer.gradient_clip_val"],
    ("amp", "fp16", "bf16"): ["trainer.precision"],
    ("wandb", "tensorboard", "mlflow", "log"): ["logger"],
    ("name", "run", "exp_name", "experiment_name", "output", "output_dir", "out_dir", "save_dir"): ["run_name", "name"],
    ("checkpoint", "ckpt", "load", "resume_from"): ["ckpt_path", "checkpoint"],
    ("run_dir", "run_folder", "folder", "ckpt_path", "run_name", "model_path"): ["run", "run_name"],
}

# choices of a group under other names, and how they are chosen here
CHOICES = {
    "data": {"fashion": "data=fashion_mnist", "fmnist": "data=fashion_mnist", "fashionmnist": "data=fashion_mnist"},
    "model": {"cnn": "model=conv", "fc": "model=mlp", "dense": "model=mlp", "linear": "model=mlp"},
    "posterior": {"normal": "posterior=gaussian", "diagonal": "posterior=gaussian", "iaf": "posterior=flow"},
    "prior": {"normal": "prior=standard", "gaussian": "prior=standard", "gmm": "prior=mixture"},
    "likelihood": {
        **dict.fromkeys(("mse", "l2", "normal"), "likelihood=gaussian"),
        **dict.fromkeys(("bce", "binary"), "likelihood=bernoulli"),
        **dict.fromkeys(("pixelcnn", "pixelvae", "ar"), "likelihood=autoregressive"),
    },
    "objective": {"vae": "objective=elbo", "infovae": "objective=mmd", "wae": "objective=mmd"},
    "trainer": {"cpu": "trainer.accelerator=cpu", "cuda": "trainer=gpu"},
    "logger": {"none": "logger=csv", "tb": "logger=tensorboard"},
    "task": {"generate": "task=sample", "reconstruct": "task=figures", "onnx": "task=export", "ood": "task=anomaly"},
}


def synonym(name: str, root: DictConfig) -> str | None:
    """The option of a configuration for which another project has this name, if there is one."""
    return next((each for each in meanings(name) if exists(each, root)), None)


def meanings(name: str) -> list[str]:
    """The options for which another project has this name."""
    wanted = name.lower().replace("-", "_")
    return next((options for names, options in SYNONYMS.items() if wanted in names), [])


def exists(option: str, root: DictConfig) -> bool:
    """Whether a configuration has an option, whatever its value."""
    group, _, last = option.rpartition(".")
    node = OmegaConf.select(root, group) if group else root
    return OmegaConf.is_dict(node) and last in node.keys()  # noqa: SIM118 - the node itself lacks what must be given
