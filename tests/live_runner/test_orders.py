"""Orders are a plain reading of the kernel's trading step."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.trading import Trader
from live_runner.orders import order_changes
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
        row = [i * BAR_MS + 0.0, price, high, low, close, 0.01 * price, 0.0, *chances, 0.0]
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
        entries += out[3] != 0.0
        exits += out[6] != 0.0
        blocks += out[2] != 0.0
        price = close
    paths = list(states.values())
    assert paths.count(["pending", "open", "filled"]) == entries
    assert paths.count(["pending", "filled"]) == exits
    assert paths.count(["rejected"]) == blocks
    waiting = [id_ for id_, path in states.items() if path == ["pending", "open"]]
    assert waiting == ([pending] if pending else [])
    assert entries + exits + blocks + len(waiting) == len(states)
