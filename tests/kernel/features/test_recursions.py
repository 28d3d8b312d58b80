"""The logarithm that features use instead of a C library's."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.typing import NDArray

from kernel.compiled import compiled
from kernel.features.recursions import log


def _log_each(x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    for i in range(len(x)):
        out[i] = log(x[i])


def _arguments() -> NDArray[np.float64]:
    rng = np.random.default_rng(7)
    return np.concatenate(
        [
            10.0 ** rng.uniform(-300.0, 300.0, 20_000),
            np.exp(rng.normal(0.0, 0.01, 20_000)),
            rng.uniform(0.5, 2.0, 20_000),
            2.0 ** np.arange(-1074.0, 1023.0),
            np.nextafter(2.0 ** np.arange(-1021.0, 1023.0), 0.0),
            1.0 + 2.0 ** np.arange(-52.0, 0.0),
            1.0 - 2.0 ** np.arange(-53.0, -1.0),
            [math.sqrt(0.5), math.sqrt(2.0), math.e, 5e-324, 1.6e308],
        ]
    )


def test_log_agrees_with_the_c_library_within_one_unit_in_the_last_place() -> None:
    """Over 1e-323..1e308, next to 1 and next to powers of two, it differs by at most 1 ulp."""
    for x in _arguments().tolist():
        expected = math.log(x)
        assert abs(log(x) - expected) <= math.ulp(expected), x


def test_log_is_within_one_unit_in_the_last_place_of_the_exact_value() -> None:
    """Against 40 decimal digits, the error stays below one unit in the last place."""
    worst = 0.0
    with localcontext() as context:
        context.prec = 40
        for x in _arguments()[::20].tolist():
            exact = Decimal(x).ln()
            error = abs(Decimal(log(x)) - exact)
            worst = max(worst, float(error) / math.ulp(float(exact)))
    assert worst < 1.0


def test_log_gives_the_same_bytes_compiled_and_plain() -> None:
    """The compiled logarithm and the plain one agree in every bit."""
    x = _arguments()
    found = np.empty(len(x))
    compiled(_log_each)(x, found)
    plain = np.array([log(one) for one in x.tolist()])
    assert found.tobytes() == plain.tobytes()


@pytest.mark.parametrize("x", [0.0, -0.0, -1.0, math.inf, -math.inf, math.nan])
def test_log_of_what_has_none_is_nan(x: float) -> None:
    """Zero, negative, infinite and missing arguments give NaN and raise nothing."""
    assert math.isnan(log(x))
