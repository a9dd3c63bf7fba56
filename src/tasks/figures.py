"""The pictures and films of the training, drawn again from its trace, in another size or format."""

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
    """All that stands in RUN/figures, drawn from its trace.npz; RUN/figures stays as it is.

    scale: of the stills, 0.5 to 8; at 1 they are 500 to 1,400 pixels wide, at 2 like those of the training
    formats: of the stills; films: whether to draw the GIFs too
    """
    trace = Trace.load(RunFolder(run.folder).trace)
    written = draw_final(trace, folder, scale, list(dict.fromkeys(formats)), films)
    drawn = sum(path.suffix == ".gif" for path in written)
    return {"stills": len(written) - drawn, "films": drawn}
