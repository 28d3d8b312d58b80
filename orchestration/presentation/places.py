"""Where a person goes from a page: addresses within Dagster, whatever host it is served from."""

from urllib.parse import quote, urlencode

import yaml

LOCATION = "tidegate"  # the name in workspace.yaml


def approval_page(request_id: str) -> str:
    """Return the Launchpad that approves a request: all but the person's name is filled in."""
    config = {"request_id": request_id, "approver": "", "note": ""}
    return launchpad("approve_promotion_job", {"ops": {"approve_promotion": {"config": config}}})


def launchpad(job: str, config: object) -> str:
    """Return the Launchpad of a job with a run configuration to start from."""
    text = yaml.safe_dump(config, sort_keys=False)
    query = urlencode({"config": text}, quote_via=quote)
    return f"/locations/{LOCATION}/jobs/{job}/playground/setup?{query}"
