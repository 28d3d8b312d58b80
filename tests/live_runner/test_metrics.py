"""Each exported metric counts its event once, under the labels that tell whose it was."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kernel.risk import Guard
from kernel.trading import EQUITY, OUTPUT_FIELDS, POSITION_SIDE
from live_runner.journal.journal import Decision
from live_runner.metrics import RunnerMetrics
from tests.live_runner.scene import SYMBOL, Scene

Act = Callable[[RunnerMetrics, Decision], None]


def _decide(**changes: object) -> Act:
    """Return the counting of a decision with these changes."""
    return lambda metrics, one: metrics.decided(replace(one, **changes), 0, 0)  # type: ignore[arg-type]


def _decide_with_out(**values: float) -> Act:
    """Return the counting of a decision after which the account says so."""

    def act(metrics: RunnerMetrics, one: Decision) -> None:
        out = list(one.out)
        for name, value in values.items():
            out[OUTPUT_FIELDS.index(name)] = value
        metrics.decided(replace(one, out=out), 0, 0)

    return act


OF_SYMBOL = {"symbol": SYMBOL}
EVENTS: list[tuple[str, Mapping[str, str], float, Act]] = [
    ("bars_decided_total", {**OF_SYMBOL, "by": "rules"}, 1.0, _decide()),
    ("bars_decided_total", {**OF_SYMBOL, "by": "bundle"}, 1.0, _decide(digest="ab")),
    ("abstentions_total", {**OF_SYMBOL, "reason": "not_warm"}, 1.0, _decide()),
    (
        "blocked_entries_total",
        {**OF_SYMBOL, "guard": "daily_loss"},
        1.0,
        _decide_with_out(blocked=float(Guard.DAILY_LOSS)),
    ),
    ("bars_repaired_total", OF_SYMBOL, 1.0, _decide(catch_up=True)),
    ("model_epoch", OF_SYMBOL, 7.0, _decide(epoch=7)),
    ("position_side", OF_SYMBOL, -1.0, _decide_with_out(position_side=-1.0)),
    ("equity", OF_SYMBOL, 9_876.5, _decide_with_out(equity=9_876.5)),
    (
        "last_bar_age_seconds",
        OF_SYMBOL,
        1_800.0,
        lambda metrics, _: metrics.aged(SYMBOL, 1_800_000),
    ),
    ("bar_to_journal_seconds_count", {}, 1.0, _decide()),
    ("bar_compute_seconds_count", {}, 1.0, _decide()),
    ("bars_duplicate_total", OF_SYMBOL, 1.0, lambda metrics, _: metrics.duplicate(SYMBOL)),
    ("venue_holes_total", OF_SYMBOL, 1.0, lambda metrics, _: metrics.hole(SYMBOL)),
    ("feed_errors_total", {}, 1.0, lambda metrics, _: metrics.feed_error()),
    (
        "swaps_total",
        {**OF_SYMBOL, "outcome": "swapped"},
        1.0,
        lambda metrics, _: metrics.swapped(SYMBOL, "swapped", 7, 1_500),
    ),
    (
        "swap_pause_seconds_sum",
        {},
        0.0015,
        lambda metrics, _: metrics.swapped(SYMBOL, "swapped", 7, 1_500),
    ),
    (
        "bundle_refusals_total",
        {**OF_SYMBOL, "reason": "stale_epoch"},
        1.0,
        lambda metrics, _: metrics.refused(SYMBOL, "stale_epoch"),
    ),
]


@pytest.fixture(scope="module")
def decision(tmp_path_factory: pytest.TempPathFactory) -> Decision:
    """Return a decided bar that abstained: it was the first."""
    return Scene(tmp_path_factory.mktemp("metrics")).bar()


@pytest.mark.parametrize(("name", "labels", "value", "act"), EVENTS)
def test_a_metric_counts_its_event_once(
    decision: Decision, name: str, labels: Mapping[str, str], value: float, act: Act
) -> None:
    """Absent or zero before, and afterwards what happened, under its labels."""
    metrics = RunnerMetrics()
    assert _value(metrics, name, labels) in (None, 0.0)
    act(metrics, decision)
    assert _value(metrics, name, labels) == pytest.approx(value)


def test_a_restart_tells_where_the_account_stood_before_the_next_bar(decision: Decision) -> None:
    """Epoch, position and equity are there at once, not only with the next bar."""
    metrics = RunnerMetrics()
    out = list(decision.out)
    out[POSITION_SIDE] = -1.0
    out[EQUITY] = 9_876.5
    metrics.resumed(SYMBOL, 7, out)
    told = {
        name: _value(metrics, name, OF_SYMBOL)
        for name in ("model_epoch", "position_side", "equity")
    }
    assert told == {"model_epoch": 7.0, "position_side": -1.0, "equity": 9_876.5}


def test_no_metric_is_exported_that_is_not_counted_here() -> None:
    """Whoever adds a metric says here when it counts."""
    families = text_string_to_metric_families(RunnerMetrics().render().decode())
    exported = {
        one.name
        for one in families
        if not one.name.startswith("process_") and not one.name.endswith("_created")
    }
    counted = {name for name, *_ in EVENTS}
    for suffix in ("_total", "_count", "_sum"):
        counted = {name.removesuffix(suffix) for name in counted}
    assert exported == {f"tidegate_{name}" for name in counted}


def test_the_process_itself_is_measured() -> None:
    """Memory and CPU time of the runner stand beside what it counts."""
    names = {one.name for one in text_string_to_metric_families(RunnerMetrics().render().decode())}
    assert {"process_resident_memory_bytes", "process_cpu_seconds"} <= names


def test_a_loop_counts_every_bar_that_it_decides(tmp_path: Path) -> None:
    """The counter follows the journal without anybody calling it by hand."""
    scene = Scene(tmp_path)
    for _ in range(3):
        scene.bar()
    labels = {**OF_SYMBOL, "by": "rules"}
    assert _value(scene.metrics, "bars_decided_total", labels) == 3.0


def _value(metrics: RunnerMetrics, name: str, labels: Mapping[str, str]) -> float | None:
    """Return the sample of that name and these labels, None where there is none."""
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == f"tidegate_{name}" and sample.labels == labels:
                return sample.value
    return None
