"""A search for better settings of one base, launched by a person; nothing else rests on it."""

import dagster as dg

from orchestration.queue import LONG

tuning_job = dg.define_asset_job(
    "tuning_job",
    selection=dg.AssetSelection.assets(["training", "search"]),
    executor_def=dg.in_process_executor,
    tags=LONG,
    description="Search settings of one base on the folds before the gates of one symbol and week; "
    "what it finds is a proposal, which `tidegate tune --adopt` writes into configs.",
)
