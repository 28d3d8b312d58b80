"""Datasets: what a training run reads, rows and columns settled and digested."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from kernel.features.registry import feature_hash
from market_data.storage.lake import Lake
from orchestration.partitions import cutoff_ms, months_read, symbol, symbol_by_week
from orchestration.presentation.metadata import short, span, table
from orchestration.resources.blocking_checks import require_green
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.research_settings import ResearchSettings
from research.datasets.files import TrainingSet
from research.datasets.matrix import LabelledBars
from research.features.certificate import LeakCertificate

if TYPE_CHECKING:
    from research.datasets.coverage import SeriesShare

GROUP = "datasets"


@dg.asset(
    key=[GROUP, "training_set"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={"labelled": dg.AssetIn(["labels", "triple_barrier"])},
    deps=[
        dg.AssetDep(["features", "matrix"], partition_mapping=months_read),
        ["features", "certificate"],
    ],
)
def training_set(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
    labelled: LabelledBars,
) -> dg.MaterializeResult[TrainingSet]:
    """Hold the warm rows, the covered features, and when each label was known and ceased."""
    from research.datasets import matrix as tables
    from research.datasets import table as dataset

    require_green(context)
    chosen = settings.load()
    name = symbol(context)
    until_ms = cutoff_ms(context)
    names = chosen.features
    bars = lake.bars(name, until_ms)
    data_digest = lake.digest(name, until_ms)
    rows = tables.rows_of(feature_store.read(name, names, until_ms), bars)
    values = tables.feature_values(rows, names)
    built = dataset.build(
        bars=bars,
        features=values,
        labels=labelled.labels,
        feature_names=names,
        settings=chosen.validation,
        bar_ms=chosen.bar_ms,
        silent_bars=chosen.silent_bars,
    )
    return dg.MaterializeResult(
        value=TrainingSet(table=built, data_digest=data_digest),
        metadata={
            "dagster/row_count": len(built.y),
            "not_learned_for_a_hole": built.let_out,
            "features": len(built.feature_names),
            "feature_hash": short(feature_hash(built.feature_names)),
            "left_out": ", ".join(built.left_out) or "none",
            "span": span(int(built.start_ms[0]), built.cutoff_ms),
            "digest": short(built.digest),
            "data_digest": short(data_digest),
            "coverage": table({"feature": k, "lowest share": v} for k, v in built.coverage.items()),
        },
    )


@dg.asset_check(asset=[GROUP, "training_set"], blocking=True, partitions_def=symbol_by_week)
def training_set_reaches_the_cutoff(
    context: dg.AssetCheckExecutionContext, training_set: TrainingSet
) -> dg.AssetCheckResult:
    """The last row is decided at the week's end: no week is trained on that was not ingested."""
    built = training_set.table
    found = span(built.cutoff_ms, cutoff_ms(context))
    return dg.AssetCheckResult(
        passed=built.cutoff_ms == cutoff_ms(context),
        description=f"last close … cutoff: found {found}, expected one moment: ingest it first",
        metadata={"rows": len(built.y)},
    )


@dg.asset_check(asset=[GROUP, "training_set"], blocking=True, partitions_def=symbol_by_week)
def training_set_rests_on_the_market_as_it_is(
    context: dg.AssetCheckExecutionContext,
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
    training_set: TrainingSet,
) -> dg.AssetCheckResult:
    """The features, computed again from the lake in one pass, are those of the store to the byte,
    and so are the ATR of labels and stops and the state that a bundle would start from.
    """
    chosen = settings.load()
    name = symbol(context)
    bar_ms = chosen.bar_ms
    until_ms = cutoff_ms(context)
    rested_on = tuple(dict.fromkeys((*chosen.features, "atr_14")))
    found = feature_store.difference(name, rested_on, until_ms, bar_ms)
    where = f", in {found.month} first" if found.month else ""
    return dg.AssetCheckResult(
        passed=not (found.bytes or found.state),
        description=f"found {found.bytes} differing bytes in {found.compared} rows{where}"
        f"{' and another state' if found.state else ''}, expected 0: else materialize "
        "features/matrix again from that month on",
        metadata={
            "differing_bytes": found.bytes,
            "rows_compared": found.compared,
            "rows_of_one_side": found.rows,
            "features_that_differ": ", ".join(found.features) or "none",
            "first_month": found.month or "none",
            "data_digest": short(training_set.data_digest),
        },
    )


@dg.asset_check(
    asset=[GROUP, "training_set"],
    additional_ins={"certificate": dg.AssetIn(["features", "certificate"])},
    blocking=True,
    partitions_def=symbol_by_week,
)
def every_feature_carries_its_proof(
    training_set: TrainingSet, certificate: LeakCertificate
) -> dg.AssetCheckResult:
    """What entered has a certificate of today's code: with values, and without one mismatch."""
    names = training_set.table.feature_names
    found = certificate.faults(names)
    return dg.AssetCheckResult(
        passed=not found,
        description=f"{len(found)} of {len(names)} features lack their proof, expected none"
        + "".join(f": {name} {fault}" for name, fault in list(found.items())[:1]),
        metadata={"faults": table({"feature": k, "fault": v} for k, v in found.items())},
    )


@dg.asset_check(
    asset=[GROUP, "training_set"],
    additional_ins={"labelled": dg.AssetIn(["labels", "triple_barrier"])},
    blocking=True,
    partitions_def=symbol_by_week,
)
def no_training_label_meets_a_test_span(
    settings: dg.ResourceParam[ResearchSettings], training_set: TrainingSet, labelled: LabelledBars
) -> dg.AssetCheckResult:
    """In every fold of the walk-forward pass the training labels end before the test rows begin."""
    from research.datasets import table as dataset

    built = training_set.table
    # Folds are drawn from the ends that the set records: by those alone nothing could ever meet.
    ends_ms = labelled.labels.end_ms[built.bar]
    folds = dataset.blocks(built.start_ms, built.end_ms, settings.load().validation)
    rows = [
        {
            "fold": k,
            "train rows": len(fold.train),
            "test rows": len(fold.test),
            "meeting": int((ends_ms[fold.train] > fold.test_start_ms).sum()),
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
    context: dg.AssetCheckExecutionContext,
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
    training_set: TrainingSet,
) -> dg.AssetCheckResult:
    """What a feature is made of has values in nearly every row of every fold's windows."""
    from research.datasets import coverage
    from research.datasets import table as dataset

    chosen = settings.load()
    name = symbol(context)
    until_ms = cutoff_ms(context)
    built = training_set.table
    observed = feature_store.observed(name, 0, until_ms, chosen.bar_ms)[built.bar]
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


@dg.asset_check(asset=[GROUP, "training_set"], blocking=True, partitions_def=symbol_by_week)
def chosen_features_change_in_every_fold(
    settings: dg.ResourceParam[ResearchSettings], training_set: TrainingSet
) -> dg.AssetCheckResult:
    """No feature that entered is one and the same value in all that a fold learns from."""
    from research.datasets import table as dataset
    from research.features.report import Columns, constants

    built = training_set.table
    columns = Columns(built.start_ms, built.x.astype("float64"), built.feature_names)
    folds = dataset.blocks(built.start_ms, built.end_ms, settings.load().validation)
    found = constants(columns, folds)
    names = list(dict.fromkeys(found["feature"]))
    return dg.AssetCheckResult(
        passed=not names,
        description=f"{len(names)} features say nothing in a fold, expected none: a series filled "
        f"with one value, or a feature to take out of the set: {', '.join(names) or 'none'}",
        metadata={"constant": table(found.to_dict("records"))},
    )


def _wide(shares: "list[SeriesShare]") -> list[dict[str, Any]]:
    """Return a record per window, with a share per series; what enters is marked."""
    rows: dict[str, dict[str, Any]] = {}
    for one in shares:
        row = rows.setdefault(one.window, {"window": one.window})
        row[f"{one.series}{'' if one.enters else ' (left out)'}"] = f"{one.share:.1%}"
    return list(rows.values())
