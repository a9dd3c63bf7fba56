"""Images and animations of the training, redrawn from its trace in another size or format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from src.build import Run
from src.figures import draw_final
from src.run.trace import Trace
from src.support.folders import RunFolder


def figures(
    run: Run,
    folder: Path,
    scale: Annotated[float, Ge(0.5), Le(8)],
    formats: Annotated[Sequence[Literal["png", "pdf", "svg"]], MinLen(1)],
    films: bool,
) -> dict[str, Any]:
    """Draw the files of RUN/figures again from its trace.npz; those files are not changed.

    scale: the size of the images, 0.5 to 8: at 1 they are 500 to 1,400 pixels wide, at 2 as large as during training
    formats: the formats of the images; films: whether to draw the animations (GIF) too
    """
    trace = Trace.load(RunFolder(run.folder).trace)
    written = draw_final(trace, folder, scale, list(dict.fromkeys(formats)), films)
    animations = sum(path.suffix == ".gif" for path in written)
    return {"stills": len(written) - animations, "films": animations}
