"""Faults on demand: what a real exchange does on a bad day, counted and repeatable."""

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

Kind = Literal["drop", "http429", "http5xx", "truncate", "slow", "duplicate", "skip", "reorder"]
Channel = Literal["rest", "stream"]

KINDS: tuple[Kind, ...] = get_args(Kind)
CHANNELS: dict[Kind, tuple[Channel, ...]] = {
    "drop": ("rest", "stream"),
    "http429": ("rest",),
    "http5xx": ("rest",),
    "truncate": ("rest",),
    "slow": ("rest",),
    "duplicate": ("stream",),
    "skip": ("stream",),
    "reorder": ("stream",),
}
MAX_ARMED = 64


@dataclass(frozen=True, slots=True)
class Fault:
    """One armed fault: it hits the next `count` events it fits, or each with probability `rate`.

    `match` is a part of the REST path or of the stream's name; empty fits all. `channel` None is
    every channel the kind knows. `delay_ms` is real time, for slow answers. Stream faults hit
    closed bars only.
    """

    kind: Kind
    count: int | None = None
    rate: float | None = None
    channel: Channel | None = None
    match: str = ""
    delay_ms: int = 2_000

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault: found kind {self.kind!r}, expected one of {list(KINDS)}")
        if (self.count is None) == (self.rate is None):
            raise ValueError("fault: found both or neither of count and rate, expected one of them")
        if self.count is not None and not 1 <= self.count <= 1_000_000:
            raise ValueError(f"fault: found count {self.count}, expected 1 to 1000000")
        if self.rate is not None and not 0.0 < self.rate <= 1.0:
            raise ValueError(f"fault: found rate {self.rate}, expected above 0 and at most 1")
        if self.channel is not None and self.channel not in CHANNELS[self.kind]:
            allowed = list(CHANNELS[self.kind])
            raise ValueError(
                f"fault {self.kind}: found channel {self.channel!r}, expected {allowed}"
            )
        if not 0 <= self.delay_ms <= 60_000:
            raise ValueError(f"fault: found delay_ms {self.delay_ms}, expected 0 to 60000")

    def fits(self, channel: Channel, name: str) -> bool:
        """Return whether an event called `name` may be hit."""
        wanted = CHANNELS[self.kind] if self.channel is None else (self.channel,)
        return channel in wanted and self.match in name


class Faults:
    """The armed faults, oldest first; draws are seeded, so the same events meet the same faults."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose, not a secret
        self._armed: deque[Fault] = deque()
        self._injected = dict.fromkeys(KINDS, 0)

    def arm(self, fault: Fault) -> None:
        """Add a fault; ValueError when too many are armed."""
        if len(self._armed) >= MAX_ARMED:
            raise ValueError(f"faults: found {MAX_ARMED} armed, expected fewer: clear them first")
        self._armed.append(fault)

    def clear(self) -> None:
        """Disarm everything and begin the draws anew; counters stay."""
        self._armed.clear()
        self._random.seed(self._seed)

    def strike(self, channel: Channel, name: str) -> Fault | None:
        """Return the fault that hits this event, if any, and count it."""
        for index, fault in enumerate(self._armed):
            if not fault.fits(channel, name):
                continue
            if fault.rate is not None and self._random.random() >= fault.rate:
                continue
            self._injected[fault.kind] += 1
            if fault.count is not None:
                self._use_up(index, fault.count)
            return fault
        return None

    def report(self) -> dict[str, object]:
        """Return what is armed and how many events each kind has hit."""
        return {"armed": [asdict(fault) for fault in self._armed], "injected": dict(self._injected)}

    def _use_up(self, index: int, count: int) -> None:
        if count == 1:
            del self._armed[index]
        else:
            self._armed[index] = replace(self._armed[index], count=count - 1)


class Sequencer:
    """Applies stream faults to the closed bars of one stream, in their order."""

    def __init__(self, faults: Faults, name: str) -> None:
        self._faults = faults
        self._name = name
        self._held: deque[bytes] = deque()

    def passed_on(self, message: bytes) -> Iterable[bytes] | None:
        """Return the messages to send in place of `message`; None: the connection breaks instead.

        A reordered message is sent right after the one that follows it.
        """
        fault = self._faults.strike("stream", self._name)
        kind = fault.kind if fault else None
        if kind == "drop":
            self._held.clear()
            return None
        if kind == "reorder":
            self._held.append(message)
            return ()
        sent = {"skip": (), "duplicate": (message, message)}.get(kind or "", (message,))
        late = tuple(self._held)
        self._held.clear()
        return (*sent, *late)
