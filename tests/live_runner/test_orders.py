"""Orders are a plain reading of the kernel's trading step."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.trading import BLOCKED, ENTRY_SIDE, EXIT_REASON, Trader
from live_runner.orders import order_changes
from tests.kernel.trading_rows import GO_LONG
from tests.kernel.trading_rows import row as trading_row
from tests.live_runner.bundles import TRADING, bold
from tests.live_runner.stage import BAR_MS

WILD = bold(TRADING, max_daily_loss=0.002, pause_bars=2, max_consecutive_losses=2)
Bar = tuple[float, float, float, float]
_bars = st.lists(
    st.tuples(
        st.floats(-0.03, 0.03), st.floats(0, 0.02), st.floats(0, 0.02), st.sampled_from([-1, 0, 1])
    ),
    min_size=5,
    max_size=120,
)


@given(bars=_bars)
@settings(max_examples=100, deadline=None)
def test_every_fill_is_one_order_through_its_states(bars: list[Bar]) -> None:
    """Entries go pending, open, filled at the next open; exits pending, filled; blocks rejected."""
    trader = Trader(WILD)
    states: dict[str, list[str]] = {}
    pending, price, entries, exits, blocks = "", 100.0, 0, 0, 0
    for i, (move, up, down, side) in enumerate(bars, start=1):
        close = price * (1 + move)
        high, low = max(price, close) * (1 + up), min(price, close) * (1 - down)
        chances = {-1: (0.8, 0.1, 0.1), 0: (0.1, 0.8, 0.1), 1: (0.1, 0.1, 0.8)}[int(side)]
        prices = (price, high, low, close)
        row = trading_row(i, prices, chances, atr=0.01 * price, start_ms=0)
        out = trader.push(row)
        changes, pending = order_changes(
            symbol="BTCUSDT",
            open_time_ms=i * BAR_MS,
            bar_ms=BAR_MS,
            row=row,
            out=out,
            pending=pending,
        )
        for change in changes:
            states.setdefault(change.id, []).append(change.state)
            assert change.side in (-1, 1)
        entries += out[ENTRY_SIDE] != 0.0
        exits += out[EXIT_REASON] != 0.0
        blocks += out[BLOCKED] != 0.0
        price = close
    paths = list(states.values())
    assert paths.count(["pending", "open", "filled"]) == entries
    assert paths.count(["pending", "filled"]) == exits
    assert paths.count(["rejected"]) == blocks
    waiting = [id_ for id_, path in states.items() if path == ["pending", "open"]]
    assert waiting == ([pending] if pending else [])
    assert entries + exits + blocks + len(waiting) == len(states)


def test_an_entry_whose_bar_is_missing_is_cancelled() -> None:
    """An order that waited for an open that never came ends, and is not waited for any longer."""
    trader = Trader(WILD)
    first = trading_row(1, wish=GO_LONG, start_ms=0)
    _, pending = order_changes(
        symbol="BTCUSDT",
        open_time_ms=BAR_MS,
        bar_ms=BAR_MS,
        row=first,
        out=trader.push(first),
        pending="",
    )
    assert pending == f"BTCUSDT-{BAR_MS}-entry"
    later = trading_row(9, start_ms=0)
    changes, waiting = order_changes(
        symbol="BTCUSDT",
        open_time_ms=9 * BAR_MS,
        bar_ms=BAR_MS,
        row=later,
        out=trader.push(later),
        pending=pending,
    )
    assert [(one.id, one.state, one.at_ms) for one in changes] == [
        (pending, "cancelled", 9 * BAR_MS)
    ]
    assert waiting == ""
