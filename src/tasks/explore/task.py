"""The latent explorer: one HTML file in which a trained VAE encodes and decodes, without a server or a network."""

import re
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from src.build import Run
from src.run.trace import Trace
from src.support.files import atomic_path
from src.support.folders import ResultsFolder, RunFolder
from src.tasks.compare.task import open_other
from src.tasks.explore import functions
from src.tasks.explore.arrays import Arrays
from src.tasks.explore.contents import check_trace, contents, followed_images, make_field

PAGE = Path(__file__).parent / "page"
# Each module comes after those that it imports.
MODULES = (
    *(
        "bytes",
        "kernels",
        "shapes",
        "operators",
        "programs",
        "model",
        "dom",
        "state",
        "space",
        "drawing",
        "map",
        "images",
    ),
    *("now", "atlas", "sliders", "pad", "between", "samples", "game", "numbers", "pair", "main"),
)


def explore(run: Run, folder: Path, other: str | None, checkpoint: Literal["best", "last"]) -> dict[str, Any]:
    """Write explorer.html: a map of codes that replays the training, live encoder and decoder, paths, samples, a game.

    other: the folder of another run on the same images, which the page puts beside this one
    checkpoint: of the other run

    Raises UserError, before anything is written, where the model does not run in a browser.
    """
    runs = [run] if other is None else [run, open_other(run, other, checkpoint)]
    for each in runs:
        functions.check(each.vae)
        each.vae.cpu()
    trace = Trace.load(RunFolder(run.folder).trace)
    check_trace(run, trace)
    arrays, field = Arrays(), make_field(run)
    followed = followed_images(run, trace, field)
    models = [contents(each, trace if each is run else None, followed, arrays) for each in runs]
    data = {
        "models": models,
        "field": arrays.add(field, "uint16"),
        "accepted": functions.ACCEPTED,
        "entries": arrays.entries,
    }
    path = ResultsFolder(folder).explorer
    with atomic_path(path) as partial:
        partial.write_text(page(data, arrays.text()), encoding="utf-8")
    return {"images": len(followed.grays), "epochs": len(models[0]["map"]["epochs"]), "MB": path.stat().st_size / 1e6}


def page(data: dict[str, Any], block: str) -> str:
    """The HTML of the page, from its data and the text of its arrays."""
    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    template = environment.get_template("page.html")
    model = data["models"][0]
    return template.render(
        model=model,
        other=data["models"][1] if len(data["models"]) > 1 else None,
        data=data,
        block=Markup(block),
        style=Markup((PAGE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script()),
    )


def script() -> str:
    """The modules of the page as one script, since a browser loads no module from a file on a disk.

    Each becomes a function that returns what the module exports; its statements are otherwise as they are.
    """
    return "\n".join(['"use strict";', "const modules = {};", *(as_function(name) for name in MODULES)])


def as_function(name: str) -> str:
    """A module as a function that is called at once, and whose result has the module's name among `modules`."""
    text = (PAGE / f"{name}.js").read_text(encoding="utf-8")
    exported = re.findall(r"^export (?:async )?(?:function|const) (\w+)", text, re.MULTILINE)
    body = re.sub(r"^export ", "", text, flags=re.MULTILINE)
    body = re.sub(r'^import (\{[^}]*\}) from "\./(\w+)\.js";$', r"const \1 = modules.\2;", body, flags=re.MULTILINE)
    return f"modules.{name} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();"
