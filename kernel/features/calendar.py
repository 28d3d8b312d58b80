"""Sessions, the hour of day and the day of week, at the close of the bar: the instant at which an
order could follow.
"""

from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    BAR_MS,
    OPEN_TIME,
    Observation,
    Out,
    State,
)

BARS_SEEN = 0
LAST_OPEN_TIME = 1

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_DAY_MINUTES = 1440
_THURSDAY = 3  # the weekday of 1970-01-01, Monday being 0
_HALF_PI = 1.5707963267948966


def step(state: State, obs: Observation, out: Out) -> None:
    """Count the bar, remember its time, write session flags, and hour and weekday on a circle."""
    state[BARS_SEEN] += 1.0
    state[LAST_OPEN_TIME] = obs[OPEN_TIME]
    close_ms = int(obs[OPEN_TIME]) + BAR_MS
    minute = close_ms // _MINUTE_MS % _DAY_MINUTES
    weekday = (close_ms // _DAY_MS + _THURSDAY) % 7
    out[0] = 1.0 if minute < 480 else 0.0
    out[1] = 1.0 if 480 <= minute < 1020 else 0.0
    out[2] = 1.0 if 780 <= minute < 1320 else 0.0
    out[3] = sine_of_turn(minute / 1440.0)
    out[4] = sine_of_turn((minute + 360) % _DAY_MINUTES / 1440.0)
    out[5] = sine_of_turn(weekday / 7.0)
    out[6] = sine_of_turn((4 * weekday + 7) % 28 / 28.0)


def sine_of_turn(turn: float) -> float:
    """Return sin(2 pi turn) for 0 <= turn < 1, within 4e-16, from products and sums alone.

    A C library's sine may differ in the last bit from one processor to the next. Taylor's series to
    the 21st power.
    """
    quarter = 4.0 * turn
    if quarter > 3.0:
        quarter -= 4.0
    elif quarter > 1.0:
        quarter = 2.0 - quarter
    x = quarter * _HALF_PI
    term = x
    total = x
    for k in range(1, 11):
        term *= -(x * x) / (2 * k * (2 * k + 1))
        total += term
    return min(max(total, -1.0), 1.0)


def _session(name: str, hours: str) -> Definition:
    return Definition(
        name=name,
        unit="flag",
        low=0.0,
        high=1.0,
        formula=f"1 when the bar closes within {hours} UTC, the end excluded, else 0",
        source=(
            "defined here: the document names the session without its hours; business hours in "
            "winter, Tokyo's 9 to 17, London's and New York's 8 to 17, all year and every day (in "
            "summer the latter two begin an hour before)"
        ),
        inputs=("open_time_ms",),
        warmup_bars=1,
        missing="never",
    )


def _circle(name: str, function: str, turn: str) -> Definition:
    return Definition(
        name=name,
        unit="ratio",
        low=-1.0,
        high=1.0,
        formula=f"{function}(2 pi * {turn}), by Taylor's series to the 21st power",
        source="Mardia and Jupp, Directional Statistics, 2000: a date as an angle",
        inputs=("open_time_ms",),
        warmup_bars=1,
        missing="never",
    )


_HOUR = "UTC minute of the day at the close / 1440"
_WEEKDAY = "UTC weekday at the close / 7, Monday being 0"

GROUP = Group(
    name="calendar",
    step=step,
    state_size=2,
    features=(
        _session("is_asian_session", "00:00-08:00"),
        _session("is_london_session", "08:00-17:00"),
        _session("is_ny_session", "13:00-22:00"),
        _circle("session_hour_sin", "sin", _HOUR),
        _circle("session_hour_cos", "cos", _HOUR),
        _circle("weekday_sin", "sin", _WEEKDAY),
        _circle("weekday_cos", "cos", _WEEKDAY),
    ),
)
