"""The colours that all figures, and the charts of reports, have in common."""

INK, GREY = "#1f2328", "#656d76"  # colours of text
CLASS_COLOURS = (
    *("#4269d0", "#efb118", "#e4572e", "#3ca951", "#a463f2"),
    *("#38b6d0", "#ff8ab7", "#8c6239", "#97a0ab", "#1f5f4a"),
)
