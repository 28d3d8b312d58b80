"""Dagster is loaded anew when a replayed market comes to another week, and then only."""

import json
from datetime import datetime
from pathlib import Path

import httpx

from orchestration.environments import Environment
from orchestration.local.orchestrator import OfferedPartitions, look
from orchestration.local.processes import free_port


def environment_of(home: Path) -> Environment:
    return Environment.from_environ({"TIDEGATE_HOME": str(home)})


def at(home: Path, moment: str, *, real_time: bool = False) -> None:
    """Set the clock that the venue has left."""
    now_ms = int(datetime.fromisoformat(f"{moment}+00:00").timestamp() * 1_000)
    state = {"now_ms": now_ms, "speed": 60.0, "paused": False, "real_time": real_time}
    (home / "venue").mkdir(exist_ok=True)
    (home / "venue" / "clock.json").write_text(json.dumps(state))


def test_a_new_week_or_month_of_the_market_loads_the_code_location_anew(tmp_path: Path) -> None:
    """Once for each, whatever passes within it; a Dagster that was away is asked again."""
    loads: list[str] = []
    away = [True]

    def load() -> None:
        if moment == "2026-01-04T01:00" and away.pop():
            away.append(False)
            raise httpx.ConnectError("away")
        loads.append(moment)

    calendar = OfferedPartitions(environment_of(tmp_path), load)
    moments = ("2025-12-22T01:00", "2025-12-27T23:59", "2025-12-28T00:00", "2026-01-01T00:00",
               "2026-01-04T01:00", "2026-01-04T01:00", "2026-01-04T01:00")  # fmt: skip
    for moment in moments:
        at(tmp_path, moment)
        calendar.follow()
    assert loads == ["2025-12-28T00:00", "2026-01-01T00:00", "2026-01-04T01:00"]


def test_a_market_that_goes_with_ours_needs_no_loading(tmp_path: Path) -> None:
    """Dagster knows our own clock."""
    loads: list[int] = []
    calendar = OfferedPartitions(environment_of(tmp_path), lambda: loads.append(1))
    calendar.follow()
    for moment in ("2025-12-27T23:59", "2025-12-28T00:00"):
        at(tmp_path, moment, real_time=True)
        calendar.follow()
    assert loads == []


def test_a_dagster_that_does_not_answer_is_said_to_be_away() -> None:
    """Nothing is known of it."""
    assert look(f"http://127.0.0.1:{free_port()}") is None
