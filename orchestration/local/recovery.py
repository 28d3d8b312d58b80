"""Bring the state back in order after a run that was killed in the middle."""

from pathlib import Path

from orchestration.environments import Environment

LEFT = (
    "found it unfinished at start, when nothing could be working on it: the steps that had not "
    "ended run again"
)


def recover(environment: Environment) -> list[str]:
    """Fail the Dagster runs that a killed process left open and delete half-written files.

    Call it only while no service runs. Returns one sentence per thing that was put right.
    """
    return [*_fail_open_runs(environment), *_delete_half_files(environment)]


def half_written(home: Path) -> list[Path]:
    """Return temporary files of atomic writes that were never completed."""
    folders = (home / "lake", home / "bundles", home / "promotion")
    return sorted(
        path
        for folder in folders
        if folder.exists()
        for path in folder.rglob("*.tmp*")
        if path.is_file()
    )


def _delete_half_files(environment: Environment) -> list[str]:
    left = half_written(environment.home)
    for path in left:
        path.unlink()
    return [
        f"deleted {path.relative_to(environment.home)}, a write that was cut off" for path in left
    ]


def _fail_open_runs(environment: Environment) -> list[str]:
    import dagster as dg

    open_states = [
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    with dg.DagsterInstance.from_config(str(environment.home / "dagster")) as instance:
        runs = instance.get_runs(dg.RunsFilter(statuses=open_states))
        for run in runs:
            instance.report_run_failed(run, LEFT)
    return [f"closed run {run.run_id} of {run.job_name}: {LEFT}" for run in runs]
