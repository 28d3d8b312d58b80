"""Looks at the features that a person asks for; nothing else rests on them."""

import dagster as dg

from orchestration.queue import LONG

feature_proposals_job = dg.define_asset_job(
    "feature_proposals_job",
    selection=dg.AssetSelection.assets(["datasets", "feature_proposals"]),
    executor_def=dg.in_process_executor,
    tags=LONG,
    description="Propose features to remove, on the folds before the gates of one symbol and week.",
)
