"""The runner's settings file, read strictly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import yaml

from kernel.bars import TIMEFRAME_MS
from kernel.observation import SERIES
from kernel.trading import TradingSettings
from live_runner.health import HealthLimits

LAGGED = (*SERIES, "minutes")


class SettingsError(ValueError):
    """Say which key of which file is wrong, what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What one runner process trades, where it reads and where it writes.

    `lags_ms` maps each series, and `minutes`, to the delay after which a row counts as known, the
    same delays as the lake's; null for one that the lake does not have. `trading` is in force while
    rules decide; a bundle brings its own. `history_bars` bars are read at a first start to warm the
    features up. What the feed brings is recorded under `recordings`, null records nothing. The
    admin token file must belong to its owner alone (0600).
    """

    host: str
    port: int
    symbols: tuple[str, ...]
    timeframe: str
    venue_rest: str
    venue_ws: str
    bundles_dir: Path
    journal: Path
    public_keys_dir: Path
    admin_token_file: Path
    lags_ms: Mapping[str, int | None]
    trading: TradingSettings
    history_bars: int
    health: HealthLimits
    recordings: Path | None

    @property
    def bar_ms(self) -> int:
        """Return the length of a bar in milliseconds."""
        return TIMEFRAME_MS[self.timeframe]


def load_settings(path: Path) -> RunnerSettings:
    """Read a runner's YAML file; unknown, missing and mistyped keys raise SettingsError."""
    body = _mapping(yaml.safe_load(path.read_text(encoding="utf-8")))
    names = {field.name for field in fields(RunnerSettings)}
    found = set(body)
    if found != names:
        raise SettingsError(
            f"{path}: found missing keys {sorted(names - found)} and "
            f"unknown keys {sorted(found - names)}, "
            f"expected exactly {sorted(names)}"
        )
    try:
        return RunnerSettings(**{name: _READERS[name](body[name]) for name in names})
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"found {value!r:.80}, expected a non-empty text")
    return value


def _path(value: Any) -> Path:
    return Path(_text(value))


def _port(value: Any) -> int:
    return _whole(value, 0, 65_535)


def _bars(value: Any) -> int:
    return _whole(value, 1, 100_000)


def _whole(value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"found {value!r:.80}, expected a whole number from {low} to {high}")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    """Return a mapping as it is, anything else as an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _symbols(value: Any) -> tuple[str, ...]:
    names = tuple(cast("list[str]", value)) if isinstance(value, list) else ()
    if not names or len(set(names)) != len(names):
        raise ValueError(f"symbols: found {value!r:.80}, expected a list of different symbols")
    for name in names:
        if not _text(name).isalnum() or name != name.upper():
            raise ValueError(f"symbols: found {name!r:.80}, expected a name such as BTCUSDT")
    return names


def _timeframe(value: Any) -> str:
    if value not in TIMEFRAME_MS:
        raise ValueError(f"timeframe: found {value!r:.80}, expected one of {sorted(TIMEFRAME_MS)}")
    return str(value)


def _lags(value: Any) -> dict[str, int | None]:
    lags = _mapping(value)
    if set(lags) != set(LAGGED):
        raise ValueError(f"lags_ms: found {value!r:.200}, expected exactly the keys {list(LAGGED)}")
    return {name: None if lag is None else _whole(lag, 0, 10**9) for name, lag in lags.items()}


def _trading(value: Any) -> TradingSettings:
    return TradingSettings.from_dict(_mapping(value))


def _health(value: Any) -> HealthLimits:
    limits, names = _mapping(value), {field.name for field in fields(HealthLimits)}
    if set(limits) != names:
        raise ValueError(f"health: found {value!r:.200}, expected exactly the keys {sorted(names)}")
    return HealthLimits(**{name: _whole(limit, 1, 10**6) for name, limit in limits.items()})


_READERS: dict[str, Callable[[Any], Any]] = {
    "host": _text,
    "port": _port,
    "symbols": _symbols,
    "timeframe": _timeframe,
    "venue_rest": _text,
    "venue_ws": _text,
    "bundles_dir": _path,
    "journal": _path,
    "public_keys_dir": _path,
    "admin_token_file": _path,
    "lags_ms": _lags,
    "trading": _trading,
    "history_bars": _bars,
    "health": _health,
    "recordings": lambda value: None if value is None else _path(value),
}
