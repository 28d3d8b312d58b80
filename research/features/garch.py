"""Fit GARCH(1,1) once, on the first bars of a history, and put it into the state of features."""

from contextlib import suppress
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kernel.errors import TidegateError
from kernel.features import volatility_models
from kernel.features.bounds import usable
from kernel.features.engine import initial_state
from kernel.features.recursions import CLOSE
from kernel.features.registry import GROUPS, slices
from kernel.features.volatility_models import GARCH_FIT_BARS, GARCH_SLOTS
from research.models.threads import pinned_threads

_FEWEST_CLOSES = 1_000


class NotFittedError(TidegateError):
    """Prices to which no GARCH(1,1) can be fitted, such as those of a market pegged to another."""


def fit(closes: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return omega, alpha, beta of the log returns of `closes`, float64[n], by maximum likelihood.

    The mean return is 0 and the likelihood Student's t (Bollerslev, Review of Economics and
    Statistics 69, 1987): under the Gaussian one, a single return over a gap in the candles decides
    all three. Omega has 4 significant digits, alpha and beta 4 decimals: far finer than their
    standard errors, and coarse enough that another machine's optimiser, whose last digits differ,
    ends in the same numbers. Raises ValueError for fewer than 1,000 closes and for one that is not
    a positive number, and NotFittedError for prices that never move and where no maximum is found.
    """
    _check(closes)
    returns = np.diff(np.log(closes))
    scale = float(np.sqrt(np.mean(returns * returns)))
    if scale == 0.0:
        raise NotFittedError(f"GARCH: found {len(closes)} equal closes, expected prices that move")
    omega, alpha, beta = _maximum(returns / scale)
    found = (float(f"{omega * scale * scale:.4g}"), round(alpha, 4), round(beta, 4))
    if not (found[0] > 0.0 and found[1] >= 0.0 and 0.0 <= found[2] < 1.0):
        raise NotFittedError(
            f"GARCH: found omega, alpha, beta = {found}, expected omega > 0, alpha >= 0 and "
            "0 <= beta < 1"
        )
    return found


def starting_state(obs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the state before the first bar of a history, float64[STATE_SIZE], GARCH fitted.

    `obs` is float64[n, K] from the history's very first bar on. Only its first `GARCH_FIT_BARS`
    usable bars count, so that any longer history gives the same state; with fewer it is the plain
    initial state, and so it is where they cannot be fitted: GARCH then stays missing.
    """
    state = initial_state()
    closes = _first_closes(obs)
    if len(closes) == GARCH_FIT_BARS:
        before = slices([group.state_size for group in GROUPS])
        first = before[GROUPS.index(volatility_models.GROUP)].start + GARCH_SLOTS
        with suppress(NotFittedError):
            state[first : first + 3] = fit(closes)
    return state


def _first_closes(obs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the closes of the first usable bars, at most `GARCH_FIT_BARS` of them."""
    closes: list[float] = []
    for row in obs:
        if len(closes) == GARCH_FIT_BARS:
            break
        if usable(row):
            closes.append(float(row[CLOSE]))
    return np.array(closes)


@pinned_threads("arch", "scipy.optimize")
def _maximum(returns: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the parameters for returns of mean square 1.

    Where volatility changes by orders of magnitude the optimiser can stay where it began and call
    that a maximum: it is none.
    """
    from arch import arch_model

    model = cast(Any, arch_model)(
        returns, mean="Zero", vol="GARCH", p=1, q=1, dist="t", rescale=False
    )
    start = model.volatility.starting_values(returns)
    result = model.fit(disp="off", show_warning=False, options={"maxiter": 1_000})
    omega, alpha, beta, _ = (float(x) for x in result.params)
    stayed = np.allclose((omega, alpha, beta), start, rtol=1e-6, atol=0.0)
    if result.convergence_flag != 0 or stayed:
        raise NotFittedError(
            f"GARCH: found no maximum of the likelihood ({result.optimization_result.message}"
            f"{', at the start' if stayed else ''}), expected one"
        )
    return omega, alpha, beta


def _check(closes: NDArray[np.float64]) -> None:
    if closes.ndim != 1 or len(closes) < _FEWEST_CLOSES:
        raise ValueError(
            f"GARCH: found closes of shape {closes.shape}, expected ({_FEWEST_CLOSES} or more,)"
        )
    bad = np.flatnonzero(~(np.isfinite(closes) & (closes > 0.0)))
    if len(bad):
        raise ValueError(f"GARCH: found {closes[bad[0]]} at {bad[0]}, expected positive closes")
