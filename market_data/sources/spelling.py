"""How sources spell a symbol of ours, from when on, and the length of a bar."""

from dataclasses import replace
from itertools import pairwise

from kernel.bars import TIMEFRAME_MS
from market_data.sources.backoff import refused
from market_data.sources.protocol import Wanted
from market_data.universe import InstrumentSettings, NameSettings

_INTERVALS = {step_ms: name for name, step_ms in TIMEFRAME_MS.items()}


def spelled(wanted: Wanted, instrument: InstrumentSettings, source: str) -> list[Wanted]:
    """Return the same rows as the source is asked for them: a part for each name it has had."""
    names = instrument.called(source)
    if not names:
        return [wanted]
    asked: list[Wanted] = []
    first_ms = names[0].since_ms
    if wanted.start_ms < first_ms:
        asked.append(replace(wanted, end_ms=min(wanted.end_ms, first_ms)))
    ends_ms = [later.since_ms for _, later in pairwise(names)] + [wanted.end_ms]
    for name, until_ms in zip(names, ends_ms, strict=True):
        start_ms = max(wanted.start_ms, name.since_ms)
        end_ms = min(wanted.end_ms, until_ms)
        if start_ms < end_ms:
            part = replace(wanted, start_ms=start_ms, end_ms=end_ms, name=name.name)
            asked.append(replace(part, scale=_scale(instrument, name)))
    return asked


def interval(step_ms: int) -> str:
    """Return the name of a bar's length, such as 15m; refuse a length that has none."""
    if step_ms not in _INTERVALS:
        raise refused("a bar's length", f"{step_ms} ms", f"one of {sorted(_INTERVALS)}")
    return _INTERVALS[step_ms]


def _scale(instrument: InstrumentSettings, name: NameSettings) -> float:
    return instrument.multiplier / name.multiplier if name.multiplier else 1.0
