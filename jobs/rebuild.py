"""A published bundle made again from its inputs, to see that it is the one that they give."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from orchestration.partitions import week_key
from orchestration.queue import LONG
from orchestration.resources.evidence import EvidenceReader
from orchestration.resources.failures import failures
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.research_settings import ResearchSettings


class RebuildConfig(dg.Config):
    """Name the bundle to make again by its digest."""

    digest: str


@dg.op
@failures()
def rebuild_bundle(
    context: dg.OpExecutionContext,
    config: RebuildConfig,
    evidence: dg.ResourceParam[EvidenceReader],
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
) -> None:
    """Train and seal again what the manifest names, and fail where the digest is another."""
    from kernel.bundle import MANIFEST
    from kernel.manifest import Manifest
    from research.bundles.rebuild import rebuild
    from research.datasets.files import TrainingSet
    from research.features.certificate import LeakCertificate
    from research.gates.gates import GateReport

    folder = evidence.bundles.path(config.digest)
    manifest = Manifest.from_bytes((folder / MANIFEST).read_bytes())
    partition = week_key(manifest.symbol, week_of(manifest.cutoff_ms))
    stored = evidence.stored
    chosen = settings.load()
    with tempfile.TemporaryDirectory() as root:
        found = rebuild(
            manifest,
            Path(root),
            training_set=stored.read(
                dg.AssetKey(["datasets", "training_set"]), partition, TrainingSet
            ),
            report=stored.read(dg.AssetKey(["gates", "report"]), partition, GateReport),
            certificate=stored.read(
                dg.AssetKey(["features", "certificate"]), partition, LeakCertificate
            ),
            cutoff=feature_store.snapshot(manifest.symbol, manifest.cutoff_ms, chosen.bar_ms),
            settings=chosen,
        )
    if found.digest != config.digest:
        raise dg.Failure(
            f"bundle: found {found.digest} made again, expected {config.digest}; what differs: "
            f"{', '.join(found.differing)}",
            allow_retries=False,
        )
    context.add_output_metadata({"digest": found.digest})


def week_of(cutoff_ms: int) -> str:
    """Return the Sunday that began the week in which the last bar before a cutoff opened."""
    day = datetime.fromtimestamp((cutoff_ms - 1) / 1000, UTC)
    return f"{day - timedelta(days=(day.weekday() + 1) % 7):%Y-%m-%d}"


@dg.job(
    tags=LONG,
    executor_def=dg.in_process_executor,
    description="Make a bundle again from what its manifest names, and compare the digests.",
)
def rebuild_job() -> None:
    """Rebuild."""
    rebuild_bundle()
