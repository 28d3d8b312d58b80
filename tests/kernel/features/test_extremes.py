"""The highest of a window is what reading the whole window would find."""

from hypothesis import given
from hypothesis import strategies as st

from kernel.features.extremes import AGO, EXTRA_SLOTS, highest, sliding_highest


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


@given(
    values=st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=60),
    size=st.integers(1, 9),
)
def test_the_sliding_highest_equals_a_reading_of_every_full_window(
    values: list[float], size: int
) -> None:
    """From the first full window on, it is its largest value, and no slot outside is touched."""
    state = [7.0, *[0.0] * (2 + size), 7.0]
    for i, x in enumerate(values):
        found = sliding_highest(state, 1, size, x)
        if i + 1 >= size:
            assert found == max(values[i + 1 - size : i + 1])
    assert state[0] == state[-1] == 7.0
