import pytest

from research.pipeline import Retrained, retrain
from research.settings import Settings
from tests.research.worlds import small_settings, world

SMALL_WEEKS = 17


@pytest.fixture(scope="session")
def small() -> Settings:
    return small_settings()


@pytest.fixture(scope="session")
def trained(small: Settings) -> Retrained:
    """Return a small retrain on a world with a strong edge, shared by tests that only read it."""
    return retrain(world(3, 0.3, small, SMALL_WEEKS), small)
