"""Features: one row per bar up to the week's cutoff, made of what was known at its close."""

from dataclasses import asdict
from typing import Any

import dagster as dg

from orchestration.partitions import cutoff_ms, symbol, symbol_by_week
from orchestration.resources.lake import Lake
from orchestration.resources.presentation import moment, span, table
from orchestration.resources.quality.lags import earliest_by_series
from orchestration.resources.research_settings import ResearchSettings

GROUP = "features"
SERIES = ("candles", "funding", "open_interest", "fear_greed", "onchain")
WEEKS_READ = 30  # a retrain reads all history up to its cutoff; this much is shown as its lineage
CUTS = 12
CERTIFIED_BARS = 3_000
SAMPLED_BARS = 200
MOST_SHOWN = 20
months_read = dg.MultiPartitionMapping(
    {
        "month": dg.DimensionPartitionMapping(
            "week",
            dg.TimeWindowPartitionMapping(
                start_offset=-WEEKS_READ, allow_nonexistent_upstream_partitions=True
            ),
        ),
        "symbol": dg.DimensionPartitionMapping("symbol", dg.IdentityPartitionMapping()),
    }
)


@dg.asset(
    key=[GROUP, "matrix"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    deps=[dg.AssetDep(["market", name], partition_mapping=months_read) for name in SERIES],
)
def matrix(
    context: dg.AssetExecutionContext, lake: Lake, settings: ResearchSettings
) -> dg.MaterializeResult:
    """Hold open_time_ms, close and every registered feature of each bar closed by the cutoff."""
    from research.matrix import feature_matrix

    name, until_ms = symbol(context), cutoff_ms(context)
    universe = settings.load().universe
    frame = feature_matrix(lake.bars(name, until_ms), lake.series(name, until_ms), universe.bar_ms)
    coverage = frame.drop(columns=["open_time_ms", "close"]).notna().mean()
    return dg.MaterializeResult(
        value=frame,
        metadata={
            "dagster/row_count": len(frame),
            "span": span(int(frame["open_time_ms"].iloc[0]), until_ms),
            "data_digest": lake.digest(name, until_ms),
            "coverage": table({"feature": key, "share": share} for key, share in coverage.items()),
        },
    )


@dg.asset_check(asset=[GROUP, "matrix"], blocking=True, partitions_def=symbol_by_week)
def matrix_reaches_the_cutoff(
    context: dg.AssetCheckExecutionContext, settings: ResearchSettings, matrix: Any
) -> dg.AssetCheckResult:
    """The last bar closes at the week's end: no week is trained on that was not ingested."""
    last_ms = int(matrix["open_time_ms"].iloc[-1]) + settings.load().universe.bar_ms
    found = span(last_ms, cutoff_ms(context))
    return dg.AssetCheckResult(
        passed=last_ms == cutoff_ms(context),
        description=f"last close … cutoff: found {found}, expected one moment: ingest it first",
        metadata={"rows": len(matrix)},
    )


@dg.asset_check(asset=[GROUP, "matrix"], blocking=True, partitions_def=symbol_by_week)
def features_never_see_the_future(
    context: dg.AssetCheckExecutionContext, lake: Lake, settings: ResearchSettings
) -> dg.AssetCheckResult:
    """Recompute every feature with the future cut off and scrambled: no value may change."""
    from research.matrix import leak_certificates

    until_ms = cutoff_ms(context)
    bars, series = lake.bars(symbol(context), until_ms), lake.series(symbol(context), until_ms)
    bar_ms = settings.load().universe.bar_ms
    certificates = leak_certificates(
        bars, series, bar_ms, last=CERTIFIED_BARS, cuts=CUTS, seed=until_ms
    )
    leaking = [one for one in certificates if one.mismatches]
    return dg.AssetCheckResult(
        passed=not leaking,
        description=", ".join(f"{one.feature} changes with its future" for one in leaking),
        metadata={
            "features": len(certificates),
            "cuts": CUTS,
            "leaking": table(
                {"feature": one.feature, "mismatches": one.mismatches} for one in leaking
            ),
        },
    )


@dg.asset_check(asset=[GROUP, "matrix"], blocking=True, partitions_def=symbol_by_week)
def observations_hold_only_what_was_known(
    context: dg.AssetCheckExecutionContext, lake: Lake, settings: ResearchSettings
) -> dg.AssetCheckResult:
    """No row counts as known before it could be, and no bar holds one known after its close."""
    from kernel.observation import observe
    from research.leaks import known_too_early, used_too_early

    universe, until_ms = settings.load().universe, cutoff_ms(context)
    bars, series = lake.bars(symbol(context), until_ms), lake.series(symbol(context), until_ms)
    early = known_too_early(series, earliest_by_series(universe))
    observed, close_ms = observe(bars, series, universe.bar_ms), bars.open_time_ms + universe.bar_ms
    used = used_too_early(observed, close_ms, series, samples=SAMPLED_BARS, seed=until_ms)
    leaks = [*early[:MOST_SHOWN], *used[:MOST_SHOWN]]
    return dg.AssetCheckResult(
        passed=not leaks,
        description=f"{len(early)} rows count as known too early, and {len(used)} observations "
        "are not what was known at their close, expected none"
        + (
            ": see publication_lag_ms in universe.yaml, then ingest into a new lake"
            if leaks
            else ""
        ),
        metadata={
            "rows": sum(len(rows.value) for rows in series.values()),
            "bars_drawn_per_series": 3 * SAMPLED_BARS,
            "leaks": table(asdict(leak) | {"at_ms": moment(leak.at_ms)} for leak in leaks),
        },
    )
