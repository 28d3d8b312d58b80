"""Daily on-chain metrics as Coin Metrics' community API v4 pages them."""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime

from kernel.onchain_metrics import METRICS
from replay_venue.market.intervals import DAY_MS
from replay_venue.serving.parameters import RefusedError, whole
from replay_venue.serving.venue import ServedVenue
from replay_venue.serving.wire import JsonObject, decimals

MAX_PAGE = 10_000
Query = Mapping[str, str]
Key = tuple[int, str]  # of a row: the asset's place in the request, the day


class BadParameterError(Exception):
    """A request Coin Metrics would refuse."""


def metrics_page(venue: ServedVenue, query: Query) -> JsonObject:
    """Return one page of daily values, by asset and then time; `next_page_token` leads to the next.

    Pages run from the end by default, as Coin Metrics' do; `paging_from=start` turns them round.
    Rows are ascending in each. A token names the row at which to go on, so that days which are
    published between two pages move nothing. A day of which no metric is known is no row.
    """
    metrics = _listed(query, "metrics", METRICS)
    assets = _assets(venue, query)
    _choice(query, "frequency", ("1d",))
    size = _number(query, "page_size", 100)
    if not 1 <= size <= MAX_PAGE:
        raise BadParameterError(
            f"Bad parameter 'page_size'. Value '{size}' is not in 1 to {MAX_PAGE}."
        )
    paging_from = _choice(query, "paging_from", ("end", "start"))
    token = _token(query)
    rows = {
        (place, row["time"]): row
        for place, asset in enumerate(assets)
        for row in _rows(venue, asset, query, metrics)
    }
    return _page(rows, size, paging_from, token)


def catalog(venue: ServedVenue, query: Query) -> JsonObject:
    """Return which metrics each asset has, and from when to when."""
    known = _bases(venue)
    assets = _listed(query, "assets", known) if query.get("assets") else known
    metrics = _listed(query, "metrics", METRICS) if query.get("metrics") else METRICS
    rows = [
        {"asset": asset, "metrics": found}
        for asset in assets
        if (found := _catalogued(venue, asset, metrics))
    ]
    return {"data": rows}


def _catalogued(venue: ServedVenue, asset: str, metrics: tuple[str, ...]) -> list[JsonObject]:
    rows = list(_rows(venue, asset, {}, metrics))
    found: list[JsonObject] = []
    for metric in metrics:
        days = [row["time"] for row in rows if row[metric] is not None]
        if days:
            daily = {"frequency": "1d", "min_time": days[0], "max_time": days[-1]}
            found.append({"metric": metric, "frequencies": [daily | {"community": True}]})
    return found


def _page(
    rows: dict[Key, JsonObject], size: int, paging_from: str, token: Key | None
) -> JsonObject:
    keys = sorted(rows)
    if paging_from == "start":
        left = [key for key in keys if token is None or key >= token]
        page = left[:size]
        further = left[size : size + 1]
    else:
        left = [key for key in keys if token is None or key <= token]
        page = left[-size:]
        further = left[:-size][-1:]
    answer: JsonObject = {"data": [rows[key] for key in page]}
    if further:
        text = json.dumps(further[0]).encode()
        answer["next_page_token"] = base64.urlsafe_b64encode(text).decode().rstrip("=")
    return answer


def _rows(
    venue: ServedVenue, asset: str, query: Query, metrics: tuple[str, ...]
) -> list[JsonObject]:
    start_ms = _time(query, "start_time")
    end_ms = _time(query, "end_time")
    start_ms = start_ms if start_ms is None else start_ms + _excluded(query, "start_inclusive")
    end_ms = end_ms if end_ms is None else end_ms - _excluded(query, "end_inclusive")
    days = venue.onchain(asset.upper(), start_ms, end_ms)
    values = [days.value[name] for name in metrics if name in days.value]
    texts = {name: decimals(days.value[name]) for name in metrics if name in days.value}
    found: list[JsonObject] = []
    for at, time_ms in enumerate(days.time_ms.tolist()):
        if all(math.isnan(column[at]) for column in values):
            continue
        known = {name: text[at] for name, text in texts.items() if text[at] != "nan"}
        found.append(
            {"asset": asset, "time": _day(time_ms), **{name: known.get(name) for name in metrics}}
        )
    return found


def _day(time_ms: int) -> str:
    stamp = datetime.fromtimestamp(time_ms // DAY_MS * DAY_MS // 1_000, UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.000000000Z")


def _bases(venue: ServedVenue) -> tuple[str, ...]:
    return tuple(venue.market.instrument(symbol).base.lower() for symbol in venue.market.symbols)


def _assets(venue: ServedVenue, query: Query) -> tuple[str, ...]:
    return _listed(query, "assets", _bases(venue))


def _listed(query: Query, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part for part in query.get(name, "").split(",") if part))
    if not found:
        raise BadParameterError(f"Missing parameter '{name}'.")
    for value in found:
        if value not in known:
            raise BadParameterError(f"Bad parameter '{name}'. Value '{value}' is not supported.")
    return found


def _choice(query: Query, name: str, known: tuple[str, ...]) -> str:
    value = query.get(name, known[0])
    if value not in known:
        raise BadParameterError(
            f"Bad parameter '{name}'. Value '{value}' is not one of {list(known)}."
        )
    return value


def _excluded(query: Query, name: str) -> int:
    """Return by how many milliseconds an end of the window is narrowed: 1 where it is not in it."""
    return int(_choice(query, name, ("true", "false")) == "false")


def _token(query: Query) -> Key | None:
    text = query.get("next_page_token")
    if not text:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        place, day = json.loads(base64.urlsafe_b64decode(padded))
        return int(place), str(day)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadParameterError(
            f"Bad parameter 'next_page_token'. Value '{text[:80]}' is none of ours."
        ) from error


def _number(query: Query, name: str, default: int) -> int:
    try:
        value = whole(query, name)
    except RefusedError as error:
        raise BadParameterError(f"Bad parameter '{name}'. It is not a whole number.") from error
    return default if value is None else value


def _time(query: Query, name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadParameterError(
            f"Bad parameter '{name}'. Value '{text}' is not ISO 8601."
        ) from error
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000)
