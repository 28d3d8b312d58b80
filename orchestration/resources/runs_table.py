"""The table of runs in MLflow with the columns that a person compares, behind one address."""

import json
from typing import Any

import httpx

from orchestration.resources.tracking import (
    ANSWER_TIMEOUT,
    EXPERIMENT,
    EXPERIMENT_KIND,
    TrackingUnreachableError,
)

COLUMNS = (
    "tags.`gate`",
    "metrics.`skill`",
    "metrics.`score`",
    "metrics.`worst_fold_profit_factor`",
    "metrics.`max_drawdown`",
    "metrics.`calibration_mae`",
    "metrics.`champion_score`",
    "metrics.`score_delta`",
)
VIEW = "tidegate"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"  # where MLflow's own *Share* button keeps a view


def runs_table(uri: str) -> str:
    """Return the address of the table of runs on the MLflow server at `uri`.

    The experiment and the view are made where they are absent. Without the view MLflow shows no
    column of ours until a person has chosen them. Raises TrackingUnreachableError.
    """
    try:
        with httpx.Client(base_url=f"{uri}/api/2.0/mlflow", timeout=ANSWER_TIMEOUT) as client:
            experiment = _experiment(client)
            body = {"experiment_id": experiment, "key": VIEW_TAG, "value": json.dumps(view())}
            client.post("/experiments/set-experiment-tag", json=body).raise_for_status()
    except httpx.HTTPError as error:
        raise TrackingUnreachableError(
            f"MLflow at {uri}: found {error!r}, expected it to answer; look at its log"
        ) from error
    return f"{uri}/#/experiments/{experiment}/runs?viewStateShareKey={VIEW}"


def view() -> dict[str, Any]:
    """Return what MLflow's page of runs is told to show: our columns, in their order."""
    return {
        "selectedColumns": list(COLUMNS),
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
    }


def _experiment(client: httpx.Client) -> str:
    """Return the id of the experiment, which the first retrain would make otherwise."""
    asked = {"experiment_name": EXPERIMENT}
    found = client.get("/experiments/get-by-name", params=asked)
    if found.status_code == httpx.codes.NOT_FOUND:
        kind = [{"key": key, "value": value} for key, value in EXPERIMENT_KIND.items()]
        made = client.post("/experiments/create", json={"name": EXPERIMENT, "tags": kind})
        if made.is_success:
            return str(made.json()["experiment_id"])
        found = client.get("/experiments/get-by-name", params=asked)  # another was faster
    return str(found.raise_for_status().json()["experiment"]["experiment_id"])
