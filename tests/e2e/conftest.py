"""The venue that the tests of bad days share, and what its feeds are on a good day."""

from collections.abc import Iterator

import pytest

from tests.e2e.feeds import Feed, Sound, World, sound_lakes, world


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serve every feed, with the settings that read them."""
    with world(tmp_path_factory.mktemp("configs")) as one:
        yield one


@pytest.fixture(scope="module")
def sound(venue: World, tmp_path_factory: pytest.TempPathFactory) -> dict[Feed, Sound]:
    """Return the lake of each feed that never met a fault."""
    return sound_lakes(venue, tmp_path_factory.mktemp("sound"))
