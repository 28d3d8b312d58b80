# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# matplotlib and Pillow leave their objects unknown; what leaves this file is bytes.
"""What all pictures share: a figure that needs no screen, and its bytes."""

import io
from typing import Any

import numpy as np

COLOURS = 128


def off_screen(width: float, height: float, layout: Any = "constrained") -> Any:
    """Return an empty figure of these inches; equal drawings on it give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)  # pyplot would look for a screen, and keep every figure alive
    return figure


def png(figure: Any) -> bytes:
    """Return the picture in 128 colours: a third of the bytes, and no difference to the eye."""
    from PIL import Image

    figure.canvas.draw()
    drawn = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    few = drawn.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
