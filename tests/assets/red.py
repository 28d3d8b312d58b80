"""Which asset checks a test saw red, so that `@pytest.mark.red(name)` is a promise that is held."""

from typing import Any

import dagster as dg

SEEN: set[str] = set()


def evaluations(result: Any) -> dict[str, dg.AssetCheckEvaluation]:
    """Return what the checks of a run found, by name."""
    found = {one.check_name: one for one in result.get_asset_check_evaluations()}
    SEEN.update(one.check_name for one in found.values() if not one.passed)
    return found


def answered(name: str, found: dg.AssetCheckResult) -> dg.AssetCheckResult:
    """Return what a check answered that was called by itself."""
    if not found.passed:
        SEEN.add(name)
    return found
