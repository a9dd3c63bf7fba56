"""The pictures and films of the training, drawn again from its trace, in another size or format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from src.build import Run
from src.errors import UserError
from src.figures import FORMATS, draw_final
from src.tasks import check_truths
from src.trace import Trace


def figures(
    run: Run, folder: Path, scale: float, formats: Sequence[Literal["png", "pdf", "svg"]], films: bool
) -> dict[str, Any]:
    """All that stands in RUN/figures, drawn from its trace.npz; RUN/figures stays as it is.

    scale: of the stills, 0.5 to 8; at 1 they are 500 to 1,400 pixels wide, at 2 like those of the training
    formats: of the stills; films: whether to draw the GIFs too
    """
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0.5 <= scale <= 8:
        raise UserError(f"task.scale must be a number from 0.5 to 8, got {scale}")
    if not isinstance(formats, list) or not formats or not all(name in FORMATS for name in formats):
        raise UserError(f"task.formats must be a list of {', '.join(FORMATS)}, such as [png,svg], got {formats}")
    check_truths(films=films)
    trace = Trace.load(run.folder / "figures" / "trace.npz")
    written = draw_final(trace, folder, scale, list(dict.fromkeys(formats)), films)
    drawn = sum(path.suffix == ".gif" for path in written)
    return {"stills": len(written) - drawn, "films": drawn}
