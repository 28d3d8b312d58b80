"""The timetable as a base of the stack: how often a bar of this hour and weekday holds.

It stands beside the learners so that none of them is credited with what a table of 24 cells knows.
"""

import dataclasses
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from kernel.decision import CLASSES
from research.graphs import export
from research.models.base import FittedBase, Float32, Float64, TrainingRows
from research.strict import STRICT

HOLD = CLASSES.index("HOLD")
HOUR = ("session_hour_sin", "session_hour_cos")
WEEKDAY = ("weekday_sin", "weekday_cos")
DAY_MINUTES = 1440
WEEKEND = np.array([0, 0, 0, 0, 0, 1, 1], np.int64)  # from Monday


@dataclass(frozen=True, slots=True, config=STRICT)
class CalendarSettings:
    """Width of a slot, and the rows by which each cell is drawn to the share of all."""

    slot_hours: Annotated[int, Field(ge=1, le=24)]
    prior_rows: Annotated[float, Field(gt=0)]

    def __post_init__(self) -> None:
        if 24 % self.slot_hours:
            raise ValueError(f"slot_hours: found {self.slot_hours}, expected a divisor of 24")


@dataclasses.dataclass(frozen=True, slots=True)
class Cells:
    """The cell of a row, read off the calendar's features; `columns` are where they stand.

    Hour and weekday come as points of a circle. The slot is the one whose middle is nearest, the
    middle lying half a minute before that of the clock: a bar that closes on a whole minute is
    never as near to another, so that every bar is counted in the slot that it closes in, exactly.
    """

    columns: tuple[int, int, int, int]
    slots: int

    @property
    def hours(self) -> Float64:
        """Return the directions of the slots' middles, float64[2, slots]."""
        middle = (np.arange(self.slots) + 0.5) * (DAY_MINUTES / self.slots) - 0.5
        return _directions(middle / DAY_MINUTES)

    @property
    def weekdays(self) -> Float64:
        """Return the directions of the weekdays, float64[2, 7]."""
        return _directions(np.arange(7) / 7)

    def importance(self, features: int) -> Float64:
        """Return an equal share for each feature that is read, float64[F]."""
        shares = np.zeros(features)
        shares[list(self.columns)] = 1.0 / len(self.columns)
        return shares

    def of(self, x: Float32) -> NDArray[np.int64]:
        """Return the cell of each row of float32[n,F]: twice the slot, and one at a weekend."""
        points = np.clip(x[:, self.columns].astype(np.float64), -1.0, 1.0)
        slot = (points[:, :2] @ self.hours).argmax(axis=1)
        weekday = (points[:, 2:] @ self.weekdays).argmax(axis=1)
        return 2 * slot + WEEKEND[weekday]


@dataclasses.dataclass(frozen=True, slots=True)
class Calendar:
    """HOLD's share by slot and weekend; the side is the same coin everywhere."""

    settings: CalendarSettings
    name: str = "calendar"

    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Count; raises ValueError where the rows lack a feature of the hour or the weekday."""
        cells = Cells(_columns(rows.names), 24 // self.settings.slot_hours)
        cell = cells.of(rows.x)
        table = hold_table(cell, rows.y, rows.weight, 2 * cells.slots, self.settings.prior_rows)
        return FittedBase(
            name=self.name,
            graph=_graph(cells, table, rows.x.shape[1]),
            native=lambda x: table[cells.of(x)].astype(np.float64),
            importance=cells.importance(rows.x.shape[1]),
            contributions=None,
        )


def hold_table(
    cell: NDArray[np.int64], y: NDArray[np.int8], weight: Float64, cells: int, prior_rows: float
) -> Float32:
    """Return the class probabilities of each cell, float32[cells, 3]."""
    held = weight * (y == HOLD)
    share = held.sum() / weight.sum()
    hold = np.bincount(cell, held, cells) + prior_rows * share
    hold /= np.bincount(cell, weight, cells) + prior_rows
    sell, buy = weight[y == 0].sum(), weight[y == 2].sum()
    side = np.array([sell, buy]) / (sell + buy) if sell + buy > 0 else np.full(2, 0.5)
    table = np.outer(1.0 - hold, np.insert(side, HOLD, 0.0))
    table[:, HOLD] = hold
    return table.astype(np.float32)


def _columns(names: tuple[str, ...]) -> tuple[int, int, int, int]:
    missing = [name for name in (*HOUR, *WEEKDAY) if name not in names]
    if missing:
        raise ValueError(
            f"features: found no {', '.join(missing)}, expected {', '.join((*HOUR, *WEEKDAY))}: "
            "name them in the signal's set of features.yaml, or take calendar out of stack.yaml"
        )
    first, second, third, fourth = (names.index(name) for name in (*HOUR, *WEEKDAY))
    return first, second, third, fourth


def _directions(turns: Float64) -> Float64:
    return np.stack([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)])


def _graph(cells: Cells, table: Float32, width: int) -> bytes:
    """Return the graph of the same arithmetic, in float64 up to the table."""
    from onnx import TensorProto, helper

    nodes: list[Any] = []
    for name in ("hour", "weekday"):
        nodes += [
            helper.make_node("Gather", [export.INPUT, f"{name}/columns"], [f"{name}/read"], axis=1),
            helper.make_node("Cast", [f"{name}/read"], [f"{name}/wide"], to=TensorProto.DOUBLE),
            helper.make_node("Clip", [f"{name}/wide", "low", "high"], [f"{name}/point"]),
            helper.make_node(
                "MatMul", [f"{name}/point", f"{name}/directions"], [f"{name}/nearness"]
            ),
            helper.make_node("ArgMax", [f"{name}/nearness"], [name], axis=1, keepdims=0),
        ]
    nodes += [
        helper.make_node("Gather", ["weekend", "weekday"], ["free"]),
        helper.make_node("Mul", ["hour", "two"], ["first"]),
        helper.make_node("Add", ["first", "free"], ["cell"]),
        helper.make_node("Gather", ["table", "cell"], [export.PROBABILITIES], axis=0),
    ]
    tensors = {
        "hour/columns": np.array(cells.columns[:2]),
        "weekday/columns": np.array(cells.columns[2:]),
        "hour/directions": cells.hours,
        "weekday/directions": cells.weekdays,
        "low": np.array(-1.0),
        "high": np.array(1.0),
        "weekend": WEEKEND,
        "two": np.array(2),
        "table": table,
    }
    return export.base_graph(nodes, tensors, width)


BASE = Calendar
