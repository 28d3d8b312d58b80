from collections.abc import Iterator

import pytest

from tests.replay_venue.served import Served, clockwork, serving


@pytest.fixture(scope="module")
def still() -> Iterator[Served]:
    """A generated venue that stands at 2025-04-10T07:07, its history beginning ten days before."""
    with serving("--history-start", "2025-03-31", "--start", "2025-04-10T07:07:30") as served:
        served.control("clock", pause=True)
        yield served


@pytest.fixture(scope="module")
def standing() -> Iterator[Served]:
    """A market of plain formulas at a standing clock, its history beginning ten days before."""
    with clockwork("2025-04-10 07:07:30", history="2025-03-31") as served:
        yield served
