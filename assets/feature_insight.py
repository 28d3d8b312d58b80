"""Features, looked at: how they are distributed, which say the same, which might go."""

from dataclasses import asdict

import dagster as dg

from kernel.features.registry import FEATURES
from orchestration.partitions import cutoff_ms, months_read, symbol, symbol_by_week
from orchestration.presentation.metadata import picture, span, table
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.research_settings import ResearchSettings
from research.datasets.files import TrainingSet
from research.features.files import PicturedReport
from research.training.selection import Proposals

GROUP = "datasets"


@dg.asset(
    key=[GROUP, "feature_report"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={"training_set": dg.AssetIn(["datasets", "training_set"])},
    deps=[dg.AssetDep(["features", "matrix"], partition_mapping=months_read)],
)
def report(
    context: dg.AssetExecutionContext,
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
    training_set: TrainingSet,
) -> dg.MaterializeResult[PicturedReport]:
    """Hold every feature's distribution per month, its shift, where it is constant, its likes."""
    from research.features import files as feature_files
    from research.features import report as feature_report

    chosen = settings.load()
    built = training_set.table
    frame = feature_store.read(symbol(context), FEATURES, cutoff_ms(context))
    columns = feature_files.rows_of(frame, FEATURES, built, chosen.bar_ms)
    found = feature_files.report(columns, built, chosen.validation)
    made = feature_files.pictured(found)
    moved = [one for one in feature_report.shifts(found.months) if one["drifted"]]
    return dg.MaterializeResult(
        value=made,
        metadata={
            "dagster/row_count": len(columns.open_time_ms),
            "features": len(FEATURES),
            "training_window": span(*found.learned_ms),
            **{n.removesuffix(".png"): picture(png, n) for n, png in made.pictures.items()},
            "drifted": table({k: v for k, v in one.items() if k != "drifted"} for one in moved),
            "constant": table(found.constants.to_dict("records")),
            "collinear": table(asdict(one) for one in found.alike.clusters),
        },
    )


@dg.asset_check(asset=[GROUP, "feature_report"], partitions_def=symbol_by_week)
def features_stay_within_their_ranges(report: PicturedReport) -> dg.AssetCheckResult:
    """No value of any feature lies outside the range that the registry states."""
    from research.features import report as feature_report

    outside = feature_report.out_of_range(report.months)
    return dg.AssetCheckResult(
        passed=not outside,
        description=f"found {sum(outside.values())} values out of range in {len(outside)} features"
        ", expected none" + "".join(f": {name} has {n}" for name, n in list(outside.items())[:1]),
        metadata={"outside": table({"feature": k, "values": v} for k, v in outside.items())},
    )


@dg.asset(
    key=[GROUP, "feature_proposals"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={"training_set": dg.AssetIn(["datasets", "training_set"])},
)
def proposals(
    settings: dg.ResourceParam[ResearchSettings], training_set: TrainingSet
) -> dg.MaterializeResult[Proposals]:
    """Hold what earlier folds made of the features, for a person to read: nothing is removed."""
    from research.training import selection as feature_selection
    from research.training import selection_pictures

    chosen = settings.load()
    inside = feature_selection.inner(training_set.table, chosen.validation)
    found = feature_selection.propose(
        inside,
        chosen.models.selector,
        seed=chosen.models.stack.seed,
        n_jobs=chosen.models.stack.n_jobs,
        memory_rows=feature_selection.memory_rows(chosen),
    )
    return dg.MaterializeResult(
        value=found,
        metadata={
            "dagster/row_count": found.rows,
            "looks": found.looks,
            "window": span(*found.window_ms),
            "proposed": ", ".join(found.removed) or "none",
            "proposals": picture(selection_pictures.proposals_png(found), "proposals"),
            "groups": table(found.group_rows()),
            "strengths": table(found.feature_rows()),
        },
    )
