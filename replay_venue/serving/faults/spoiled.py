"""Answers that look right and are not: rows doubled, out of order, left out, or nonsense."""

import json
import random
from typing import Any

from replay_venue.serving.faults.faults import ROW_KINDS, Fault, RowKind

JUNK = ("NaN", "-1e300", "1e300")
_STAMPS = frozenset({"timestamp", "time", "start", "time_until_update", "asset"})


def rows_of(body: Any) -> list[Any]:
    """Return the list of rows in a decoded answer: itself, or its longest list; empty without one.

    Rows are alike: all lists or all objects.
    """
    lists = [body] if isinstance(body, list) else []
    if isinstance(body, dict):
        lists = sorted((v for v in body.values() if isinstance(v, list)), key=len, reverse=True)
    if not lists or not lists[0]:
        return []
    shape = type(lists[0][0])
    alike = shape in (list, dict) and all(isinstance(row, shape) for row in lists[0])
    return lists[0] if alike else []


def possible(rows: list[Any]) -> tuple[RowKind, ...]:
    """Return the kinds of faults that can hit these rows."""
    able = {
        "duplicate_rows": bool(rows),
        "reorder_rows": len(rows) > 1,
        "skip_rows": bool(rows),
        "garbage_rows": any(_values(row) for row in rows),
    }
    return tuple(kind for kind in ROW_KINDS if able[kind])


def spoil(rows: list[Any], fault: Fault, rng: random.Random) -> None:
    """Change `rows` in place as `fault` says; which rows and how is drawn from `rng`."""
    able = list(range(fault.kind == "reorder_rows", len(rows)))
    if fault.kind == "garbage_rows":
        able = [at for at in able if _values(rows[at])]
    chosen = sorted(rng.sample(able, min(fault.rows, len(able))), reverse=True)
    for at in chosen:
        if fault.kind == "duplicate_rows":
            rows.insert(at, json.loads(json.dumps(rows[at])))
        elif fault.kind == "skip_rows":
            del rows[at]
        elif fault.kind == "garbage_rows":
            _ruin(rows[at], rng)
        elif fault.kind == "reorder_rows":
            rows[at - 1], rows[at] = rows[at], rows[at - 1]


def _ruin(row: list[Any] | dict[str, Any], rng: random.Random) -> None:
    """Put something that is no value in the place of one: not a number, negative, absurd."""
    cells: Any = row
    cells[rng.choice(_values(row))] = rng.choice(JUNK)


def _values(row: list[Any] | dict[str, Any]) -> list[Any]:
    """Return the keys of the values in a row; a candle as a list has them in 1 to 5."""
    if isinstance(row, list):
        return [at for at in range(1, min(6, len(row))) if _is_number(row[at])]
    return [key for key, value in row.items() if key not in _STAMPS and _is_number(value)]


def _is_number(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
