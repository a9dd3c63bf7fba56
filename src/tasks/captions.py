"""What captions say of images that show the mean of p(x|z)."""

from src.models.vae import VAE


def mean_of(vae: VAE) -> str:
    """The words "mean of", or what stands for a mean without a closed form."""
    return "average of draws from" if vae.averages_draws else "mean of"


def means_of(vae: VAE) -> str:
    """The plural of `mean_of`."""
    return "averages of draws from" if vae.averages_draws else "means of"
