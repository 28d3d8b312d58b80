"""The fear & greed index of alternative.me."""

from collections.abc import Mapping
from datetime import UTC, datetime

from replay_venue.market.intervals import DAY_MS
from replay_venue.serving.parameters import whole
from replay_venue.serving.venue import ServedVenue
from replay_venue.serving.wire import JsonObject

_MOODS = (
    (25, "Extreme Fear"),
    (46, "Fear"),
    (54, "Neutral"),
    (75, "Greed"),
    (100, "Extreme Greed"),
)
_DATE_FORMATS = {"us": "%m-%d-%Y", "cn": "%Y-%m-%d", "kr": "%Y-%m-%d", "world": "%d-%m-%Y"}

Query = Mapping[str, str]


def fear_greed(venue: ServedVenue, query: Query) -> JsonObject:
    """Return the index, latest first: one value by default, all for limit=0.

    Stamps are seconds, or days in the `date_format` us, cn, kr or world.
    """
    limit = whole(query, "limit")
    limit = 1 if limit is None else limit
    index = venue.fear_greed()
    stop = len(index.value) if limit == 0 else min(limit, len(index.value))
    data: list[JsonObject] = [
        {
            "value": str(int(value)),
            "value_classification": next(name for top, name in _MOODS if value <= top),
            "timestamp": _stamp(time_ms // 1_000, query.get("date_format", "")),
        }
        for time_ms, value in zip(
            index.time_ms[::-1][:stop].tolist(), index.value[::-1][:stop].tolist(), strict=True
        )
    ]
    if data and "date_format" not in query:
        left_ms = DAY_MS - venue.clock.shown_ms() % DAY_MS
        data[0]["time_until_update"] = str(left_ms // 1_000)
    return {"name": "Fear and Greed Index", "data": data, "metadata": {"error": None}}


def as_csv(venue: ServedVenue, query: Query) -> str:
    """Return the same rows as lines of timestamp, value and class, under a header."""
    rows = fear_greed(venue, query)["data"]
    names = ("timestamp", "value", "value_classification")
    lines = [",".join(names), *(",".join(row[name] for name in names) for row in rows)]
    return "\n".join(lines) + "\n"


def _stamp(second: int, date_format: str) -> str:
    if date_format not in _DATE_FORMATS:
        return str(second)
    return datetime.fromtimestamp(second, UTC).strftime(_DATE_FORMATS[date_format])
