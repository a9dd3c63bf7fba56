"""The colours and markers that all figures, and the charts of reports, have in common."""

INK, GREY = "#1f2328", "#656d76"  # colours of text
# Ten colours that differ from each other, in normal vision and in that of protanopes, deuteranopes and tritanopes, by
# at least 20 in CIELAB (CIE76), and that are dark enough for white paper. They were found by a numerical search.
CLASS_COLOURS = (
    *("#4269d0", "#e9ac08", "#d75213", "#80b858", "#8347ff"),
    *("#39b8d4", "#bc568f", "#8b613a", "#bbb5ac", "#055041"),
)
BLUE, VERMILION, GREEN, SILVER = CLASS_COLOURS[0], CLASS_COLOURS[2], CLASS_COLOURS[9], "#97a0ab"  # of curves and bars
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", "*", ">")  # one for each ten classes


def class_styles(count: int) -> list[tuple[str, str]]:
    """A colour and a marker for each of `count` classes; they differ for up to a hundred."""
    colours, markers = len(CLASS_COLOURS), len(MARKERS)
    return [(CLASS_COLOURS[i % colours], MARKERS[i // colours % markers]) for i in range(count)]
