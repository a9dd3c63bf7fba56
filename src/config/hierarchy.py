"""Checks of the options of a hierarchy of levels, which need nothing but the configuration."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import choices
from src.config.names import HIERARCHY, LEVELS, MOST_LATENTS, has_levels
from src.models.levels import count_latents
from src.support.errors import UserError
from src.support.ranges import as_argument


def check_posterior(cfg: DictConfig) -> None:
    """Raise UserError for a posterior that is not for the networks: a hierarchy has its own, which no other can use."""
    target = str(OmegaConf.select(cfg, "posterior._target_"))
    name = choices.choices_of_classes("posterior").get(target)
    if has_levels(cfg) and name not in (None, "ladder"):
        raise UserError(f"posterior={name}: model={cfg.model.get('name')} has its own posterior; leave it out")
    if target.startswith(HIERARCHY) and not has_levels(cfg):
        raise UserError("posterior=ladder follows the levels of model=ladder: leave it out, or choose that model")


def check_levels(options: dict[str, Any]) -> None:
    """Raise UserError for levels that do not fit each other, and for a latent_dim or a recorded level that is not
    theirs."""
    decoder, name = options["model"]["decoder"], options["model"].get("name")
    recorded = ((options["callbacks"] or {}).get("recorder") or {}).get("level", 1)
    if not has_levels(options):
        if recorded != 1:
            raise UserError(f"callbacks.recorder.level={recorded} is for a hierarchy, as model=ladder: leave it out")
        return
    check_same(options)
    try:
        dims = count_latents(options["data"]["shape"], *(decoder[each] for each in LEVELS))
    except ValueError as error:
        raise UserError(f"model.decoder: {error}") from error
    if dims > MOST_LATENTS:
        raise UserError(
            f"model.decoder.top, levels and latents make {dims} latents, and {MOST_LATENTS} are the most: lower them, "
            f"or use smaller images than {as_argument(options['data']['shape'])}"
        )
    if options["latent_dim"] != dims:
        raise UserError(
            f"latent_dim={options['latent_dim']}: the levels of model={name} have {dims} dimensions together, by "
            "model.decoder.top, levels and latents; leave latent_dim out"
        )
    if recorded > (count := 1 + sum(decoder["levels"])):
        raise UserError(f"callbacks.recorder.level={recorded}: the levels of model={name} are 1, the top, to {count}")


def check_same(options: dict[str, Any]) -> None:
    """Raise UserError where the encoder or the posterior has not the channels, levels and latents of the decoder."""
    decoder = options["model"]["decoder"]
    parts = {"model.encoder": options["model"]["encoder"], "posterior": options["posterior"]}
    for name, part in parts.items():
        for option in LEVELS:
            if (value := part.get(option, decoder.get(option))) != decoder.get(option):
                whole = "model.encoder.channels" if option == "channels" else f"model.decoder.{option}"
                raise UserError(
                    f"{name}.{option}={as_argument(value)}, but the decoder has {as_argument(decoder.get(option))}: "
                    f"give {whole} alone"
                )
