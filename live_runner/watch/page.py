"""The status page: a static document, and the cards that it asks for, drawn from the journal."""

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

from kernel import fills
from kernel.decision import CLASSES, Abstain
from kernel.fills import ExitReason
from kernel.risk import Guard
from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS, TradingSettings
from live_runner.desk import Desk
from live_runner.journal import schema
from live_runner.journal.reading import JournalReader
from live_runner.models.model import Model
from live_runner.watch.condition import SymbolCondition, condition_of, span_text
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
    """The last decision: its probabilities, why it led to what it led to, and when."""

    chances: Sequence[Chance]
    why: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """An open position as text; `bars_left` counts down to the horizon."""

    side: str
    quantity: str
    entry: str
    stop: str
    target: str
    bars_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many bars something kept from trading, and when it last did."""

    name: str
    bars: int
    last: str


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
class AttemptRow:
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
    condition: SymbolCondition
    age: str
    figures: Mapping[str, str]
    bars: int
    line: Line | None
    decision: Decided | None
    position: Position | None
    trades: Sequence[Trade]
    attempts: Sequence[AttemptRow]
    abstained: Sequence[Tally]
    blocked: Sequence[Tally]
    holes: int
    exits_only: bool


def static(name: str) -> str:
    """Return one of the files that never change: page.html, page.css, page.js, favicon.svg."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def cards(desk: Desk, journal: JournalReader) -> str:
    """Return what the page shows of the present: the clocks, and a card for each symbol."""
    now_ms = desk.clock.reckoned_ms()
    return (
        _environment()
        .get_template("cards.html")
        .render(
            timeframe=desk.settings.timeframe,
            killed=desk.killed,
            replayed=desk.clock.other_pace,
            market=_time(now_ms) if now_ms is not None else "not known yet",
            ours=_time(time.time_ns() // 1_000_000),
            cards=[_card(desk, journal, symbol, now_ms) for symbol in desk.settings.symbols],
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )


def _card(desk: Desk, journal: JournalReader, symbol: str, now_ms: int | None) -> Card:
    facts = summary(desk, journal, symbol)
    loop = desk.loops.get(symbol)
    model = loop.model if loop else None
    outs = _outs(journal, symbol)
    condition = condition_of(desk, journal, symbol, now_ms)
    return Card(
        symbol=symbol,
        model=model,
        condition=condition,
        age=_age(condition),
        figures=_figures(facts, outs),
        bars=len(outs),
        line=_line(outs[:, EQUITY]) if len(outs) > 1 else None,
        decision=_decided(journal, symbol, model.settings if model else None),
        position=_position(desk, journal, symbol, model.settings if model else None),
        trades=_trades(journal, symbol),
        attempts=_attempts(facts),
        abstained=_tallies(facts["abstained"]),
        blocked=_tallies(facts["blocked"]),
        holes=facts["holes"],
        exits_only=symbol in desk.settings.exits_only,
    )


def _age(condition: SymbolCondition) -> str:
    if condition.last_bar_open_ms is None:
        return "no bar yet"
    began = f"last bar {_time(condition.last_bar_open_ms)}"
    if condition.last_bar_age_ms is None:
        return began
    return f"{began}, closed {span_text(condition.last_bar_age_ms)} ago by the market's clock"


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


def _decided(
    journal: JournalReader, symbol: str, settings: TradingSettings | None
) -> Decided | None:
    rows = journal.all(schema.LAST_DECISION, symbol)
    if not rows:
        return None
    at_ms, row, out, probabilities, reason, latency_us, compute_us = rows[0]
    inputs = _named(INPUT_FIELDS, np.frombuffer(row))
    outputs = _named(OUTPUT_FIELDS, np.frombuffer(out))
    chances = np.frombuffer(probabilities).tolist()
    said = (
        f"bar of {_time(at_ms)}",
        f"close {price_text(inputs['close'])}",
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
            for name, p, colour in zip(CLASSES, chances, COLOURS, strict=True)
        ],
        why=why_text(inputs, outputs, settings),
        text=" · ".join(filter(None, said)),
    )


def why_text(
    inputs: Mapping[str, float], outputs: Mapping[str, float], settings: TradingSettings | None
) -> str:
    """Say in a sentence what a decision led to, and what was lacking for a trade.

    `inputs` are its row and `outputs` what the account did, by name; `settings` those in force.
    """
    name = "BUY" if inputs["p_buy"] > inputs["p_sell"] else "SELL"
    winner = max(inputs["p_buy"], inputs["p_sell"])
    if outputs["order"] != 0.0:
        side = "long" if outputs["order"] > 0 else "short"
        return f"orders a {side} entry at the next open: {name} {winner:.2f}"
    if outputs["blocked"] != 0.0:
        guard = _words(Guard(int(outputs["blocked"])).name)
        return f"no trade: {name} {winner:.2f}, stopped by the guard on {guard}"
    if outputs["position_side"] != 0.0:
        return "no new trade: a position is open"
    if inputs["abstain"] != 0.0:
        return f"no trade: abstains, {_words(Abstain(int(inputs['abstain'])).name)}"
    lead = winner - max(min(inputs["p_buy"], inputs["p_sell"]), inputs["p_hold"])
    return "no trade" + (_shortfall(name, winner, lead, settings) if settings else "")


def _shortfall(name: str, winner: float, lead: float, settings: TradingSettings) -> str:
    """Say what the better side lacks of what `kernel.decision.decide` asks for, '' for nothing."""
    if winner < settings.min_confidence:
        return f": {name} {winner:.2f} < {settings.min_confidence:.2f} needed"
    if lead < settings.min_prob_diff:
        return f": {name} leads by {lead:.2f} < {settings.min_prob_diff:.2f} needed"
    return ""


def _position(
    desk: Desk, journal: JournalReader, symbol: str, settings: TradingSettings | None
) -> Position | None:
    state = journal.state(symbol)
    if state is None or settings is None or state.trader[fills.SIDE] == 0.0:
        return None
    trader = state.trader
    bar_ms = desk.settings.bar_ms
    held = (state.open_time_ms - int(trader[fills.ENTRY_MS])) // bar_ms + 1
    return Position(
        side="long" if trader[fills.SIDE] > 0.0 else "short",
        quantity=f"{trader[fills.QUANTITY]:.6g}",
        entry=price_text(float(trader[fills.ENTRY_PRICE])),
        stop=price_text(float(trader[fills.STOP_LOSS])),
        target=price_text(float(trader[fills.TAKE_PROFIT])),
        bars_left=max(int(settings.horizon_bars) - held, 0),
    )


def price_text(price: float) -> str:
    """Return a price with two decimals, or six digits where that is more: some cost 0.00001."""
    decimals = 2 if price >= 1_000.0 else 5 - math.floor(math.log10(price))
    return f"{price:,.{decimals}f}"


def _trades(journal: JournalReader, symbol: str) -> list[Trade]:
    return [
        Trade(
            closed=_time(at_ms),
            side="long" if side > 0 else "short",
            entry=price_text(entry),
            exit=price_text(exit_),
            why=_words(ExitReason(reason).name),
            colour="up" if pnl >= 0 else "down",
            pnl=f"{pnl:+,.2f}",
        )
        for at_ms, side, entry, exit_, reason, pnl in journal.all(
            schema.LAST_TRADES, symbol, TRADES
        )
    ]


def _attempts(facts: Mapping[str, Any]) -> list[AttemptRow]:
    """Return the last attempts to change the model, newest first."""
    told = sorted([*facts["swaps"], *facts["refusals"]], key=lambda one: one["at_ms"])
    return [_attempt(one) for one in reversed(told[-ATTEMPTS:])]


def _attempt(one: Mapping[str, Any]) -> AttemptRow:
    refused = one["outcome"] == "refused"
    return AttemptRow(
        at=_time(one["bar_open_time_ms"]),
        colour="down" if refused else "up",
        outcome=_words(one["outcome"]),
        epoch=one["epoch"],
        model=one["digest"][:12] or "rules",
        note=textwrap.shorten(one["reason"], NOTE) if refused else f"pause {one['pause_us']:,} µs",
    )


def _tallies(counts: Mapping[str, Mapping[str, int | None]]) -> list[Tally]:
    """Return what happened at all, by name."""
    return [
        Tally(name=_words(name), bars=one["bars"], last=_time(one["last_open_time_ms"] or 0))
        for name, one in counts.items()
        if one["bars"]
    ]


def _outs(journal: JournalReader, symbol: str) -> NDArray[np.float64]:
    """Return what the account did in the last bars, float64[n, O], ascending."""
    rows = journal.all(schema.LAST_OUTS, symbol, POINTS)
    return np.array([np.frombuffer(row[0]) for row in reversed(rows)])


def _named(fields: Sequence[str], vector: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(fields, vector.tolist(), strict=True))


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _time(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at_ms / 1_000))
