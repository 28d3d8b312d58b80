"""Bundles: an accepted candidate as a folder that a runner can verify file by file."""

from collections.abc import Iterator

import dagster as dg

from orchestration.partitions import cutoff_ms, months_read, symbol, symbol_by_week
from orchestration.presentation.metadata import picture, short, table
from orchestration.resources.blocking_checks import gate_refused, require_green
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.research_settings import ResearchSettings
from research.bundles.seal import Sealed
from research.datasets.files import TrainingSet
from research.features.certificate import LeakCertificate
from research.gates.gates import GateReport
from research.training.tracked import TrackedCandidate

GROUP = "bundles"


@dg.asset(
    key=[GROUP, "bundle"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={
        "tracked": dg.AssetIn(["training", "candidate"]),
        "training_set": dg.AssetIn(["datasets", "training_set"]),
        "report": dg.AssetIn(["gates", "report"]),
        "certificate": dg.AssetIn(["features", "certificate"]),
    },
    deps=[dg.AssetDep(["features", "matrix"], partition_mapping=months_read)],
    output_required=False,  # of a candidate that the gate refuses there is none
)
def bundle(
    context: dg.AssetExecutionContext,
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
    bundles: dg.ResourceParam[BundleStore],
    tracked: TrackedCandidate,
    training_set: TrainingSet,
    report: GateReport,
    certificate: LeakCertificate,
) -> Iterator[dg.MaterializeResult[Sealed]]:
    """Hold the digest of the written bundle; the folder under bundles/ carries its name."""
    from research.bundles import seal as sealing
    from research.training.tracked import to_files

    if refusal := gate_refused(context):
        context.log.warning("nothing is bundled or asked: %s", refusal)
        return
    require_green(context)
    name = symbol(context)
    chosen = settings.load()
    written = sealing.seal(
        bundles.root,
        symbol=name,
        tracked=tracked,
        training_set=training_set,
        report=report,
        certificate=certificate,
        cutoff=feature_store.snapshot(name, cutoff_ms(context), chosen.bar_ms),
        settings=chosen,
    )
    bundles.keep_candidate(written.digest, to_files(tracked))
    folder = bundles.path(written.digest)
    sizes = sealing.sizes(folder)
    card, pictures = sealing.card_of(folder)
    yield dg.MaterializeResult(
        value=written,
        metadata={
            "digest": short(written.digest),
            "card": dg.MarkdownMetadataValue(card),
            **{name: picture(png, name) for name, png in pictures.items()},
            "bytes": sum(sizes.values()),
            "inference_cpu_ms": tracked.candidate.cost.cpu_ms,
            "files": table({"file": key, "bytes": size} for key, size in sizes.items()),
        },
    )


@dg.asset_check(asset=[GROUP, "bundle"], blocking=True, partitions_def=symbol_by_week)
def bundle_verifies_before_anyone_signs_it(
    context: dg.AssetCheckExecutionContext,
    bundle: Sealed,
    bundles: dg.ResourceParam[BundleStore],
    settings: dg.ResourceParam[ResearchSettings],
) -> dg.AssetCheckResult:
    """Every file is what the manifest says, and the graph still gives the golden answers."""
    from research.bundles import seal as sealing

    timeframe = settings.universe().timeframe
    folder = bundles.path(bundle.digest)
    broken = sealing.broken_rule(folder, symbol(context), timeframe)
    return dg.AssetCheckResult(
        passed=broken is None,
        description=broken or "verified",
        metadata={"digest": short(bundle.digest)},
    )
