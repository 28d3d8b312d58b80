"""Everything that Dagster knows of Tidegate: the only file that sees all of it."""

from pathlib import Path
from typing import Any

import dagster as dg

import assets
from jobs.features import feature_proposals_job
from jobs.ingest import hourly_ingest_schedule, ingest_job, warehouse_job
from jobs.monitor import daily_monitor_schedule, monitor_job
from jobs.promotion import (
    approve_promotion_job,
    decline_promotion_job,
    publish_promotion_job,
    rollback_job,
)
from jobs.rebuild import rebuild_job
from jobs.retrain import retrain_job, weekly_retrain_schedule
from jobs.tuning import tuning_job
from market_data.quality.data_docs import DataDocs
from market_data.sources.catalogue import Sources
from market_data.storage.lake import Lake
from orchestration.environments import Environment
from orchestration.io_managers import LakeIOManager
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.evidence import EvidenceReader
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.journal import JournalFile
from orchestration.resources.notifier import Notifier
from orchestration.resources.promotion_store import APPROVAL_VALID_HOURS, PromotionStore
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.runner_client import RunnerClient
from orchestration.resources.studies import Studies
from orchestration.resources.tracking import Tracking
from orchestration.resources.trial_ledger import TrialLedger
from orchestration.resources.warehouse import Warehouse
from sensors.approval import approval_sensor
from sensors.failures import failed_check_sensor, failed_run_sensor
from sensors.news import promotion_news_sensor
from sensors.swap import swap_sensor
from sensors.warehouse import warehouse_sensor

RUNNER_TIMEOUT_S = 20.0


@dg.definitions
def defs() -> dg.Definitions:
    """Return the code location in the environment of this process."""
    return code_location(Environment.from_environ())


def code_location(environment: Environment) -> dg.Definitions:
    """Return every asset, check, job, schedule and sensor, bound to one installation."""
    return dg.Definitions(
        assets=dg.load_assets_from_package_module(assets),
        asset_checks=dg.load_asset_checks_from_package_module(assets),
        jobs=[
            ingest_job,
            warehouse_job,
            retrain_job,
            monitor_job,
            feature_proposals_job,
            tuning_job,
            approve_promotion_job,
            decline_promotion_job,
            publish_promotion_job,
            rollback_job,
            rebuild_job,
        ],
        schedules=[hourly_ingest_schedule, weekly_retrain_schedule, daily_monitor_schedule],
        sensors=[
            approval_sensor,
            swap_sensor,
            warehouse_sensor,
            failed_run_sensor,
            failed_check_sensor,
            promotion_news_sensor,
        ],
        resources={name: bound(one) for name, one in resources(environment).items()},
        executor=dg.in_process_executor,  # a process per step costs more than most steps
    )


def bound(resource: Any) -> dg.ResourceDefinition:
    """Return a resource that no run configures: whoever launches one is refused another policy."""
    make = dg.IOManagerDefinition if isinstance(resource, dg.IOManager) else dg.ResourceDefinition
    return make(resource_fn=lambda _: resource, config_schema={})


def resources(environment: Environment) -> dict[str, Any]:
    """Return every resource, bound to one installation."""
    home = environment.home.resolve()
    configs = str(environment.config_dir.resolve())
    lake = Lake(root=environment.lake_root)
    stored = LakeIOManager(root=environment.lake_root)
    bundles = BundleStore(home=str(home))
    trials = TrialLedger(home=str(home))
    recordings = str(environment.recordings_dir.resolve())
    sources = Sources(folder=configs, venue_url=environment.venue_url, recordings=recordings)
    return {
        "io_manager": stored,
        "lake": lake,
        "feature_store": FeatureStore(lake=lake),
        "sources": sources,
        "market_clock": Sources(  # the schedule has no time to wait
            folder=configs, venue_url=environment.venue_url, attempts=1
        ),
        "data_docs": DataDocs(folder=str(home / "data_docs")),
        "settings": ResearchSettings(folder=configs),
        "bundles": bundles,
        "evidence": EvidenceReader(lake=lake, stored=stored, bundles=bundles, trials=trials),
        "trial_ledger": trials,
        "studies": Studies(home=str(home), database_url=environment.database_url),
        "promotion_store": PromotionStore(
            home=str(home), approval_valid_hours=APPROVAL_VALID_HOURS
        ),
        "tracking": Tracking(
            uri=environment.mlflow_uri, artifacts=str(home / "mlflow" / "artifacts")
        ),
        "runner": RunnerClient(
            url=environment.runner_url,
            token_file=str(home / "keys" / "admin.token"),
            timeout_s=RUNNER_TIMEOUT_S,
        ),
        "journal": JournalFile(path=str(environment.journal_file.resolve())),
        "warehouse": Warehouse(
            path=str(environment.warehouse_file.resolve()),
            project_dir=str(Path(__file__).resolve().parents[1] / "dbt_project"),
            configs=configs,
            lake=lake,
            url=environment.warehouse_url,
        ),
        "notifier": Notifier(path=str(home / "notifications.jsonl")),
    }
