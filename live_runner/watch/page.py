"""The status page: one HTML document without a build step, drawn from the journal."""

import math
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from kernel.decision import CLASSES, Abstain
from kernel.fills import ExitReason
from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS
from live_runner.desk import Desk
from live_runner.journal import schema
from live_runner.models.model import Model
from live_runner.watch.summary import summary

TEMPLATES = Path(__file__).parent / "templates"
EQUITY = OUTPUT_FIELDS.index("equity")
POINTS = 400
TRADES = 8
ATTEMPTS = 6
NOTE = 120  # characters of a refusal; the journal has all of it
NARROW = 0.12  # of the bar: too little for a label
RED = "#d1495b"
GREY = "#8d99ae"
GREEN = "#2a9d8f"
COLOURS = (RED, GREY, GREEN)  # of CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The points of a curve in a box of 600 by 80, and its range in words."""

    points: str
    colour: str
    range: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """One class's share of the bar of probabilities; a narrow one has no label."""

    width: str
    colour: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The last decision: its probabilities, and what is to be said of it."""

    chances: Sequence[Chance]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A closed trade as a row of text."""

    closed: str
    side: str
    entry: str
    exit: str
    why: str
    colour: str
    pnl: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt to change the model as a row of text."""

    at: str
    colour: str
    outcome: str
    epoch: int
    model: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the page shows of one symbol."""

    symbol: str
    model: Model | None
    figures: Mapping[str, str]
    bars: int
    line: Line | None
    decision: Decided | None
    trades: Sequence[Trade]
    attempts: Sequence[Attempt]
    blocked: Mapping[str, int]
    holes: int
    exits_only: bool


def render(desk: Desk) -> str:
    """Return the page; it reloads itself every three seconds."""
    page = _environment().get_template("page.html")
    return page.render(
        timeframe=desk.settings.timeframe,
        killed=desk.killed,
        now=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        cards=[_card(desk, symbol) for symbol in desk.settings.symbols],
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )


def _card(desk: Desk, symbol: str) -> Card:
    facts = summary(desk, symbol)
    loop = desk.loops.get(symbol)
    outs = _outs(desk, symbol)
    return Card(
        symbol=symbol,
        model=loop.model if loop else None,
        figures=_figures(facts, outs),
        bars=len(outs),
        line=_line(outs[:, EQUITY]) if len(outs) > 1 else None,
        decision=_decided(desk, symbol),
        trades=_trades(desk, symbol),
        attempts=_attempts(facts),
        blocked={_words(name): count for name, count in facts["blocked"].items()},
        holes=facts["holes"],
        exits_only=symbol in desk.settings.exits_only,
    )


def _figures(facts: Mapping[str, Any], outs: NDArray[np.float64]) -> dict[str, str]:
    last = _named(OUTPUT_FIELDS, outs[-1]) if len(outs) else {}
    return {
        "equity": f"{last['equity']:,.2f}" if last else "–",
        f"P&L, {facts['trades']} trades": f"{facts['pnl']:+,.2f}",
        "position": {1.0: "long", -1.0: "short"}.get(last.get("position_side", 0.0), "flat"),
        f"bars, {facts['missed']} missed": f"{facts['decided']:,}",
    }


def _line(values: NDArray[np.float64]) -> Line:
    low = float(values.min())
    high = float(values.max())
    x = np.linspace(0.0, 600.0, len(values))
    y = 70.0 - (values - low) / ((high - low) or 1.0) * 60.0
    return Line(
        points=" ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)),
        colour=GREEN if values[-1] >= values[0] else RED,
        range=f"{low:,.2f} to {high:,.2f}",
    )


def _decided(desk: Desk, symbol: str) -> Decided | None:
    rows = desk.journal.all(schema.LAST_DECISION, symbol)
    if not rows:
        return None
    at_ms, vector, probabilities, reason, latency_us, compute_us = rows[0]
    inputs = _named(INPUT_FIELDS, np.frombuffer(vector))
    code = Abstain(int(inputs["abstain"]))
    said = (
        f"bar of {_time(at_ms)}",
        f"close {price_text(inputs['close'])}",
        "may trade" if code is Abstain.NONE else f"abstains: {code.name.lower()}",
        reason,
        f"{latency_us / 1000:.1f} ms after the bar, {compute_us / 1000:.1f} ms of work",
    )
    return Decided(
        chances=[
            Chance(
                width=f"{100 * p:.1f}%",
                colour=colour,
                label=f"{name} {p:.2f}" if p >= NARROW else "",
            )
            for name, p, colour in zip(CLASSES, np.frombuffer(probabilities), COLOURS, strict=True)
        ],
        text=" · ".join(filter(None, said)),
    )


def price_text(price: float) -> str:
    """Return a price with two decimals, or six digits where that is more: some cost 0.00001."""
    decimals = 2 if price >= 1_000.0 else 5 - math.floor(math.log10(price))
    return f"{price:,.{decimals}f}"


def _trades(desk: Desk, symbol: str) -> list[Trade]:
    rows = desk.journal.all(schema.CLOSED_TRADES, symbol, TRADES)
    return [_trade(at_ms, _named(OUTPUT_FIELDS, np.frombuffer(out))) for at_ms, out in rows]


def _trade(at_ms: int, out: Mapping[str, float]) -> Trade:
    return Trade(
        closed=_time(at_ms),
        side="long" if out["trade_side"] > 0 else "short",
        entry=price_text(out["trade_entry_price"]),
        exit=price_text(out["exit_price"]),
        why=_words(ExitReason(int(out["exit_reason"])).name),
        colour="up" if out["pnl"] >= 0 else "down",
        pnl=f"{out['pnl']:+,.2f}",
    )


def _attempts(facts: Mapping[str, Any]) -> list[Attempt]:
    """Return the last attempts to change the model, newest first."""
    told = sorted([*facts["swaps"], *facts["refusals"]], key=lambda one: one["at_ms"])
    return [_attempt(one) for one in reversed(told[-ATTEMPTS:])]


def _attempt(one: Mapping[str, Any]) -> Attempt:
    refused = one["outcome"] == "refused"
    return Attempt(
        at=_time(one["bar_open_time_ms"]),
        colour="down" if refused else "up",
        outcome=_words(one["outcome"]),
        epoch=one["epoch"],
        model=one["digest"][:12] or "rules",
        note=textwrap.shorten(one["reason"], NOTE) if refused else f"pause {one['pause_us']:,} µs",
    )


def _outs(desk: Desk, symbol: str) -> NDArray[np.float64]:
    """Return what the account did in the last bars, float64[n, O], ascending."""
    rows = desk.journal.all(schema.LAST_OUTS, symbol, POINTS)
    return np.array([np.frombuffer(row[0]) for row in reversed(rows)])


def _named(fields: Sequence[str], vector: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(fields, vector.tolist(), strict=True))


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _time(at_ms: int) -> str:
    return time.strftime("%m-%d %H:%M", time.gmtime(at_ms / 1_000))
