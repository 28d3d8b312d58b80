"""An unmodified ccxt client reads the venue as it reads the exchange."""

from typing import Any

import pytest

from replay_venue.market.generator import GeneratedMarket, generate
from tests.hung import HUNG_S
from tests.replay_venue.served import BAR_MS, Served, at, binance_usdm, serving

START = at("2025-03-31")


@pytest.fixture(scope="module")
def client(still: Served) -> Any:
    return binance_usdm(still.url)


@pytest.fixture(scope="module")
def market() -> GeneratedMarket:
    return generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=START,
        end_ms=at("2025-04-10 07:00"),
        timeframe="15m",
    )


def paged(client: Any, symbol: str, limit: int) -> list[list[float]]:
    """Return all candles, page by page, the unfinished one last."""
    rows: list[list[float]] = []
    since = START
    while page := client.fetch_ohlcv(symbol, "15m", since=since, limit=limit):
        rows += page
        since = int(page[-1][0]) + BAR_MS
    return rows


def test_ccxt_loads_the_markets(client: Any) -> None:
    """Symbols, ticks, lots and limits arrive as of a linear perpetual."""
    markets = client.load_markets()
    assert list(markets) == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    bitcoin = markets["BTC/USDT:USDT"]
    assert (bitcoin["swap"], bitcoin["linear"], bitcoin["active"]) == (True, True, True)
    assert bitcoin["precision"]["price"] == 0.1
    assert bitcoin["limits"]["amount"]["min"] == 0.001


@pytest.mark.parametrize("limit", [100, 96, 1_000])
def test_ccxt_pages_through_exactly_the_generated_bars(
    client: Any, market: GeneratedMarket, limit: int
) -> None:
    """Every page size gives the generator's own doubles, and the unfinished bar at the end."""
    rows = paged(client, "BTC/USDT:USDT", limit)
    bars = market.bars
    columns = (bars.open_time_ms, bars.open, bars.high, bars.low, bars.close, bars.volume)
    complete = [list(row) for row in zip(*(c.tolist() for c in columns), strict=True)]
    assert rows[:-1] == complete
    assert rows[-1][0] == at("2025-04-10 07:00")


def test_ccxt_shows_the_unfinished_bar_without_its_future(client: Any) -> None:
    """The last candle is the seven minutes that are over and the trades since, nothing later."""
    last = client.fetch_ohlcv("BTC/USDT:USDT", "15m", limit=1)[-1]
    since = client.fetch_trades("BTC/USDT:USDT", since=at("2025-04-10 07:07"))
    prices = [trade["price"] for trade in since]
    minutes = generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=at("2025-04-10 07:00"),
        end_ms=at("2025-04-10 07:07"),
        timeframe="1m",
    ).bars
    highest, lowest = max(minutes.high.max(), *prices), min(minutes.low.min(), *prices)
    assert len(prices) > 1
    assert last[1:5] == [minutes.open[0], highest, lowest, prices[-1]]
    volume = minutes.volume.sum() + sum(trade["amount"] for trade in since)
    assert last[5] == pytest.approx(volume, abs=1e-9)


def test_ccxt_reads_funding(client: Any, market: GeneratedMarket) -> None:
    """Funding history pages hold the generated rates, to the digit."""
    rows = client.fetch_funding_rate_history("BTC/USDT:USDT", since=START, limit=1_000)
    assert [row["timestamp"] for row in rows] == market.funding.time_ms.tolist()
    assert [row["fundingRate"] for row in rows] == market.funding.value.tolist()


def test_ccxt_pages_through_open_interest(client: Any, market: GeneratedMarket) -> None:
    """Open interest in base quantity is the generated series, page by page."""
    found: list[tuple[int, float]] = []
    since = START
    while page := client.fetch_open_interest_history(
        "BTC/USDT:USDT", "15m", since=since, limit=500
    ):
        found += [(row["timestamp"], row["openInterestAmount"]) for row in page]
        since = page[-1]["timestamp"] + BAR_MS
    series = market.open_interest
    expected = list(zip(series.time_ms.tolist(), series.value.tolist(), strict=True))
    assert found[:-1] == expected
    assert found[-1][0] == at("2025-04-10 07:00")


def test_ccxt_reads_book_trades_and_tickers(client: Any, still: Served) -> None:
    """The other public calls agree with the last price and with each other."""
    last = client.fetch_ticker("BTC/USDT:USDT")["last"]
    book = client.fetch_order_book("BTC/USDT:USDT", 5)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert book["bids"][0][0] == pytest.approx(last, rel=1e-3)
    assert len(book["bids"]) == len(book["asks"]) == 5
    trades = client.fetch_trades("BTC/USDT:USDT", limit=40)
    assert trades[-1]["price"] == last
    assert client.fetch_time() == still.venue.clock.now_ms()
    assert client.fetch_funding_rate("BTC/USDT:USDT")["fundingRate"] is not None
    assert client.fetch_open_interest("ETH/USDT:USDT")["openInterestAmount"] > 0


def test_ccxt_trades_make_up_their_minute(client: Any) -> None:
    """The trades of a minute have its candle's prices and sum to its volume."""
    since = at("2025-04-10 06:00")
    trades = client.fetch_trades("BTC/USDT:USDT", since=since, params={"until": since + 59_999})
    minute = client.fetch_ohlcv("BTC/USDT:USDT", "1m", since=since, limit=1)[0]
    prices = [trade["price"] for trade in trades]
    assert [prices[0], max(prices), min(prices), prices[-1]] == minute[1:5]
    assert sum(trade["amount"] for trade in trades) == pytest.approx(minute[5], abs=1e-9)


def test_ccxt_names_an_unknown_symbol(client: Any) -> None:
    """The exchange's error shape becomes ccxt's own BadSymbol."""
    import ccxt

    with pytest.raises(ccxt.BadSymbol, match="-1121"):
        client.fapiPublicGetKlines({"symbol": "NOPEUSDT", "interval": "15m"})


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("http429", "DDoSProtection"),
        ("http5xx", "OperationFailed"),
        ("drop", "NetworkError"),
        ("slow", "RequestTimeout"),
    ],
)
def test_ccxt_sees_a_fault_and_then_the_data(still: Served, kind: str, error: str) -> None:
    """Each REST fault is an error to ccxt, never wrong rows; the next request is whole."""
    import ccxt

    client = binance_usdm(still.url)
    client.load_markets()
    whole = client.fetch_ohlcv("BTC/USDT:USDT", "15m", since=START, limit=50)
    before = still.get("/control/faults")["injected"][kind]
    client.timeout = 300
    still.control("faults", kind=kind, count=1, match="klines", delay_ms=600)
    with pytest.raises(getattr(ccxt, error)):
        client.fetch_ohlcv("BTC/USDT:USDT", "15m", since=START, limit=50)
    client.timeout = 1_000 * HUNG_S
    assert client.fetch_ohlcv("BTC/USDT:USDT", "15m", since=START, limit=50) == whole
    assert still.get("/control/faults")["injected"][kind] == before + 1


def test_ccxt_hides_a_truncated_answer(still: Served) -> None:
    """Half a JSON body is an empty page to ccxt, not an error; only its last JSON being None tells.

    Whoever pages with ccxt must look there, or a cut answer ends the history early and silently.
    """
    client = binance_usdm(still.url)
    client.enableLastJsonResponse = True
    client.load_markets()
    still.control("faults", kind="truncate", count=1, match="klines")
    assert client.fetch_ohlcv("BTC/USDT:USDT", "15m", since=START, limit=50) == []
    assert client.last_http_response
    assert client.last_json_response is None
    assert len(client.fetch_ohlcv("BTC/USDT:USDT", "15m", since=START, limit=50)) == 50
    assert client.last_json_response is not None


def test_ccxt_reads_a_price_of_many_zeros_and_orders_at_it() -> None:
    """Candles of a coin of 0.00001 keep their digits, and an order's price and amount do too."""
    with serving("--symbols", "PEPEUSDT", "--start", "2025-04-10", "--speed", "1e-9") as served:
        client = binance_usdm(served.url)
        client.load_markets()
        symbol = "PEPE/USDT:USDT"
        bars = generate(
            seed=7,
            symbol="PEPEUSDT",
            edge=0.12,
            start_ms=START,
            end_ms=at("2025-04-10"),
            timeframe="15m",
        ).bars
        rows = client.fetch_ohlcv(symbol, "15m", since=START, limit=100)
        prices = [row[4] for row in rows]
        assert prices == bars.close[:100].tolist()
        assert max(prices) < 0.0001
        assert len(set(prices)) > 50
        for price in prices:
            assert float(client.price_to_precision(symbol, price)) == price
        limits = client.market(symbol)["limits"]["amount"]
        wanted = 1_000.0 / prices[0]
        assert limits["min"] <= wanted <= limits["max"]
        assert float(client.amount_to_precision(symbol, wanted)) == pytest.approx(wanted, abs=1.0)


def test_ccxt_reads_settlements_at_the_interval_of_each_symbol() -> None:
    """Hours between settlements come from fundingInfo, the next one from premiumIndex, and the
    history shows the change.
    """
    schedule = "BTCUSDT=1@2025-04-09,ETHUSDT=4"
    arguments = ("--start", "2025-04-10 01:30", "--speed", "1e-9", "--funding-hours", schedule)
    with serving(*arguments) as served:
        client = binance_usdm(served.url)
        client.load_markets()
        intervals = client.fetch_funding_intervals()
        assert intervals["BTC/USDT:USDT"]["interval"] == "1h"
        assert intervals["ETH/USDT:USDT"]["interval"] == "4h"
        now = client.fetch_funding_rate("BTC/USDT:USDT")
        assert now["fundingTimestamp"] == at("2025-04-10 02:00")
        rows = client.fetch_funding_rate_history(
            "BTC/USDT:USDT", since=at("2025-04-08"), limit=1_000
        )
        hours = [(int(row["timestamp"]) - at("2025-04-08")) // 3_600_000 for row in rows]
        assert hours == [0, 8, 16, *range(24, 50)]
