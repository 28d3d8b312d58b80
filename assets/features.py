"""Features: one row per bar, made of what was known at its close, and the proof that it was."""

from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg

from kernel.features.registry import GROUPS
from market_data.quality.lags import earliest_by_series
from market_data.storage.lake import Lake
from market_data.window import moment
from orchestration.partitions import (
    cutoff_ms,
    month_windows,
    months_read,
    symbol,
    symbol_by_month,
    symbol_by_week,
)
from orchestration.presentation.metadata import table
from orchestration.resources.blocking_checks import require_raw_green
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.research_settings import ResearchSettings
from research.features.certificate import LeakCertificate

GROUP = "features"
OBSERVED = (
    "candles",
    "minute_candles",
    "mark_candles",
    "index_candles",
    "funding",
    "open_interest",
    "fear_greed",
    "onchain",
    "trades",
    "depth",
)
GROUP_NAMES = tuple(group.name for group in GROUPS)
CUTS = 24
CERTIFIED_BARS = 3_000
SAMPLED_BARS = 200
MOST_SHOWN = 20


@dg.asset(
    key=[GROUP, "matrix"],
    group_name=GROUP,
    partitions_def=symbol_by_month,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[["market", name] for name in OBSERVED],
)
def matrix(
    context: dg.AssetExecutionContext,
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
) -> dg.MaterializeResult:
    """Hold open_time_ms, close and every feature of the months' bars, and the state after each."""
    require_raw_green(context, OBSERVED)
    universe = settings.universe()
    written = feature_store.write(month_windows(context), universe.bar_ms)
    lowest = {name: 1.0 for one in written for name in one.coverage}
    for one in written:
        lowest = {name: min(share, one.coverage[name]) for name, share in lowest.items()}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(one.rows for one in written),
            "months": table(
                {"symbol": one.symbol, "month": one.month, "rows": one.rows, "changed": one.changed}
                for one in written
            ),
            "coverage": table({"feature": k, "lowest share": v} for k, v in lowest.items()),
        },
    )


@dg.asset(
    key=[GROUP, "certificate"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    deps=[dg.AssetDep([GROUP, "matrix"], partition_mapping=months_read)],
)
def certificate(
    context: dg.AssetExecutionContext,
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
) -> dg.MaterializeResult[LeakCertificate]:
    """Hold, per feature, how often its past changed when its future was cut off or scrambled."""
    from research.features import certificate as leak_certificate

    name = symbol(context)
    until_ms = cutoff_ms(context)
    bar_ms = settings.universe().bar_ms
    observed, state = feature_store.recent(name, until_ms, bar_ms, CERTIFIED_BARS)
    found = leak_certificate.certificate(
        observed, state, symbol=name, cutoff_ms=until_ms, cuts=CUTS, seed=until_ms
    )
    silent = [one.feature for one in found.features if not one.values]
    return dg.MaterializeResult(
        value=found,
        metadata={
            "dagster/row_count": len(found.features),
            "mismatches": sum(one.mismatches for one in found.features),
            "proves_nothing": ", ".join(silent) or "none",
            "certificates": table(asdict(one) | {"hash": one.hash[:12]} for one in found.features),
        },
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            f"{group}_never_sees_the_future",
            asset=[GROUP, "certificate"],
            blocking=True,
            partitions_def=symbol_by_week,
            description=f"No feature of the group {group} changes when its future is cut off or "
            "scrambled.",
        )
        for group in GROUP_NAMES
    ],
    ins={"found": dg.AssetIn([GROUP, "certificate"])},
    can_subset=True,
)
def no_group_sees_the_future(
    context: dg.AssetCheckExecutionContext, found: LeakCertificate
) -> Iterator[dg.AssetCheckResult]:
    """Read each group's verdict off the certificate."""
    asked = {check.name for check in context.selected_asset_check_keys}
    for group in GROUP_NAMES:
        if f"{group}_never_sees_the_future" not in asked:
            continue
        leaks = found.leaking(group)
        silent = found.unproved(group)
        yield dg.AssetCheckResult(
            asset_key=[GROUP, "certificate"],
            check_name=f"{group}_never_sees_the_future",
            passed=not leaks,
            description=", ".join(f"{one.feature} changes with its future" for one in leaks)
            or f"nothing changed; without a value, so unproved: {', '.join(silent) or 'none'}",
            metadata={
                "proof": table(
                    {
                        "feature": one.feature,
                        "cuts": one.cuts,
                        "values": one.values,
                        "mismatches": one.mismatches,
                    }
                    for one in found.of_group(group)
                ),
            },
        )


@dg.asset_check(asset=[GROUP, "certificate"], blocking=True, partitions_def=symbol_by_week)
def observations_hold_only_what_was_known(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    settings: dg.ResourceParam[ResearchSettings],
) -> dg.AssetCheckResult:
    """No row counts as known before it could be, and no bar holds one known after its close."""
    from kernel.observation import Market, observe
    from research.features.leaks import known_too_early, ticked_too_early, used_too_early

    universe = settings.universe()
    until_ms = cutoff_ms(context)
    name = symbol(context)
    bar_ms = universe.bar_ms
    drawn = {"samples": SAMPLED_BARS, "seed": until_ms}
    market = Market(lake.bars(name, until_ms), lake.series(name, until_ms))
    early = known_too_early(market.series, earliest_by_series(universe))
    close_ms = market.bars.open_time_ms + bar_ms
    used = used_too_early(observe(market, bar_ms), close_ms, market.series, **drawn)
    recent = lake.market(name, until_ms, until_ms - CERTIFIED_BARS * bar_ms)
    used += ticked_too_early(observe(recent, bar_ms), recent, bar_ms, **drawn)
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
            "rows": sum(len(rows.value) for rows in market.series.values()),
            "bars_drawn_per_series": 3 * SAMPLED_BARS,
            "leaks": table(asdict(leak) | {"at_ms": moment(leak.at_ms)} for leak in leaks),
        },
    )
