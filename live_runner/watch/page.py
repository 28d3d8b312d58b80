"""The status page: one HTML document without a build step, drawn from the journal."""

import html
import textwrap
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernel.decision import CLASSES, Abstain
from kernel.fills import ExitReason
from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS
from live_runner.desk import Desk
from live_runner.journal import schema
from live_runner.watch.summary import summary

POINTS = 400
TRADES = 8
ATTEMPTS = 6
NOTE = 120  # characters of a refusal; the journal has all of it
NARROW = 0.12  # of the bar: too little for a label
_COLOURS = ("#d1495b", "#8d99ae", "#2a9d8f")
_STYLE = """
:root { color-scheme: light dark; --ink: #1b2432; --soft: #64748b; --line: #e2e8f0;
  --card: #fff; --page: #f4f6f9 }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --soft: #94a3b8; --line: #273449;
  --card: #162033; --page: #0d1524 } }
* { box-sizing: border-box }
body { margin: 0; padding: 28px; background: var(--page); color: var(--ink);
  font: 14px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums }
header { display: flex; align-items: baseline; gap: 14px; max-width: 1240px; margin: 0 auto 20px }
header span { color: var(--soft) }
.right { margin-left: auto }
a { color: inherit }
h1 { font-size: 20px; margin: 0 }
h2 { font-size: 17px; margin: 0 }
h3 { font-size: 11px; letter-spacing: .08em; text-transform: uppercase; color: var(--soft);
  margin: 18px 0 6px }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 20px;
  max-width: 1240px; margin: 0 auto }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 20px 22px }
.top { display: flex; justify-content: space-between; align-items: center }
.pill { border-radius: 99px; padding: 2px 12px; font-size: 12px; background: var(--line) }
.pill.on { background: #2a9d8f; color: #fff }
.pill.off { background: #d1495b; color: #fff }
.figures { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin-top: 14px }
.figures div { color: var(--soft); font-size: 12px }
.figures b { display: block; font-size: 18px; color: var(--ink); font-weight: 600 }
code { font-size: 12px }
table { width: 100%; border-collapse: collapse; font-size: 12.5px }
td, th { text-align: right; padding: 3px 6px; border-top: 1px solid var(--line);
  font-weight: 400; white-space: nowrap }
td:first-child, th:first-child, .wide { text-align: left }
td.note { text-align: left; white-space: normal; overflow-wrap: anywhere }
th, .soft { color: var(--soft) }
.small { font-size: 12px; margin-top: 4px }
.up { color: #2a9d8f }
.down { color: #d1495b }
svg { display: block; width: 100% }
.bars { display: flex; height: 22px; border-radius: 6px; overflow: hidden; font-size: 11px;
  color: #fff }
.bars span { padding: 2px 0; text-align: center; overflow: hidden; white-space: nowrap }
"""


def render(desk: Desk) -> str:
    """Return the page; it reloads itself every three seconds."""
    state = "<span class='pill off'>killed</span>" if desk.killed else ""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    cards = "".join(_card(desk, symbol) for symbol in desk.settings.symbols)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Tidegate runner</title>"
        "<meta http-equiv='refresh' content='3'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<style>{_STYLE}</style></head><body><header><h1>Tidegate</h1>"
        f"<span>live runner, on paper · {_safe(desk.settings.timeframe)} bars</span>{state}"
        f"<span class='right'>{now} · <a href='/docs'>API</a> · "
        "<a href='/metrics'>metrics</a></span></header>"
        f"<main>{cards}</main></body></html>"
    )


def _card(desk: Desk, symbol: str) -> str:
    facts = summary(desk, symbol)
    outs = _outs(desk, symbol)
    equity = outs[:, OUTPUT_FIELDS.index("equity")] if len(outs) else np.zeros(0)
    return (
        f"<section>{_head(desk, facts)}{_figures(facts, outs)}"
        f"<h3>Equity, last {len(equity)} bars</h3>{_sparkline(equity)}"
        f"<h3>Last decision</h3>{_decision(desk, symbol)}"
        f"<h3>Recent trades</h3>{_trades(desk, symbol)}"
        f"<h3>Models</h3>{_swaps(facts)}{_guards(facts)}"
        "</section>"
    )


def _head(desk: Desk, facts: dict[str, Any]) -> str:
    symbol, digest = facts["symbol"], facts["digest"]
    loop = desk.loops.get(symbol)
    if loop is None:
        model = "<span class='pill'>starting</span>"
    elif digest:
        name = f"bundle <code>{digest[:12]}</code> · epoch {loop.model.epoch}"
        model = f"<span class='pill on'>{name}</span>"
    else:
        model = "<span class='pill'>rules, no bundle</span>"
    return f"<div class='top'><h2>{_safe(symbol)}</h2>{model}</div>"


def _figures(facts: dict[str, Any], outs: np.ndarray) -> str:
    last = dict(zip(OUTPUT_FIELDS, outs[-1].tolist(), strict=True)) if len(outs) else {}
    side = {1.0: "long", -1.0: "short"}.get(last.get("position_side", 0.0), "flat")
    cells = {
        "equity": f"{last['equity']:,.2f}" if last else "–",
        f"P&amp;L, {facts['trades']} trades": f"{facts['pnl']:+,.2f}",
        "position": side,
        f"bars, {facts['missed']} missed": f"{facts['decided']:,}",
    }
    return (
        "<div class='figures'>"
        + "".join(f"<div><b>{value}</b>{name}</div>" for name, value in cells.items())
        + "</div>"
    )


def _sparkline(values: np.ndarray) -> str:
    """Return a line through the values as SVG, with its range written beside it."""
    if len(values) < 2:
        return "<p class='soft'>not enough bars yet</p>"
    low, high = float(values.min()), float(values.max())
    y = 70.0 - (values - low) / ((high - low) or 1.0) * 60.0
    x = np.linspace(0.0, 600.0, len(values))
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    colour = _COLOURS[2] if values[-1] >= values[0] else _COLOURS[0]
    return (
        "<svg viewBox='0 0 600 80' height='80' preserveAspectRatio='none'>"
        f"<polygon points='0,80 {points} 600,80' fill='{colour}' opacity='.12'/>"
        f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.6' "
        "vector-effect='non-scaling-stroke'/></svg>"
        f"<div class='soft small'>{low:,.2f} to {high:,.2f}</div>"
    )


def _decision(desk: Desk, symbol: str) -> str:
    row = desk.journal.all(schema.LAST_DECISION, symbol)
    if not row:
        return "<p class='soft'>none yet</p>"
    at_ms, vector, probabilities, reason, latency_us, compute_us = row[0]
    inputs = dict(zip(INPUT_FIELDS, np.frombuffer(vector).tolist(), strict=True))
    code = Abstain(int(inputs["abstain"]))
    why = "may trade" if code is Abstain.NONE else f"abstains: {code.name.lower()}"
    text = _safe(f"{why}{' · ' + reason if reason else ''}")
    return (
        f"{_bars(np.frombuffer(probabilities).tolist())}<div class='soft small'>"
        f"bar of {_time(at_ms)} · close {inputs['close']:,.2f} · {text} · "
        f"{latency_us / 1000:.1f} ms after the bar, {compute_us / 1000:.1f} ms of work</div>"
    )


def _bars(probabilities: Sequence[float]) -> str:
    parts = [
        f"<span style='width:{100 * p:.1f}%;background:{colour}'>"
        f"{f'{name} {p:.2f}' if p >= NARROW else ''}</span>"
        for name, p, colour in zip(CLASSES, probabilities, _COLOURS, strict=True)
    ]
    return f"<div class='bars'>{''.join(parts)}</div>"


def _trades(desk: Desk, symbol: str) -> str:
    rows = desk.journal.all(schema.CLOSED_TRADES, symbol, TRADES)
    lines = [
        _trade(at, dict(zip(OUTPUT_FIELDS, np.frombuffer(out).tolist(), strict=True)))
        for at, out in rows
    ]
    head = (
        "<tr><th>closed</th><th>side</th><th>in</th><th>out</th><th>why</th><th>P&amp;L</th></tr>"
    )
    return f"<table>{head}{''.join(lines)}</table>" if lines else "<p class='soft'>none yet</p>"


def _trade(at_ms: int, out: dict[str, float]) -> str:
    side = "long" if out["trade_side"] > 0 else "short"
    why = ExitReason(int(out["exit_reason"])).name.lower().replace("_", " ")
    colour = "up" if out["pnl"] >= 0 else "down"
    return (
        f"<tr><td>{_time(at_ms)}</td><td>{side}</td><td>{out['trade_entry_price']:,.2f}</td>"
        f"<td>{out['exit_price']:,.2f}</td><td>{why}</td>"
        f"<td class='{colour}'>{out['pnl']:+,.2f}</td></tr>"
    )


def _swaps(facts: dict[str, Any]) -> str:
    attempts = sorted([*facts["swaps"], *facts["refusals"]], key=lambda one: one["at_ms"])[
        -ATTEMPTS:
    ]
    if not attempts:
        return "<p class='soft'>no swap yet</p>"
    return f"<table>{''.join(_attempt(one) for one in reversed(attempts))}</table>"


def _attempt(one: dict[str, Any]) -> str:
    refused = one["outcome"] == "refused"
    note = (
        _safe(textwrap.shorten(one["reason"], NOTE)) if refused else f"pause {one['pause_us']:,} µs"
    )
    colour, outcome = "down" if refused else "up", one["outcome"].replace("_", " ")
    model = _safe(one["digest"][:12]) or "rules"
    return (
        f"<tr><td>{_time(one['bar_open_time_ms'])}</td>"
        f"<td class='wide {colour}'>{_safe(outcome)}</td>"
        f"<td class='wide'>epoch {one['epoch']} <code>{model}</code></td>"
        f"<td class='note soft'>{_safe(note)}</td></tr>"
    )


def _guards(facts: dict[str, Any]) -> str:
    stopped = " · ".join(
        f"{name.lower().replace('_', ' ')} {count}" for name, count in facts["blocked"].items()
    )
    holes = f" · bars the venue lacked {facts['holes']}"
    return f"<h3>Entries stopped by guards</h3><div class='soft small'>{stopped}{holes}</div>"


def _outs(desk: Desk, symbol: str) -> np.ndarray:
    rows = desk.journal.all(
        "SELECT out FROM decisions WHERE symbol = ? ORDER BY open_time_ms DESC LIMIT ?",
        *(symbol, POINTS),
    )
    return np.array([np.frombuffer(row[0]) for row in reversed(rows)])


def _time(at_ms: int) -> str:
    return time.strftime("%m-%d %H:%M", time.gmtime(at_ms / 1_000))


def _safe(text: str) -> str:
    return html.escape(text)
