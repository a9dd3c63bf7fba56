"""The picture of an evaluation: how the estimates of -log p(x) converge, and the KL of each dimension."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from src.figures import curves, page

COLOURS = (curves.VALIDATION, page.ACCENT)
HEIGHT = 280


class Convergence(NamedTuple):
    """The means of nll_k over `images` images for each k, (rungs,) nats by proposal; NaN where there is none."""

    k: Sequence[int]
    nll: Mapping[str, np.ndarray]
    images: int


def evaluation(
    title: str, caption: str, convergence: Convergence | None, kl: np.ndarray | None, part: str = "dimension"
) -> Figure:
    """Draw the convergence of the estimates, if there are any, beside the mean KL of each dimension (D,), in nats; or
    of each `level` of a hierarchy, from the top."""
    figure = page.page(960, page.HEADER + 36 + HEIGHT + 96)
    page.title(figure, title, caption)
    top = page.HEADER + 40
    if convergence is not None:
        heading = f"estimate of −log p(x) from k samples, {convergence.images:,} images, nats"
        axes = curves.chart(figure, page.Area(page.MARGIN + 34, top, 420, HEIGHT), heading)
        for (name, nll), colour in zip(convergence.nll.items(), COLOURS, strict=False):
            axes.plot(
                convergence.k,
                nll,
                color=colour,
                linewidth=1.6,
                marker="o",
                markersize=3.5,
                label=f"samples from {name}",
            )
            axes.annotate(
                page.number(nll[-1], 2), (convergence.k[-1], nll[-1]), (0, 7), textcoords="offset points",
                fontsize=8.5, color=colour, ha="right",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("k", fontsize=8.5, color=page.GREY)
        curves.legend_below(axes, 44, columns=len(convergence.nll))
    if kl is not None:
        left = page.MARGIN + 34 + (500 if convergence is not None else 0)
        heading = f"KL(q(z | x), p(z)) of each {part}, nats"
        axes = curves.chart(figure, page.Area(left, top, 932 - left, HEIGHT), heading)
        order = np.argsort(-kl, kind="stable") if part == "dimension" else np.arange(len(kl))
        axes.bar(range(len(kl)), kl[order], width=0.8, color=curves.VALIDATION)
        step = -(-len(kl) * 16 // int(932 - left))
        axes.set(
            xlim=(-0.7, len(kl) - 0.3), xticks=range(0, len(kl), step), xticklabels=order[::step] + (part == "level")
        )
        axes.set_xlabel(part, fontsize=8.5, color=page.GREY)
    return figure
