"""Monitoring: what the live runner decided and traded, held against the lake and the backtest."""

from pathlib import Path

import dagster as dg

from market_data.storage.lake import Lake
from orchestration.partitions import live_window, symbol, symbol_by_live_week
from orchestration.presentation.metadata import figures, span, table
from orchestration.resources.journal import JournalFile
from orchestration.resources.research_settings import ResearchSettings

GROUP = "monitoring"


@dg.asset(key=[GROUP, "live_decisions"], group_name=GROUP, partitions_def=symbol_by_live_week)
def live_decisions(
    context: dg.AssetExecutionContext, journal: dg.ResourceParam[JournalFile]
) -> dg.MaterializeResult:
    """Hold every bar the runner decided in the week: features, probabilities, order, account."""
    window = live_window(context)
    frame = journal.decisions(window)
    times = frame["open_time_ms"]
    return dg.MaterializeResult(
        value=frame,
        metadata={
            "dagster/row_count": len(frame),
            "span": span(int(times.min()), int(times.max())) if len(frame) else "no decisions",
            "bundles": ", ".join(one[:12] or "rules" for one in frame["bundle_digest"].unique()),
            **figures({"latency_p99_us": float(frame["latency_us"].quantile(0.99))}),
            "reasons": table(
                {"reason": k, "bars": n} for k, n in frame["reason"].value_counts().items()
            ),
        },
    )


@dg.asset(key=[GROUP, "live_trades"], group_name=GROUP, partitions_def=symbol_by_live_week)
def live_trades(
    context: dg.AssetExecutionContext, journal: dg.ResourceParam[JournalFile]
) -> dg.MaterializeResult:
    """Hold the trades that the runner closed on paper in the week, after fees and funding."""
    frame = journal.trades(live_window(context))
    return dg.MaterializeResult(
        value=frame,
        metadata={
            "dagster/row_count": len(frame),
            **figures(
                {
                    "wins": int((frame["pnl"] > 0).sum()),
                    "pnl": float(frame["pnl"].sum()),
                    "fees": float(frame["fees"].sum()),
                    "funding": float(frame["funding"].sum()),
                }
            ),
        },
    )


@dg.asset_check(asset=[GROUP, "live_decisions"], blocking=True)
def live_features_match_the_lake(
    context: dg.AssetCheckExecutionContext,
    journal: dg.ResourceParam[JournalFile],
    lake: dg.ResourceParam[Lake],
    settings: dg.ResourceParam[ResearchSettings],
) -> dg.AssetCheckResult:
    """Features computed again from the lake equal those that decided, to the byte.

    Bars of the last two hours may still be on their way into the lake.
    """
    bar_ms = settings.universe().bar_ms
    audit = journal.audit_features(lake, live_window(context), bar_ms)
    return dg.AssetCheckResult(
        passed=not audit.overdue and not audit.differing_bytes,
        description=f"{audit.differing_bytes} bytes differ in {audit.compared} of "
        f"{audit.decisions} decisions, expected 0; {audit.absent} bars are not in the lake"
        + (": ingest their month first" if audit.overdue else ""),
        metadata={
            "decisions": audit.decisions,
            "bars_the_next_ingest_brings": audit.absent - audit.overdue,
            "differing_bytes": audit.differing_bytes,
            "features": ", ".join(audit.features) or "none",
            "first_difference": _moment(audit.first_open_time_ms),
        },
    )


@dg.asset_check(asset=[GROUP, "live_trades"], blocking=True)
def live_trades_replay_exactly(
    context: dg.AssetCheckExecutionContext, journal: dg.ResourceParam[JournalFile]
) -> dg.AssetCheckResult:
    """The backtest's step makes the same trades of the journal, from its first bar, to the byte."""
    from research.backtest.replay import replay

    name = symbol(context)
    found = [one for one in replay(Path(journal.path)).symbols if one.symbol == name]
    differing = sum(one.differing_bytes for one in found)
    decisions = sum(one.decisions for one in found)
    return dg.AssetCheckResult(
        passed=differing == 0,
        description=f"{differing} bytes differ in {decisions} decisions replayed, expected 0",
        metadata={
            "decisions": decisions,
            "trades": sum(one.trades for one in found),
            "differing_bytes": differing,
            "first_difference": _moment(found[0].first_difference_ms if found else None),
        },
    )


def _moment(time_ms: int | None) -> str:
    return "none" if time_ms is None else span(time_ms, time_ms)[:16]
