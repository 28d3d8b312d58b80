"""The highest of a window is what reading the whole window would find."""

from hypothesis import given
from hypothesis import strategies as st

from kernel.features.extremes import AGO, EXTRA_SLOTS, highest


@given(
    values=st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=60),
    size=st.integers(1, 9),
)
def test_the_highest_and_its_age_equal_a_reading_of_the_window(
    values: list[float], size: int
) -> None:
    """Whatever came before, ties and negative values included; the latest of equal ones counts."""
    state = [0.0] * (EXTRA_SLOTS + size)
    for i, x in enumerate(values):
        found = highest(state, 0, size, x)
        window = values[max(i + 1 - size, 0) : i + 1][::-1]
        assert found == max(window)
        assert state[AGO] == window.index(max(window))
