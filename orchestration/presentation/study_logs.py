"""A study as MLflow runs: one parent with its page and figure, a nested run per variant."""

from collections.abc import Mapping

from orchestration.resources.tracking import RunLog
from research.tuning import study_report
from research.tuning.studies import Findings


def study_logs(found: Findings, files: Mapping[str, bytes]) -> tuple[RunLog, list[RunLog]]:
    """Return the parent run of a study with its files, and the run of each variant."""
    study = found.study
    origin = f"study {study.symbol} {study.id}"
    parent = RunLog(
        name=f"study {study.name}",
        params={
            "symbol": study.symbol,
            "weeks": ", ".join(study.weeks),
            "benchmark": study.benchmark,
            "variants": len(study.variants),
        },
        metrics={
            f"spa_p_{one.measure}".replace("-", "_"): one.p_value
            for one in found.comparisons
            if one.p_value is not None
        },
        tags={"kind": "study", "says": " ".join(study_report.sentences(found))},
        files=files,
        origin=origin,
    )
    nested = [
        RunLog(
            name=line.name,
            params={
                "base": study.variants[line.name].base,
                "features": str(study.variants[line.name].features or "of today"),
                "labels": str(study.variants[line.name].labels or "of today"),
                "parameters": str(study.variants[line.name].parameters or "of today"),
                "trading": str(study.variants[line.name].trading or "of today"),
            },
            metrics={
                "log_loss": line.log_loss,
                "sharpe": line.sharpe,
                "total_return": line.total_return,
            },
            tags={
                f"survives_by_{one.measure}".replace("-", "_"): str(
                    one.same.get(line.name, line.name) in one.survivors
                ).lower()
                for one in found.comparisons
            },
            origin=f"{origin} {line.name}",
        )
        for line in found.lines
    ]
    return parent, nested
