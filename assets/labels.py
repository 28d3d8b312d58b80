"""Labels: what a trade opened after each bar would have come to."""

from typing import Any

import dagster as dg

from market_data.storage.lake import Lake
from orchestration.partitions import cutoff_ms, months_read, symbol, symbol_by_week
from orchestration.presentation.metadata import table
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.research_settings import ResearchSettings

GROUP = "labels"
MIN_SHARE = 0.01


@dg.asset(
    key=[GROUP, "triple_barrier"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    deps=[dg.AssetDep(["features", "matrix"], partition_mapping=months_read)],
)
def triple_barrier(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    feature_store: FeatureStore,
    settings: ResearchSettings,
) -> dg.MaterializeResult:
    """Hold each bar's label and the span it looks at; -1 where the data end before it resolves."""
    from research.datasets import matrix as tables
    from research.labels import triple_barrier as labels

    chosen = settings.load()
    name, until_ms = symbol(context), cutoff_ms(context)
    bars = lake.bars(name, until_ms)
    atr = tables.atr(tables.rows_of(feature_store.read(name, ["atr_14"], until_ms), bars))
    found = labels.triple_barrier(bars, atr, chosen.labels, chosen.bar_ms)
    frame = tables.label_frame(bars, found)
    shares = frame["label"].value_counts(normalize=True).sort_index()
    return dg.MaterializeResult(
        value=frame,
        metadata={
            "dagster/row_count": len(frame),
            "unresolved": int((~found.valid).sum()),
            "shares": table({"label": key, "share": float(part)} for key, part in shares.items()),
        },
    )


@dg.asset_check(asset=[GROUP, "triple_barrier"], blocking=True, partitions_def=symbol_by_week)
def labels_end_by_the_cutoff_and_name_every_class(
    context: dg.AssetCheckExecutionContext, labels: Any
) -> dg.AssetCheckResult:
    """Resolved labels end after their decision and by the cutoff; no class is nearly empty."""
    resolved = labels[labels["label"] >= 0]
    late = int((resolved["end_ms"] > cutoff_ms(context)).sum())
    early = int((resolved["end_ms"] <= resolved["start_ms"]).sum())
    shares = {name: float((resolved["label"] == name).mean()) for name in range(3)}
    rare = [name for name, share in shares.items() if not share >= MIN_SHARE]
    return dg.AssetCheckResult(
        passed=not (late or early or rare),
        description=f"{late} labels end after the cutoff, {early} before their decision; "
        f"classes below {MIN_SHARE:.0%}: {rare}",
        metadata={"resolved": len(resolved), "late": late, "early": early},
    )
