"""Unmodified ccxt clients of Coinbase and Hyperliquid read the stand-ins as they read the real."""

from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.hung import HUNG_S
from tests.replay_venue.served import BAR_MS, Served, at

START = at("2025-03-31")
NOW = at("2025-04-10 07:07:30")


def pointed(name: str, url: str) -> Any:
    """Return ccxt's own client, its endpoints pointed at the stand-in."""
    import ccxt

    client = getattr(ccxt, name)({"enableRateLimit": False, "timeout": 1_000 * HUNG_S})
    client.urls["api"] = {
        key: f"{url}/{name}{urlsplit(value).path}" for key, value in client.urls["api"].items()
    }
    return client


@pytest.fixture(scope="module")
def coinbase(standing: Served) -> Any:
    return pointed("coinbase", standing.url)


@pytest.fixture(scope="module")
def hyperliquid(standing: Served) -> Any:
    return pointed("hyperliquid", standing.url)


def paged(client: Any, symbol: str, timeframe: str, step_ms: int, limit: int) -> list[list[float]]:
    """Return all candles from the start of history to the present, page by page."""
    rows: list[list[float]] = []
    since = START
    while since < NOW:
        until = min(since + (limit - 1) * step_ms, NOW)
        rows += client.fetch_ohlcv(symbol, timeframe, since, limit, {"until": until})
        since = until // step_ms * step_ms + step_ms
    return rows


def test_coinbase_loads_its_markets(coinbase: Any) -> None:
    """Spot products of each base against each quote arrive; the clock is in whole seconds."""
    assert coinbase.fetch_time() == NOW
    markets = coinbase.load_markets()
    assert {"BTC/USD", "BTC/USDT", "ETH/USDC"} <= set(markets)
    assert markets["BTC/USDT"]["spot"]
    assert markets["BTC/USDT"]["precision"]["price"] == 0.1


@pytest.mark.parametrize("limit", [300, 77])
def test_coinbase_candles_are_the_index(standing: Served, coinbase: Any, limit: int) -> None:
    """Every page size gives the index's candles, and the unfinished one last."""
    rows = paged(coinbase, "BTC/USDT", "15m", BAR_MS, limit)
    index = standing.venue.market.index_bars("BTCUSDT", "15m", START, at("2025-04-10 07:00"))
    prices = (index.open_time_ms, index.open, index.high, index.low, index.close)
    complete = [list(row) for row in zip(*(c.tolist() for c in prices), strict=True)]
    assert [row[:5] for row in rows[:-1]] == complete
    assert rows[-1][0] == at("2025-04-10 07:00")
    assert all(row[5] > 0 for row in rows[:-1])


def test_coinbase_shows_nothing_of_the_future(standing: Served, coinbase: Any) -> None:
    """The unfinished candle is made of whole minutes that are over."""
    last = coinbase.fetch_ohlcv("BTC/USDT", "15m", at("2025-04-10 07:00"), 1)[0]
    opened = at("2025-04-10 07:00")
    minutes = standing.venue.market.index_bars("BTCUSDT", "1m", opened, opened + 7 * 60_000)
    assert last[1:5] == [minutes.open[0], minutes.high.max(), minutes.low.min(), minutes.close[-1]]
    assert coinbase.fetch_ohlcv("BTC/USDT", "15m", NOW + BAR_MS, 10) == []


def test_coinbase_differs_a_little_from_the_perpetual(standing: Served, coinbase: Any) -> None:
    """Spot is not the perpetual, and within half a per cent of it."""
    rows = np.array(coinbase.fetch_ohlcv("BTC/USDT", "15m", START, 300))
    perpetual = standing.venue.market.bars("BTCUSDT", "15m", START, START + 300 * BAR_MS)
    apart = np.abs(rows[:, 4] / perpetual.close - 1.0)
    assert 0.0 < apart.max() < 0.005


@pytest.mark.parametrize(
    ("product", "query", "status"),
    [
        ("NO-USD", {"granularity": "ONE_HOUR", "start": 1, "end": 2}, 404),
        ("BTC-USD", {"granularity": "ONE_YEAR", "start": 1, "end": 2}, 400),
        ("BTC-USD", {"granularity": "ONE_MINUTE", "start": 0, "end": 60 * 351}, 400),
        ("BTC-USD", {"granularity": "ONE_MINUTE", "start": "x", "end": 2}, 400),
        ("BTC-USD", {"granularity": "ONE_MINUTE", "start": 3, "end": 2}, 400),
    ],
)
def test_coinbase_refuses(
    standing: Served, product: str, query: dict[str, Any], status: int
) -> None:
    """Unknown products and granularities, and more than 350 candles, are refused in words."""
    path = f"/coinbase/api/v3/brokerage/market/products/{product}/candles"
    answer = standing.http.get(path, params=query)
    assert answer.status_code == status
    assert answer.json()["message"]


def test_coinbase_names_an_unknown_product(coinbase: Any) -> None:
    """ccxt knows what is not traded."""
    import ccxt

    with pytest.raises(ccxt.BadSymbol):
        coinbase.fetch_ohlcv("NOPE/USD", "15m", START, 1)


def test_hyperliquid_loads_its_markets(hyperliquid: Any) -> None:
    """Perpetuals settle in USDC; time is the venue's."""
    assert hyperliquid.fetch_time() == NOW
    markets = hyperliquid.load_markets()
    assert {"BTC/USDC:USDC", "ETH/USDC:USDC"} <= set(markets)
    assert markets["BTC/USDC:USDC"]["swap"]
    assert hyperliquid.fetch_open_interest("BTC/USDC:USDC")["openInterestAmount"] > 0
    assert hyperliquid.fetch_funding_rates(["BTC/USDC:USDC"])["BTC/USDC:USDC"]["fundingRate"]


@pytest.mark.parametrize("limit", [5_000, 100])
def test_hyperliquid_candles_are_the_perpetuals(
    standing: Served, hyperliquid: Any, limit: int
) -> None:
    """Every page size gives the market's own doubles, and the unfinished bar last."""
    rows = paged(hyperliquid, "BTC/USDC:USDC", "15m", BAR_MS, limit)
    bars = standing.venue.market.bars("BTCUSDT", "15m", START, at("2025-04-10 07:00"))
    columns = (bars.open_time_ms, bars.open, bars.high, bars.low, bars.close, bars.volume)
    assert rows[:-1] == [list(row) for row in zip(*(c.tolist() for c in columns), strict=True)]
    assert rows[-1][0] == at("2025-04-10 07:00")


def test_hyperliquid_gives_the_latest_5000_candles(hyperliquid: Any) -> None:
    """A window that is too long loses its beginning, as at the exchange: page from behind."""
    rows = hyperliquid.fetch_ohlcv("BTC/USDC:USDC", "1m", START, 9_999, {"until": NOW})
    assert len(rows) == 5_000
    assert rows[-1][0] == NOW // 60_000 * 60_000


def test_hyperliquid_pages_through_funding(standing: Served, hyperliquid: Any) -> None:
    """The settlements are the market's, to the digit, and none is from the future."""
    rows = hyperliquid.fetch_funding_rate_history("ETH/USDC:USDC", START, None, {"until": NOW * 2})
    settled = standing.venue.market.funding("ETHUSDT", START, NOW)
    assert [row["timestamp"] for row in rows] == settled.time_ms.tolist()
    assert [row["fundingRate"] for row in rows] == settled.value.tolist()
    later = {"type": "fundingHistory", "coin": "ETH", "startTime": rows[1]["timestamp"] + 1}
    assert len(standing.http.post("/hyperliquid/info", json=later).json()) == len(rows) - 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b'{"type": 3}', 422),
        (b'{"type": "weather"}', 422),
        (b'{"type": "candleSnapshot"}', 422),
        (b'{"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "2s"}}', 422),
        (b'{"type": "fundingHistory", "coin": "BTC"}', 422),
        (b'{"type": "fundingHistory", "coin": "BTC", "startTime": "now"}', 422),
        (b'{"type": "fundingHistory", "coin": "NOPE", "startTime": 1}', 500),
        (b"[" * 5_000, 422),
    ],
)
def test_hyperliquid_refuses(standing: Served, body: bytes, status: int) -> None:
    """What cannot be read is 422, what is not traded 500, never a broken answer."""
    answer = standing.http.post(
        "/hyperliquid/info", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status
    answer.json()
