"""The outer bounds of what features compute with and what they return."""

from collections.abc import MutableSequence, Sequence
from math import nan

NAN = nan
_SMALLEST = 1e-18
_LARGEST = 1e18


def finite(x: float) -> bool:
    """Return whether `x` is neither NaN nor infinite, in a form that compiles to the same
    comparisons.
    """
    return -1.7e308 < x < 1.7e308


def usable(obs: Sequence[float]) -> bool:
    """Return whether the bar of an observation can be computed with.

    Its time is at or after 1970, its prices are within 1e-18..1e18 and its volume within 0..1e30. A
    bar that is not usable counts as absent: all features are NaN and the state stays as it was.
    """
    return (
        0.0 <= obs[0] < 4e15
        and _SMALLEST < obs[1] < _LARGEST
        and _SMALLEST < obs[2] < _LARGEST
        and _SMALLEST < obs[3] < _LARGEST
        and _SMALLEST < obs[4] < _LARGEST
        and 0.0 <= obs[5] < 1e30
    )


def blank(out: MutableSequence[float]) -> None:
    """Write the one NaN everywhere."""
    for i in range(len(out)):
        out[i] = NAN
