"""Monitor: the runner's journal as assets, one symbol and week per run."""

import dagster as dg

monitor_job = dg.define_asset_job(
    "monitor_job",
    selection=dg.AssetSelection.groups("monitoring"),
    description="Bring live decisions and trades into the lake and check them.",
)
