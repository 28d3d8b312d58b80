"""Labels: what a trade opened after each bar would have come to."""

import dagster as dg

from kernel.decision import CLASSES
from market_data.storage.lake import Lake
from orchestration.partitions import cutoff_ms, months_read, symbol, symbol_by_week
from orchestration.presentation.metadata import figures, table
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.research_settings import ResearchSettings
from research.datasets.matrix import LabelledBars

GROUP = "labels"
MIN_SHARE = 0.01  # of each side that can be traded; HOLD may be rare, as under near barriers


@dg.asset(
    key=[GROUP, "triple_barrier"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    deps=[dg.AssetDep(["features", "matrix"], partition_mapping=months_read)],
)
def triple_barrier(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
) -> dg.MaterializeResult[LabelledBars]:
    """Hold each bar's label and the span it looks at; -1 where the data end before it resolves."""
    from research.datasets import matrix as tables
    from research.labels import triple_barrier as barriers

    chosen = settings.load()
    name = symbol(context)
    until_ms = cutoff_ms(context)
    bars = lake.bars(name, until_ms)
    atr = tables.atr(tables.rows_of(feature_store.read(name, ["atr_14"], until_ms), bars))
    found = barriers.triple_barrier(bars, atr, chosen.labels, chosen.bar_ms)
    return dg.MaterializeResult(
        value=LabelledBars(open_time_ms=bars.open_time_ms, labels=found),
        metadata={
            "dagster/row_count": len(bars),
            "unresolved": int((~found.valid).sum()),
            "shares": table(
                {"label": label, "share": float((found.label == label).mean())}
                for label in sorted(set(found.label.tolist()))
            ),
        },
    )


@dg.asset_check(asset=[GROUP, "triple_barrier"], blocking=True, partitions_def=symbol_by_week)
def labels_end_by_the_cutoff_and_name_every_class(
    context: dg.AssetCheckExecutionContext, labelled: LabelledBars
) -> dg.AssetCheckResult:
    """Resolved labels end after their decision and by the cutoff; neither side is nearly empty.

    Barriers nearer than a horizon's move leave next to no HOLD: the stack learns it as a class of
    that share, and of none at all.
    """
    found = labelled.labels
    resolved = found.label[found.valid]
    end_ms = found.end_ms[found.valid]
    late = int((end_ms > cutoff_ms(context)).sum())
    early = int((end_ms <= found.start_ms[found.valid]).sum())
    shares = {
        name: float((resolved == label).mean()) if len(resolved) else 0.0
        for label, name in enumerate(CLASSES)
    }
    rare = [name for name in ("SELL", "BUY") if not shares[name] >= MIN_SHARE]
    return dg.AssetCheckResult(
        passed=not (late or early or rare),
        description=f"{late} labels end after the cutoff, {early} before their decision; "
        f"sides below {MIN_SHARE:.0%}: {', '.join(rare) or 'none'}, expected none"
        + (": in labels.yaml bring take_profit_atr and stop_loss_atr together" if rare else ""),
        metadata=figures({"resolved": len(resolved), "late": late, "early": early, **shares}),
    )
