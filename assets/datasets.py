"""Datasets: what a training run reads, rows and columns settled and digested."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.partitions import cutoff_ms, symbol, symbol_by_week
from orchestration.resources.lake import Lake
from orchestration.resources.presentation import span, table
from orchestration.resources.research_settings import ResearchSettings

if TYPE_CHECKING:
    from research.coverage import SeriesShare

GROUP = "datasets"


@dg.asset(
    key=[GROUP, "training_set"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={
        "matrix": dg.AssetIn(["features", "matrix"]),
        "labels": dg.AssetIn(["labels", "triple_barrier"]),
    },
)
def training_set(
    context: dg.AssetExecutionContext,
    lake: Lake,
    settings: ResearchSettings,
    matrix: Any,
    labels: Any,
) -> dg.MaterializeResult:
    """Hold the warm rows, the covered features, the label spans and the weights."""
    from research import dataset, dataset_files
    from research import matrix as tables

    chosen = settings.load()
    bars = lake.bars(symbol(context), cutoff_ms(context))
    data_digest = lake.digest(symbol(context), cutoff_ms(context))
    values, found = tables.feature_values(matrix), tables.labels_of(labels)
    built = dataset.build(bars, values, found, chosen.features, chosen.validation)
    return dg.MaterializeResult(
        value=dataset_files.to_files(built, data_digest),
        metadata={
            "dagster/row_count": len(built.y),
            "features": len(built.feature_names),
            "left_out": ", ".join(built.left_out) or "none",
            "span": span(int(built.start_ms[0]), built.cutoff_ms),
            "digest": built.digest,
            "data_digest": data_digest,
            "coverage": table({"feature": k, "lowest share": v} for k, v in built.coverage.items()),
        },
    )


@dg.asset_check(
    asset=[GROUP, "training_set"],
    additional_ins={"matrix": dg.AssetIn(["features", "matrix"])},
    blocking=True,
    partitions_def=symbol_by_week,
)
def training_set_rests_on_the_market_as_it_is(
    context: dg.AssetCheckExecutionContext,
    lake: Lake,
    settings: ResearchSettings,
    files: Any,
    matrix: Any,
) -> dg.AssetCheckResult:
    """The features, computed again from the lake, are those that the rows were taken from."""
    from research.matrix import feature_matrix

    name, until_ms = symbol(context), cutoff_ms(context)
    bars, series = lake.bars(name, until_ms), lake.series(name, until_ms)
    fresh = feature_matrix(bars, series, settings.load().universe.bar_ms)
    return dg.AssetCheckResult(
        passed=bool(fresh.equals(matrix)),
        description=f"found {len(matrix)} rows of features, expected the {len(fresh)} of the lake "
        "as it is: else materialize features/matrix again",
        metadata={"data_digest": files["data_digest"].decode()},
    )


@dg.asset_check(asset=[GROUP, "training_set"], blocking=True, partitions_def=symbol_by_week)
def no_training_label_meets_a_test_span(
    settings: ResearchSettings, files: Any
) -> dg.AssetCheckResult:
    """In every fold of the walk-forward pass the training labels end before the test rows begin."""
    from research import dataset, dataset_files

    built = dataset_files.from_files(files)
    folds = dataset.blocks(built.start_ms, built.end_ms, settings.load().validation)
    rows = [
        {
            "fold": k,
            "train rows": len(fold.train),
            "test rows": len(fold.test),
            "meeting": int((built.end_ms[fold.train] > fold.test_start_ms).sum()),
            "span": span(fold.test_start_ms, fold.test_end_ms),
        }
        for k, fold in enumerate(folds)
    ]
    meeting = sum(row["meeting"] for row in rows)
    return dg.AssetCheckResult(
        passed=bool(folds) and not meeting,
        description=f"{meeting} training labels meet a test span in {len(folds)} folds",
        metadata={"folds": table(rows)},
    )


@dg.asset_check(asset=[GROUP, "training_set"], blocking=True, partitions_def=symbol_by_week)
def series_cover_every_fold_they_enter(
    context: dg.AssetCheckExecutionContext, lake: Lake, settings: ResearchSettings, files: Any
) -> dg.AssetCheckResult:
    """What a feature is made of has values in nearly every row of every fold's windows."""
    from kernel.observation import observe
    from research import coverage, dataset, dataset_files

    chosen, name, until_ms = settings.load(), symbol(context), cutoff_ms(context)
    built = dataset_files.from_files(files)
    bars, series = lake.bars(name, until_ms), lake.series(name, until_ms)
    observed = observe(bars, series, chosen.universe.bar_ms)[built.bar]
    folds = dataset.blocks(built.start_ms, built.end_ms, chosen.validation)
    shares = coverage.series_shares(observed, folds, built.feature_names)
    least = chosen.validation.min_coverage
    poor = [one for one in shares if one.enters and one.share < least]
    return dg.AssetCheckResult(
        passed=not poor,
        description=f"{len(poor)} windows of series that features are made of are covered by less "
        f"than {least:.0%}, expected none"
        + "".join(f": {one.series} has {one.share:.1%} of {one.window}" for one in poor[:1]),
        metadata={
            "left_out": ", ".join(built.left_out) or "none",
            "coverage": table(_wide(shares)),
        },
    )


def _wide(shares: "list[SeriesShare]") -> list[dict[str, Any]]:
    """Return a record per window, with a share per series; what enters is marked."""
    rows: dict[str, dict[str, Any]] = {}
    for one in shares:
        row = rows.setdefault(one.window, {"window": one.window})
        row[f"{one.series}{'' if one.enters else ' (left out)'}"] = f"{one.share:.1%}"
    return list(rows.values())
