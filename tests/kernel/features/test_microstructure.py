"""Features of book and trades: the laws, the papers' formulas written another way, and examples."""

from kernel.features.microstructure import GROUP
from tests.kernel.features import alone


def test_microstructure_batch_is_stream_and_any_chunking() -> None:
    """Compiled, plain and cut anywhere, every byte is the same."""
    alone.check_parity(GROUP)


def test_microstructure_is_finite_or_nan_in_extreme_worlds() -> None:
    """No extreme world raises, leaves the stated range or makes the state infinite."""
    alone.check_extremes(GROUP, 500)


def test_microstructure_warms_up_at_the_stated_bar() -> None:
    """A feature is NaN before its warm-up bar and has a value from it on."""
    alone.check_warm_up(GROUP)


def test_microstructure_reads_its_inputs_and_nothing_else() -> None:
    """Other fields of the observation change no byte, its own change some."""
    alone.check_inputs(GROUP)


def test_microstructure_never_sees_the_future() -> None:
    """No past value changes when the future is cut off or scrambled."""
    alone.check_certificates(GROUP)
