"""Faults on demand: what a real exchange does on a bad day, counted and repeatable."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

RowKind = Literal["duplicate_rows", "reorder_rows", "skip_rows", "garbage_rows"]
AnswerKind = Literal["drop", "http418", "http429", "http5xx", "truncate", "slow", "drip"]
Kind = AnswerKind | RowKind | Literal["duplicate", "skip", "reorder", "cut"]
Channel = Literal["rest", "stream"]

ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)
ANSWER_KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)
CHANNELS: dict[Kind, tuple[Channel, ...]] = {
    **dict.fromkeys((*ANSWER_KINDS, *ROW_KINDS), ("rest",)),
    **dict.fromkeys(("duplicate", "skip", "reorder", "cut"), ("stream",)),
    "drop": ("rest", "stream"),
}
KINDS = tuple(CHANNELS)
MAX_ARMED = 64
STAND_INS = ("coinbase", "hyperliquid", "coinmetrics", "alternative")


@dataclass(frozen=True, slots=True)
class Fault:
    """One armed fault: it hits the next `count` events it fits, or each with probability `rate`.

    `match` is a part of the REST path (of a POST with the `type` in its body appended) or of the
    stream's name; empty fits all. `channel` None is every channel the kind knows. Seconds and
    milliseconds are real time: `delay_ms` before a slow answer or over a dripping body,
    `retry_after_s` in the header of a 429, and of a 418 with the length of the ban. `rows` is how
    many rows of a list are hit. Stream faults hit what is sent once, such as closed bars.
    """

    kind: Kind
    count: int | None = None
    rate: float | None = None
    channel: Channel | None = None
    match: str = ""
    delay_ms: int = 2_000
    retry_after_s: float = 1.0
    rows: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault: found kind {self.kind!r}, expected one of {list(KINDS)}")
        if (self.count is None) == (self.rate is None):
            raise ValueError("fault: found both or neither of count and rate, expected one of them")
        if self.channel is not None and self.channel not in CHANNELS[self.kind]:
            allowed = list(CHANNELS[self.kind])
            raise ValueError(
                f"fault {self.kind}: found channel {self.channel!r}, expected {allowed}"
            )
        _check("count", self.count, 1, 1_000_000)
        _check("rate", self.rate, 1e-9, 1.0)
        _check("delay_ms", self.delay_ms, 0, 60_000)
        _check("retry_after_s", self.retry_after_s, 0.0, 86_400.0)
        _check("rows", self.rows, 1, 100_000)

    def fits(self, channel: Channel, name: str) -> bool:
        """Return whether an event called `name` may be hit."""
        wanted = CHANNELS[self.kind] if self.channel is None else (self.channel,)
        return channel in wanted and self.match in name


class Faults:
    """The armed faults, oldest first; draws are seeded, so the same events meet the same faults.

    `real` gives real seconds, monotonic: bans end by it.
    """

    def __init__(self, seed: int, real: Callable[[], float] = time.monotonic) -> None:
        self._seed = seed
        self._real = real
        self._armed: deque[Fault] = deque()
        self._injected = dict.fromkeys(KINDS, 0)
        self._banned_until: dict[str, float] = {}
        self.random = random.Random(seed)  # noqa: S311 - repeatable on purpose, not a secret

    def arm(self, fault: Fault) -> None:
        """Add a fault; ValueError when too many are armed."""
        if len(self._armed) >= MAX_ARMED:
            raise ValueError(f"faults: found {MAX_ARMED} armed, expected fewer: clear them first")
        self._armed.append(fault)

    def clear(self) -> None:
        """Disarm everything, lift every ban and begin the draws anew; counters stay."""
        self._armed.clear()
        self._banned_until.clear()
        self.random.seed(self._seed)

    def strike(self, channel: Channel, name: str, kinds: tuple[Kind, ...] = KINDS) -> Fault | None:
        """Return the fault of `kinds` that hits this event, if any, and count it.

        Whoever is banned is answered 418 until the ban ends, whatever else is armed.
        """
        if channel == "rest" and "http418" in kinds and (left_s := self._ban_left_s(name)) > 0:
            self._injected["http418"] += 1
            return Fault("http418", count=1, retry_after_s=left_s)
        for index, fault in enumerate(self._armed):
            if fault.kind not in kinds or not fault.fits(channel, name):
                continue
            if fault.rate is not None and self.random.random() >= fault.rate:
                continue
            self._injected[fault.kind] += 1
            if fault.count is not None:
                self._use_up(index, fault.count)
            if fault.kind == "http418":
                self._banned_until[service(name)] = self._real() + fault.retry_after_s
            return fault
        return None

    def awaits(self, name: str, kinds: tuple[Kind, ...]) -> bool:
        """Return whether a fault of `kinds` could hit a REST answer called `name`."""
        return any(fault.kind in kinds and fault.fits("rest", name) for fault in self._armed)

    def report(self) -> dict[str, Any]:
        """Return what is armed, how many events each kind has hit, and the bans in seconds left."""
        left = {name: self._ban_left_s(f"/{name}/") for name in self._banned_until}
        return {
            "armed": [asdict(fault) for fault in self._armed],
            "injected": dict(self._injected),
            "banned_s": {name: round(s, 3) for name, s in left.items() if s > 0},
        }

    def _ban_left_s(self, name: str) -> float:
        return self._banned_until.get(service(name), 0.0) - self._real()

    def _use_up(self, index: int, count: int) -> None:
        if count == 1:
            del self._armed[index]
        else:
            self._armed[index] = replace(self._armed[index], count=count - 1)


class Sequencer:
    """Applies stream faults to the messages of one stream that are sent once, in their order."""

    def __init__(self, faults: Faults, name: str) -> None:
        self._faults = faults
        self._name = name
        self._held: deque[bytes] = deque()

    def passed_on(self, message: bytes) -> Iterable[bytes] | None:
        """Return the messages to send in place of `message`; None: the connection breaks instead.

        A reordered message is sent right after the one that follows it.
        """
        fault = self._faults.strike("stream", self._name)
        kind = fault.kind if fault else ""
        if kind == "drop":
            self._held.clear()
            return None
        if kind == "reorder":
            self._held.append(message)
            return ()
        sent = {
            "skip": (),
            "duplicate": (message, message),
            "cut": (message[: len(message) // 2],),
        }.get(kind, (message,))
        late = tuple(self._held)
        self._held.clear()
        return (*sent, *late)


def service(path: str) -> str:
    """Return whose endpoint `path` is, of `STAND_INS` or "binance"; bans are from all of it."""
    first = path.split("/")[1] if path.startswith("/") else ""
    return first if first in STAND_INS else "binance"


def _check(name: str, found: float | None, low: float, high: float) -> None:
    if found is not None and not low <= found <= high:
        raise ValueError(f"fault: found {name} {found}, expected {low:g} to {high:g}")
