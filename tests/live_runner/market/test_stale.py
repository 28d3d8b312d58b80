"""A series that cannot be read bars entries where it decides or costs, and nowhere else."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kernel.decision import Abstain
from kernel.features.engine import Stream, compute
from kernel.observation import OBSERVATION_FIELDS
from kernel.trading import ABSTAIN, Trader
from live_runner.journal.journal import Decision
from live_runner.models.inference import load_bundle
from live_runner.models.model import FED_BY, Model
from live_runner.settings import LAGGED
from tests.live_runner.bundles import TRADING, Publisher, write_bundle
from tests.live_runner.inside import bars_step, desk, desk_settings
from tests.live_runner.stage import (
    BAR_MS,
    START_MS,
    SYMBOLS,
    VenueProcess,
    assert_replays,
    call,
    market_observations,
    recorded,
    runner,
    venue,
)

SYMBOL = SYMBOLS[0]
MOST_BARS = 40
STATE_OPEN_MS = START_MS - 40 * BAR_MS
OPEN_INTEREST = "open_interest: GET /futures/data/openInterestHist: found 5"


def test_unreadable_funding_bars_entries_until_it_can_be_read_again(tmp_path: Path) -> None:
    """The costs need funding: without it every bar is stale; trading resumes by itself."""
    with venue(speed=1.0) as market, runner(tmp_path, market.url) as live:
        live.until_trading()
        live.next_bar(market)
        market.fault(kind="http5xx", rate=1.0, match="fundingRate")

        def abstained(code: Abstain) -> bool:
            return all(
                int(recorded(live.journal, symbol)["row"][-1, ABSTAIN]) == code
                for symbol in SYMBOLS
            )

        live.bars_until(market, lambda: abstained(Abstain.STALE_DATA), "stale bars")
        status, health = call(f"{live.url}/health")
        assert (status, health["status"]) == (503, "halted")
        for one in health["symbols"].values():
            assert one["abstain"] == "stale_data"
            assert "GET /fapi/v1/fundingRate" in one["stale"]["funding_rate"]
        call(f"{market.url}/control/faults", method="DELETE")
        live.bars_until(market, lambda: abstained(Abstain.NONE), "fresh bars")
        assert call(f"{live.url}/health")[0] == 200
        summaries = [live.get(f"/journal/summary?symbol={symbol}") for symbol in SYMBOLS]
        assert live.stop() == 0
    assert [one["missed"] for one in summaries] == [0, 0]
    assert_replays(live.journal)
    reasons = _reasons(live.journal)
    assert any(one.startswith("stale funding_rate: GET /fapi/v1/funding") for one in reasons)
    assert "no bundle: rules decide" in reasons


def test_rules_go_on_without_open_interest_and_say_so(tmp_path: Path) -> None:
    """The rules do not read it: every bar is decided, and names what could not be read."""
    with venue(speed=1.0) as market, runner(tmp_path, market.url) as live:
        live.until_trading()
        live.next_bar(market)
        market.fault(kind="http5xx", rate=1.0, match="openInterestHist")
        noted = f"no bundle: rules decide; does not read the stale {OPEN_INTEREST}"
        live.bars_until(
            market,
            lambda: any(one.startswith(noted) for one in _reasons(live.journal)),
            "a noted bar",
        )
        page = call(f"{live.url}/")[1]
        assert live.stop() == 0
    for symbol in SYMBOLS:
        assert not recorded(live.journal, symbol)["row"][:, ABSTAIN].any()
    assert_replays(live.journal)
    assert "abstains" not in page
    with sqlite3.connect(live.journal) as db:
        told = db.execute("SELECT count(*) FROM events WHERE kind = 'feed_error'").fetchone()[0]
    assert told >= 5


@pytest.mark.parametrize(
    ("features", "code", "reason"),
    [
        (("rsi_14", "mvrv"), Abstain.STALE_DATA, "stale mvrv: GET /coinmetrics"),
        (("rsi_14", "oi_change"), Abstain.NONE, "does not read the stale exchange_net_flow, mvrv,"),
    ],
)
def test_a_bundle_abstains_without_its_own_series_alone(
    tmp_path: Path, features: Sequence[str], code: Abstain, reason: str
) -> None:
    """The chain's metrics cannot be read: the bundle that reads one stays out, the other trades."""
    folder = _published(tmp_path, features)

    async def outage(market: VenueProcess) -> tuple[Decision, Decision]:
        async with desk(desk_settings(tmp_path, market.url)) as one:
            result = await one.swapper.swap(SYMBOL, folder.name, 1)
            assert result.outcome == "swapped", result
            queue = one.subscribe()
            market.fault(kind="http5xx", rate=1.0, match="asset-metrics")

            async def bars_until(fits: Callable[[Decision], bool]) -> Decision:
                for _ in range(MOST_BARS):
                    await bars_step(one, market, 1)
                    while not queue.empty():
                        told = queue.get_nowait()
                        if told.symbol == SYMBOL and fits(told):
                            return told
                raise AssertionError(f"expected such a decision within {MOST_BARS} bars")

            during = await bars_until(lambda told: "GET /coinmetrics" in told.reason)
            call(f"{market.url}/control/faults", method="DELETE")
            return during, await bars_until(lambda told: not told.reason)

    with venue(speed=1.0, start="2025-12-21T22:00:00Z") as market:
        during, after = asyncio.run(outage(market))
    assert during.reason.startswith(reason), during.reason
    assert (during.row[ABSTAIN], after.row[ABSTAIN]) == (code, Abstain.NONE)
    assert_replays(tmp_path / "journal.sqlite")


@pytest.mark.parametrize(
    ("features", "reads"),
    [
        ((), ()),
        (("rsi_14", "btc_beta"), ("btc_close",)),
        (("m1_rsi_9",), ("minutes",)),
        (("mvrv_zscore", "oi_change"), ("mvrv", "open_interest")),
        (("basis",), ("mark_close", "index_close")),
    ],
)
def test_a_model_reads_the_series_of_its_inputs_and_of_the_costs(
    tmp_path: Path, features: Sequence[str], reads: Sequence[str]
) -> None:
    """So it says of every series; a series that nobody knows may decide, too. () are the rules."""
    bundle = None
    if features:
        folder = _published(tmp_path, features)
        bundle = load_bundle(
            folder,
            symbol=SYMBOL,
            timeframe="15m",
            keys_dir=tmp_path / "keys",
            above_epoch=0,
            now_ms=STATE_OPEN_MS,
        )
    model = Model(
        bundle=bundle,
        settings=TRADING,
        settings_digest="",
        stream=Stream(),
        trader=Trader(TRADING),
    )
    known = ("open_interest", "fear_greed", "mvrv", "fees", "mark_close", "index_close")
    told = [one for one in (*known, "btc_close", "minutes") if model.reads(one)]
    assert sorted(told) == sorted(reads)
    assert model.reads("funding_rate")
    assert model.reads("weather")


def test_every_field_of_an_observation_has_a_known_origin() -> None:
    """A field comes from one of the series that are asked for, or from none: bar, trades, book."""
    assert set(FED_BY) == set(OBSERVATION_FIELDS)
    assert set(FED_BY.values()) == {*LAGGED, ""}


def _published(home: Path, features: Sequence[str]) -> Path:
    """Return a bundle of these features, published as epoch 1."""
    start_ms = STATE_OPEN_MS - 1_499 * BAR_MS
    state = compute(market_observations(SYMBOL, start_ms, STATE_OPEN_MS + BAR_MS))[1]
    folder = write_bundle(
        home / "bundles",
        SYMBOL,
        seed=1,
        state=state,
        state_open_ms=STATE_OPEN_MS,
        features=features,
    )
    Publisher.make(home / "keys").publish(folder, SYMBOL, 1)
    return folder


def _reasons(journal: Path) -> set[str]:
    with sqlite3.connect(journal) as db:
        return {row[0] for row in db.execute("SELECT reason FROM decisions")}
