"""Sources by name: the right adapter, at the right place, as patient as it should be."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from kernel.errors import TidegateError
from market_data.frames import Frame
from market_data.sources.backoff import PATIENT, Backoff
from market_data.sources.catalogue import ADAPTERS, Sources, _adapter
from market_data.sources.protocol import Source, Wanted
from market_data.sources.recordings import Recordings
from market_data.universe import SourceSettings
from tests.market_data.served_venue import SmallMarket, served, walk

VENUE = "http://127.0.0.1:8900"
CONFIGS = Path(__file__).parents[3] / "configs"


@dataclass(frozen=True, slots=True)
class Own:
    """An adapter that is not ours."""

    name: str
    settings: SourceSettings
    at: str
    backoff: Backoff = PATIENT

    PUBLIC_URL = "https://own.example"
    PREFIX = "/own"

    @property
    def tables(self) -> frozenset[str]:
        return frozenset({"candles"})

    def now_ms(self) -> int:
        return 7

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        yield from ()


def sources(tmp_path: Path, **described: dict[str, str]) -> Sources:
    """Return the sources of our universe and the ones described, on a venue that is not asked."""
    universe = yaml.safe_load((CONFIGS / "universe.yaml").read_text())
    universe["sources"].update(described)
    (tmp_path / "universe.yaml").write_text(yaml.safe_dump(universe))
    return Sources(folder=str(tmp_path), venue_url=VENUE, recordings="/recordings")


def own(known: Sources) -> Own:
    """Return the source `own`."""
    found = known.source("own")
    assert isinstance(found, Own)
    return found


OWN = f"{Own.__module__}:Own"


@pytest.mark.parametrize(
    ("described", "at"),
    [
        ({}, VENUE + "/own"),
        ({"url": "public"}, "https://own.example"),
        ({"url": "http://elsewhere:1"}, "http://elsewhere:1"),
        ({"path": "/data/own"}, "/data/own"),
    ],
)
def test_adapter_of_one_s_own_is_named_by_module_and_class(
    tmp_path: Path, described: dict[str, str], at: str
):
    """Without a change to our code; its address is the venue's, its own, another, or a folder."""
    found = sources(tmp_path, own={"adapter": OWN, **described}).source("own")
    assert isinstance(found, Own)
    assert (found.name, found.at) == ("own", at)


def test_every_adapter_of_ours_can_be_made(tmp_path: Path):
    """Each name in the catalogue is a class that satisfies the protocol."""
    for adapter in ADAPTERS:
        one = {"adapter": adapter, "exchange": "binanceusdm", "path": str(tmp_path)}
        one = one if adapter not in {"ccxt", "coinmetrics", "fear_greed"} else one | {"path": ""}
        found: Source = sources(tmp_path, one=one).source("one")
        assert found.name == "one"
        assert isinstance(found.tables, frozenset)


def test_recordings_are_found_where_the_runner_writes_them(tmp_path: Path):
    """The installation says where; a path of the source's own goes first."""
    described = {"adapter": "recordings", "path": "/elsewhere"}
    both = sources(tmp_path, other=described)
    found = [both.source("recorder"), both.source("other")]
    assert found == [
        Recordings("recorder", SourceSettings("recordings"), "/recordings"),
        Recordings("other", SourceSettings("recordings", path="/elsewhere"), "/elsewhere"),
    ]


def test_source_is_made_once_and_anew_when_its_settings_change(tmp_path: Path):
    """Connections are kept within a run; an edited universe.yaml is heeded."""
    both = sources(tmp_path, own={"adapter": OWN})
    first = both.source("own")
    assert both.source("own") is first
    sources(tmp_path, own={"adapter": OWN, "url": "public"})
    assert both.source("own").at == "https://own.example"


def test_patience_is_the_catalogue_s(tmp_path: Path):
    """The schedule's clock asks once, a run seven times."""
    patient = sources(tmp_path, own={"adapter": OWN})
    hasty = Sources(folder=str(tmp_path), venue_url=VENUE, attempts=1)
    assert own(patient).backoff == PATIENT
    assert own(hasty).backoff == replace(PATIENT, attempts=1)


def test_market_s_clock_is_that_of_the_candles(tmp_path: Path):
    """A replayed market is ingested in its own time."""
    universe = yaml.safe_load((CONFIGS / "universe.yaml").read_text())
    (tmp_path / "universe.yaml").write_text(yaml.safe_dump(universe))
    with served(SmallMarket({"BTCUSDT": walk(0, 4)}), 1_764_547_200_000) as venue:
        assert Sources(folder=str(tmp_path), venue_url=venue.url).now_ms() == 1_764_547_200_000


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        ("kraken", "'kraken', expected one of ['binance_archive', 'ccxt'"),
        ("no.such.module:Class", "No module named"),
        (f"{Own.__module__}:Nothing", "has no attribute 'Nothing'"),
    ],
)
def test_unknown_adapter_is_refused_in_words(adapter: str, text: str):
    """The failure names the source, what universe.yaml says, and what it may say."""
    with pytest.raises(TidegateError) as failure:
        _adapter("mine", adapter)
    assert "universe.yaml: adapter of source mine" in str(str(failure.value))
    assert text in str(str(failure.value))


def test_unknown_source_is_refused_in_words(tmp_path: Path):
    """The failure names those there are."""
    with pytest.raises(TidegateError, match="'nobody', expected one of"):
        sources(tmp_path).source("nobody")
