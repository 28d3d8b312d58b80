"""Market: what the venue and the daily sources published, with when each row became known."""

import math
from functools import partial
from typing import Any

import dagster as dg

from orchestration.partitions import month_windows, symbol_by_month
from orchestration.resources import findings
from orchestration.resources.exchange import Exchange
from orchestration.resources.ingestion import ingest_candles, ingest_series
from orchestration.resources.lake import Lake
from orchestration.resources.onchain import OnChain
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.sentiment import Sentiment

GROUP = "market"
GRAIN: dict[str, Any] = {
    "group_name": GROUP,
    "partitions_def": symbol_by_month,
    "backfill_policy": dg.BackfillPolicy.single_run(),
}
CHECKED: dict[str, Any] = {"blocking": True}


@dg.asset(key=[GROUP, "candles"], **GRAIN)
def candles(
    context: dg.AssetExecutionContext, exchange: Exchange, lake: Lake, settings: ResearchSettings
) -> dg.MaterializeResult:
    """Hold every closed bar of the month: OHLCV, stamped with its open, known at its close."""
    windows, universe = month_windows(context), settings.load().universe
    reports = ingest_candles(exchange, lake, windows, universe)
    return dg.MaterializeResult(metadata=findings.described(reports, lake, windows))


@dg.asset(key=[GROUP, "funding"], **GRAIN)
def funding(
    context: dg.AssetExecutionContext, exchange: Exchange, lake: Lake, settings: ResearchSettings
) -> dg.MaterializeResult:
    """Hold the month's funding settlements of the perpetual, as the venue stamped them."""
    windows, series = month_windows(context), settings.load().universe.series["funding_rate"]
    now_ms = exchange.now_ms()
    reports = ingest_series("funding", exchange.funding_pages, lake, windows, series, now_ms)
    return dg.MaterializeResult(metadata=findings.described(reports, lake, windows))


@dg.asset(key=[GROUP, "open_interest"], **GRAIN)
def open_interest(
    context: dg.AssetExecutionContext, exchange: Exchange, lake: Lake, settings: ResearchSettings
) -> dg.MaterializeResult:
    """Hold the month's open interest at every bar; a venue that keeps none gives no rows."""
    windows, universe = month_windows(context), settings.load().universe
    pages = partial(exchange.open_interest_pages, universe.timeframe)
    series, now_ms = universe.series["open_interest"], exchange.now_ms()
    reports = ingest_series("open_interest", pages, lake, windows, series, now_ms)
    return dg.MaterializeResult(metadata=findings.described(reports, lake, windows))


@dg.asset(key=[GROUP, "fear_greed"], **GRAIN)
def fear_greed(
    context: dg.AssetExecutionContext,
    exchange: Exchange,
    sentiment: Sentiment,
    lake: Lake,
    settings: ResearchSettings,
) -> dg.MaterializeResult:
    """Hold the fear & greed index of the month's days, 0 to 100."""
    windows, series = month_windows(context), settings.load().universe.series["fear_greed"]
    now_ms = exchange.now_ms()
    reports = ingest_series("fear_greed", sentiment.pages, lake, windows, series, now_ms)
    return dg.MaterializeResult(metadata=findings.described(reports, lake, windows))


@dg.asset(key=[GROUP, "onchain"], **GRAIN)
def onchain(
    context: dg.AssetExecutionContext,
    exchange: Exchange,
    onchain_source: OnChain,
    lake: Lake,
    settings: ResearchSettings,
) -> dg.MaterializeResult:
    """Hold exchange net flow and MVRV of the month's days; no rows where the source has none."""
    windows, series = month_windows(context), settings.load().universe.series["exchange_net_flow"]
    now_ms = exchange.now_ms()
    reports = ingest_series("onchain", onchain_source.pages, lake, windows, series, now_ms)
    return dg.MaterializeResult(metadata=findings.described(reports, lake, windows))


@dg.asset_check(asset=[GROUP, "candles"], **CHECKED)
def candles_are_consistent(
    context: dg.AssetCheckExecutionContext, lake: Lake
) -> dg.AssetCheckResult:
    """No candle of the month is in quarantine."""
    return findings.consistency(lake, month_windows(context))


@dg.asset_check(asset=[GROUP, "candles"], **CHECKED)
def candles_have_no_gaps(
    context: dg.AssetCheckExecutionContext, lake: Lake, settings: ResearchSettings
) -> dg.AssetCheckResult:
    """Every bar is there, from the symbol's first candle to its last."""
    return findings.gaps(lake, month_windows(context), settings.load().universe.bar_ms)


@dg.asset_check(asset=[GROUP, "candles"], **CHECKED)
def candles_meet_expectations(
    context: dg.AssetCheckExecutionContext, lake: Lake, settings: ResearchSettings
) -> dg.AssetCheckResult:
    """Stored candles are complete, unique, positive, and never known before their close."""
    return findings.expected_candles(lake, month_windows(context), settings.load().universe.bar_ms)


@dg.asset_check(asset=[GROUP, "funding"], **CHECKED)
def funding_is_plausible(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
    """Rates are within the venue's cap, and no settlement is missing between two others."""
    return findings.expected_funding(lake, month_windows(context))


@dg.asset_check(asset=[GROUP, "open_interest"], **CHECKED)
def open_interest_is_positive(
    context: dg.AssetCheckExecutionContext, lake: Lake
) -> dg.AssetCheckResult:
    """Contracts outstanding are a finite number above zero."""
    limits = {"open_interest": (math.ulp(0.0), 1e15)}
    return findings.within(lake, "open_interest", month_windows(context), limits)


@dg.asset_check(asset=[GROUP, "fear_greed"], **CHECKED)
def fear_greed_is_between_0_and_100(
    context: dg.AssetCheckExecutionContext, lake: Lake
) -> dg.AssetCheckResult:
    """The index stays on its own scale."""
    return findings.within(lake, "fear_greed", month_windows(context), {"fear_greed": (0.0, 100.0)})


@dg.asset_check(asset=[GROUP, "onchain"], **CHECKED)
def onchain_values_are_plausible(
    context: dg.AssetCheckExecutionContext, lake: Lake
) -> dg.AssetCheckResult:
    """Net flows are below a trillion dollars a day, and MVRV is a positive ratio."""
    limits = {"exchange_net_flow": (-1e12, 1e12), "mvrv": (math.ulp(0.0), 100.0)}
    return findings.within(lake, "onchain", month_windows(context), limits)
