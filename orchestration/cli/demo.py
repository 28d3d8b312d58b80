"""The whole flow, headless: market data to a hot-swapped model that trades a simulated week."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from kernel.errors import TidegateError
from orchestration.cli.closing import Report, Stage
from orchestration.local.dagster_client import DagsterClient, Run, Step
from orchestration.local.patience import Patience
from orchestration.local.processes import Supervisor
from orchestration.local.services import Ports, VenueMarket

APPROVER = "demo-approver"
DAY_MS = 86_400_000
BAR_MS = 900_000
CALM_SPEED = 60.0
WAIT_CPU_SECONDS = 1_800.0  # of all services together; a whole demo uses fewer
WEEK_SPEED = 10_080.0  # a week of market in one real minute


class DemoError(TidegateError):
    """Say which stage of the demo broke and what was found."""


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo: where it runs and what it plays."""

    home: Path
    ports: Ports
    market: VenueMarket
    week: str
    months: tuple[str, str]
    days: int
    console: Console
    report: Report
    supervisor: Supervisor
    dagster: DagsterClient
    runner: httpx.Client
    venue: httpx.Client

    def run(self) -> None:
        """Play every stage; raises DemoError where the flow itself (not the gate) fails."""
        self._ingest()
        accepted = self._retrain()
        for symbol in accepted:
            self._approve(symbol)
        for symbol in accepted:
            self._await_swap(symbol)
        self._trade()
        self._reconcile()

    def _ingest(self) -> None:
        first, last = self.months
        with self._stage("ingest, warehouse and features") as stage:
            runs = self._side_by_side("ingest_job", lambda symbol: _range(symbol, first, last))
            self._until(
                "the warehouse to be started",
                lambda: bool(self.dagster.runs_of("warehouse_job")),
            )
            built = self.dagster.runs_of("warehouse_job")[-1]
            self._require_success(self.dagster.wait(built, self._tell))
            stage.rows = sum(_rows(run, "market/candles") for run in runs)
            made = sum(_rows(run, "features/matrix") for run in runs)
            stage.result = (
                f"{', '.join(self.market.symbols)}, {first} to {last}; {made:,} rows of features"
            )

    def _retrain(self) -> list[str]:
        """Retrain all symbols side by side; return those whose candidate passed every gate."""
        ids = {
            symbol: self.dagster.launch("retrain_job", tags=self._week_tags(symbol))
            for symbol in self.market.symbols
        }
        accepted: list[str] = []
        for symbol, run_id in ids.items():
            with self._stage(f"retrain {symbol}") as stage:
                run = self.dagster.wait(run_id, self._tell)
                gate = self._gate(symbol, run)
                stage.seconds = run.seconds or 0.0
                stage.rows = _rows(run, "datasets/training_set")
                stage.result = "accepted" if gate["accepted"] else "refused, so nobody is asked"
                if gate["accepted"]:
                    self._require_success(run)
                    accepted.append(symbol)
        return accepted

    def _week_tags(self, symbol: str) -> dict[str, str]:
        return {"dagster/partition": f"{symbol}|{self.week}"}

    def _gate(self, symbol: str, run: Run) -> dict[str, Any]:
        checks, failures = self.dagster.checks(run.id)
        path = self.home / "lake" / "gates" / "report" / f"symbol={symbol}" / f"{self.week}.json"
        if "gates/report" not in run.metadata or not path.exists():
            raise DemoError(
                f"retrain {symbol}: found {run.status} before the gate was reached, expected a "
                f"gate report; failed: {failures or [c for c in checks if not c.passed]}"
            )
        gate: dict[str, Any] = json.loads(path.read_text())
        self.report.gates[symbol] = gate
        self._print_gate(symbol, gate)
        return gate

    def _print_gate(self, symbol: str, gate: Mapping[str, Any]) -> None:
        table = Table(title=f"Gates of {symbol}, week {self.week}", title_justify="left")
        for column in ("gate", "fold", "found", "asked for", ""):
            right = column in {"fold", "found", "asked for"}
            table.add_column(column, justify="right" if right else "left")
        for outcome in gate["outcomes"]:
            table.add_row(
                outcome["gate"],
                "" if outcome["fold"] is None else str(outcome["fold"]),
                _number(outcome["value"]),
                _number(outcome["threshold"]),
                _mark(outcome),
            )
        self.console.print(table)

    def _approve(self, symbol: str) -> None:
        path = (
            self.home / "lake" / "promotion" / "request" / f"symbol={symbol}" / f"{self.week}.json"
        )
        request = json.loads(path.read_text())
        self.report.bundles[symbol] = request["bundle_digest"]
        with self._stage(f"approve {symbol}") as stage:
            self.console.print(
                f"  pending: request {request['id']} binds bundle {request['bundle_digest'][:12]}, "
                f"gate report {request['gate_report_digest'][:12]}",
                soft_wrap=True,
            )
            config = {
                "request_id": request["id"],
                "approver": APPROVER,
                "note": "approved by the demo after reading the gate report",
            }
            run = self._launch(
                "approve_promotion_job", {}, {"ops": {"approve_promotion": {"config": config}}}
            )
            self._require_success(run)
            stage.result = f"by {APPROVER}"

    def _await_swap(self, symbol: str) -> None:
        """Wait for the sensors: approval → publish run → swap of the runner between two bars."""
        with self._stage(f"publish and swap {symbol}") as stage:
            digest = self.report.bundles[symbol]
            self._until(
                f"the runner to trade {symbol} by bundle {digest[:12]}",
                lambda: self._summary(symbol)["digest"] == digest,
                in_vain=lambda: self._refusal(symbol, digest),
            )
            swap = self._summary(symbol)["swaps"][-1]
            stage.result = f"epoch {swap['epoch']}, pause {swap['pause_us']} µs"

    def _trade(self) -> None:
        with self._stage(f"trade {self.days} simulated day{'s' * (self.days != 1)}") as stage:
            before = {s: self._summary(s)["decided"] for s in self.market.symbols}
            end = self._venue_now() + self.days * DAY_MS
            self._clock(speed=WEEK_SPEED)
            self._until("the simulated days to pass", lambda: self._venue_now() >= end)
            self._clock(speed=CALM_SPEED)
            last = end // BAR_MS * BAR_MS - BAR_MS
            for symbol in self.market.symbols:
                self._until(
                    f"every bar of {symbol} to be decided",
                    lambda symbol=symbol: self._summary(symbol)["last_open_time_ms"] >= last,
                )
            after = {s: self._summary(s) for s in self.market.symbols}
            self.report.runner = after
            stage.rows = sum(after[s]["decided"] - before[s] for s in self.market.symbols)
            missed = sum(one["missed"] for one in after.values())
            pnl = sum(one["pnl"] for one in after.values())
            stage.result = f"{missed} bars missed, paper P&L {pnl:+.2f}"

    def _reconcile(self) -> None:
        """Bring live bars into the lake and replay the journal: training and live must agree."""
        with self._stage("replay the journal") as stage:
            self.venue.post("/control/clock", json={"pause": True}).raise_for_status()
            _, last = self.months
            self._side_by_side("ingest_job", lambda symbol: _range(symbol, last, last))
            runs = self._side_by_side("monitor_job", self._next_week_tags)
            stage.rows = sum(_rows(run, "monitoring/live_decisions") for run in runs)
            stage.result = "0 differing bytes"

    def _next_week_tags(self, symbol: str) -> dict[str, str]:
        import datetime as dt

        following = dt.date.fromisoformat(self.week) + dt.timedelta(days=7)
        return {"dagster/partition": f"{symbol}|{following.isoformat()}"}

    def _side_by_side(self, job: str, tags: Callable[[str], dict[str, str]]) -> list[Run]:
        """Launch a run for each symbol, wait for all, and require that each succeeded."""
        ids = {
            symbol: self.dagster.launch(job, tags=tags(symbol)) for symbol in self.market.symbols
        }
        runs = [self.dagster.wait(run_id, self._tell) for run_id in ids.values()]
        for run in runs:
            self._require_success(run)
        return runs

    def _launch(
        self, job: str, tags: Mapping[str, str], config: Mapping[str, Any] | None = None
    ) -> Run:
        run_id = self.dagster.launch(job, tags=tags, config=config)
        return self.dagster.wait(run_id, self._tell)

    def _tell(self, run: Run, step: Step) -> None:
        mark = "[green]✓[/green]" if step.status == "SUCCESS" else "[red]✗[/red]"
        self.console.print(f"  {mark} {run.job} {step.key}  {step.seconds or 0.0:.1f} s")

    def _require_success(self, run: Run) -> None:
        if run.status != "SUCCESS":
            checks, failures = self.dagster.checks(run.id)
            red = [f"{c.asset} {c.name}: {c.description}" for c in checks if not c.passed]
            raise DemoError(
                f"{run.job}: found {run.status}, expected SUCCESS; {red or failures}; "
                f"logs in {self.home / 'logs'}"
            )

    @contextmanager
    def _stage(self, name: str) -> Iterator[Stage]:
        self.console.print(f"[bold]{name}[/bold]")
        stage = Stage(name)
        began = time.monotonic()
        yield stage
        stage.seconds = stage.seconds or time.monotonic() - began
        self.report.stages.append(stage)
        self.console.print(f"  {stage.result}  [dim]{stage.seconds:.1f} s[/dim]")

    def _until(
        self, what: str, done: Callable[[], bool], in_vain: Callable[[], str] = lambda: ""
    ) -> None:
        """Wait for an event, as long as it takes and something works on it; `in_vain` says why it
        cannot come any more.
        """
        patience = Patience(self.supervisor.cpu_seconds, limit_s=WAIT_CPU_SECONDS)
        while not done():
            self.supervisor.require_alive()
            if why := in_vain() or patience.spent():
                raise DemoError(f"waited for {what}: {why}; logs in {self.home / 'logs'}")
            time.sleep(0.25)

    def _refusal(self, symbol: str, digest: str) -> str:
        """Return why the runner will never take a bundle; a state that is ahead of it may pass."""
        for attempt in self._summary(symbol)["refusals"]:
            if attempt["digest"] == digest and not attempt["reason"].startswith("state_mismatch"):
                return f"the runner refused it, {attempt['reason']}"
        return ""

    def _summary(self, symbol: str) -> dict[str, Any]:
        answer = self.runner.get("/journal/summary", params={"symbol": symbol})
        answer.raise_for_status()
        return answer.json()

    def _venue_now(self) -> int:
        return int(self.venue.get("/control/clock").raise_for_status().json()["now_ms"])

    def _clock(self, *, speed: float) -> None:
        self.venue.post("/control/clock", json={"speed": speed}).raise_for_status()


def _range(symbol: str, first: str, last: str) -> dict[str, str]:
    """Return the tags of a run over a symbol's months."""
    return {
        "dagster/asset_partition_range_start": f"{first}|{symbol}",
        "dagster/asset_partition_range_end": f"{last}|{symbol}",
    }


def _rows(run: Run, asset: str) -> int:
    return int(run.metadata[asset]["dagster/row_count"])


def _mark(outcome: Mapping[str, Any]) -> str:
    from research.gates.gates import BELIEVABLE

    if not outcome["passed"]:
        return "[red]refused[/red]"
    noted = outcome["gate"] == BELIEVABLE and outcome["value"] > outcome["threshold"]
    return "[yellow]noted: too good[/yellow]" if noted else "[green]passed[/green]"


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
