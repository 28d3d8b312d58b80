"""Order blocks, fair-value gaps, breaks of structure and pools of stops, each known only from the
bar that confirms it.
"""

from kernel.features.bounds import NAN, blank
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    AVERAGE_SLOTS,
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    VOLUME,
    Observation,
    Out,
    State,
    average,
    clip,
    true_range,
)
from kernel.features.smart_money_side import (
    BLOCKS,
    GAPS,
    POOLS,
    SIDE_SLOTS,
    add_block,
    advance,
    remember_falling,
)
from kernel.features.smart_money_zones import HIGHEST_UPPER, born, strength
from kernel.features.windows import back, push, total

WARMUP = 100
_BARS = 0
_CLOSE = 1
_ATR = 2
_TREND = _ATR + AVERAGE_SLOTS
_BOS = _TREND + 1
_CHOCH = _BOS + 1
_VOLUMES = _CHOCH + 1
_VOLUME_BARS = 50
_RISING = _VOLUMES + 1 + _VOLUME_BARS
_FALLING = _RISING + SIDE_SLOTS
_SLOTS = _FALLING + SIDE_SLOTS
_NEAR_ATRS = 3.0
_FARTHEST = 10.0


def step(state: State, obs: Observation, out: Out) -> None:
    """Write blocks and their volume, gaps, breaks of structure, and pools."""
    opened, high, low, close = obs[OPEN], obs[HIGH], obs[LOW], obs[CLOSE]
    bar = int(state[_BARS])
    now = bar + 1.0
    state[_BARS] = now
    push(state, _VOLUMES, _VOLUME_BARS, obs[VOLUME])
    atr = _atr(state, high, low, close)
    rises = advance(state, _RISING, bar, close, high, low, atr)
    falls = advance(state, _FALLING, bar, -close, -low, -high, atr)
    if rises:
        add_block(state, _RISING, now, _volume_ratio(state))
        _turn(state, 1.0, now)
    if falls:
        add_block(state, _FALLING, now, _volume_ratio(state))
        _turn(state, -1.0, now)
    if close < opened:
        remember_falling(state, _RISING, low, high)
    elif close > opened:
        remember_falling(state, _FALLING, -high, -low)
    if now < WARMUP:
        blank(out)
        return
    _write_blocks(state, close, atr, out)
    _write_gaps(state, close, atr, out)
    _write_structure(state, now, out)
    _write_pools(state, close, atr, out)


def _atr(state: State, high: float, low: float, close: float) -> float:
    previous_close = state[_CLOSE]
    state[_CLOSE] = close
    if previous_close == 0.0:
        return NAN
    atr = average(state, _ATR, true_range(high, low, previous_close), 14, 1.0 / 14.0)
    return atr if state[_ATR] >= 14 else NAN


def _turn(state: State, direction: float, now: float) -> None:
    """Note a break: with the trend BOS, against it CHoCH; the first only starts a trend."""
    if state[_TREND] == direction:
        state[_BOS] = now
    elif state[_TREND] == -direction:
        state[_CHOCH] = now
    state[_TREND] = direction


def _volume_ratio(state: State) -> float:
    """Return the mean volume of the last 3 bars over that of the last 50, 0..50/3; -1 where nothing
    was traded.

    Fewer than 50 count at the start of a history.
    """
    bars = min(int(state[_VOLUMES]), _VOLUME_BARS)
    last = 0.0
    for ago in range(3):
        last += back(state, _VOLUMES, _VOLUME_BARS, ago)
    all_bars = total(state, _VOLUMES, _VOLUME_BARS)
    return last * bars / (3.0 * all_bars) if all_bars > 0.0 else -1.0


def _distance(state: State, zones: int, price: float, atr: float, lowest: float) -> float:
    """Return how far `price` is above the nearest zone, in ATR within lowest..10."""
    if state[zones] == 0.0 or atr <= 0.0:
        return NAN
    return clip((price - state[zones + HIGHEST_UPPER]) / atr, lowest, _FARTHEST)


def _within(state: State, zones: int, price: float, reach: float) -> float:
    """Return 1 when `price` is at most `reach` above the nearest zone, else 0."""
    near = state[zones] > 0.0 and price - state[zones + HIGHEST_UPPER] <= reach
    return 1.0 if near else 0.0


def _write_blocks(state: State, close: float, atr: float, out: Out) -> None:
    demand, supply = _RISING + BLOCKS, _FALLING + BLOCKS
    out[0] = _within(state, demand, close, _NEAR_ATRS * atr)
    out[1] = _within(state, supply, -close, _NEAR_ATRS * atr)
    out[2] = _distance(state, demand, close, atr, -_FARTHEST)
    out[3] = _distance(state, supply, -close, atr, -_FARTHEST)
    latest = demand if born(state, demand) > born(state, supply) else supply
    ratio = strength(state, latest) if state[latest] > 0.0 else -1.0
    out[4] = ratio if ratio >= 0.0 else NAN


def _write_gaps(state: State, close: float, atr: float, out: Out) -> None:
    below, above = _RISING + GAPS, _FALLING + GAPS
    out[5] = _within(state, above, -close, _FARTHEST * atr)
    out[6] = _within(state, below, close, _FARTHEST * atr)
    out[7] = _distance(state, above, -close, atr, 0.0)
    out[8] = _distance(state, below, close, atr, 0.0)


def _write_structure(state: State, now: float, out: Out) -> None:
    bos, choch = state[_BOS], state[_CHOCH]
    out[9] = 1.0 if bos > 0.0 and now - bos < 8.0 else 0.0
    out[10] = 1.0 if choch > 0.0 and now - choch < 8.0 else 0.0
    out[11] = 0.0
    if max(bos, choch) > 0.0 and now - max(bos, choch) < 16.0:
        out[11] = 1.0 if bos > choch else -1.0


def _write_pools(state: State, close: float, atr: float, out: Out) -> None:
    above, below = _RISING + POOLS, _FALLING + POOLS
    out[12] = _distance(state, above, -close, atr, 0.0)
    out[13] = _distance(state, below, close, atr, 0.0)
    out[14] = _within(state, above, -close, _FARTHEST * atr)
    out[15] = _within(state, below, close, _FARTHEST * atr)


_ROADMAP = "novosky roadmap 17.4, made causal"
_SWING = (
    "a swing high (low) is above (below) the highs (lows) of the 10 bars before it and not below "
    "(above) those of the 10 after it, known 10 bars later"
)
_BLOCK = (
    "a bullish (bearish) order block is the low..high of the last falling (rising) candle before a "
    "close beyond the last known unbroken swing high (low), each swing and candle once, known at "
    f"that close, gone once a later bar trades through its far edge, at most 16 kept; {_SWING}"
)
_GAP = (
    "a gap is what the first and the third of three consecutive bars leave untraded between them, "
    "known at the close of the third; later bars cut off it what they trade, and it is gone when "
    "nothing is left; at most 16 a side are kept"
)
_BREAK = (
    "a break is a close beyond the last known unbroken swing high (low) and turns the trend up "
    "(down): BOS where the trend was already so, CHoCH where it was the other way, neither for the "
    f"first; {_SWING}"
)
_POOL = (
    "a pool is the highest (lowest) of a swing high (low) and those of the 16 before it within "
    "0.25 ATR14 of it with nothing beyond both in between, known with the latest of them, gone "
    f"once a later bar trades beyond it, at most 16 a side are kept; {_SWING}"
)
_OVER_ATR = "ATR14 as in atr_14, times close"
_ICT = "order blocks, fair-value gaps and pools of stops after Huddleston (ICT)"
_WHY_ABOVE = (
    f"{_ROADMAP}; a bullish gap, left by rising prices, lies below the close until it is filled, "
    "so that one above it never exists; the name is kept for the gap that pulls price up"
)
_WHY_BELOW = (
    f"{_ROADMAP}; a bearish gap, left by falling prices, lies above the close until it is filled, "
    "so that one below it never exists; the name is kept for the gap that pulls price down"
)


def _flag(name: str, formula: str, source: str, *more: str) -> Definition:
    return Definition(
        name=name,
        unit="flag",
        low=0.0,
        high=1.0,
        formula=formula,
        source=source,
        inputs=("high", "low", "close", *more),
        warmup_bars=WARMUP,
        missing="never",
    )


def _atrs(name: str, lowest: float, formula: str, source: str, *more: str) -> Definition:
    return Definition(
        name=name,
        unit="ATR",
        low=lowest,
        high=_FARTHEST,
        formula=f"{formula}, clipped to {lowest:.0f}..10, NaN without one; {_OVER_ATR}",
        source=source,
        inputs=("high", "low", "close", *more),
        warmup_bars=WARMUP,
        missing="absent",
    )


GROUP = Group(
    name="smart_money",
    step=step,
    state_size=_SLOTS,
    modules=("smart_money_side", "smart_money_zones"),
    features=(
        _flag(
            "ob_bullish_present",
            f"1 when a bullish block's top is at most 3 ATR14 below the close, else 0; {_BLOCK}",
            f"{_ROADMAP}; {_ICT}",
            "open",
        ),
        _flag(
            "ob_bearish_present",
            f"1 when a bearish block's low is at most 3 ATR14 above the close, else 0; {_BLOCK}",
            f"{_ROADMAP}; {_ICT}",
            "open",
        ),
        _atrs(
            "ob_bullish_dist",
            -_FARTHEST,
            f"(close - highest top of a bullish block) / ATR14, below 0 inside it; {_BLOCK}",
            f"{_ROADMAP}; {_ICT}",
            "open",
        ),
        _atrs(
            "ob_bearish_dist",
            -_FARTHEST,
            f"(lowest low of a bearish block - close) / ATR14, below 0 inside it; {_BLOCK}",
            f"{_ROADMAP}; {_ICT}",
            "open",
        ),
        Definition(
            name="ob_volume_ratio",
            unit="ratio",
            low=0.0,
            high=17.0,
            formula=(
                "of the latest block, either way: mean volume of the breaking bar and the 2 before "
                "it / mean of the 50 up to it; NaN without a block, or where those 50 traded "
                f"nothing; {_BLOCK}"
            ),
            source=f"{_ROADMAP}; the mean is that of the break: a zone does not weaken afterwards",
            inputs=("open", "high", "low", "close", "volume"),
            warmup_bars=WARMUP,
            missing="absent",
        ),
        _flag(
            "fvg_bull_above",
            f"1 when a gap begins at most 10 ATR14 above the close, else 0; {_GAP}",
            _WHY_ABOVE,
        ),
        _flag(
            "fvg_bear_below",
            f"1 when a gap begins at most 10 ATR14 below the close, else 0; {_GAP}",
            _WHY_BELOW,
        ),
        _atrs(
            "fvg_bull_dist",
            0.0,
            f"(lowest bottom of a gap above the close - close) / ATR14; {_GAP}",
            _WHY_ABOVE,
        ),
        _atrs(
            "fvg_bear_dist",
            0.0,
            f"(close - highest top of a gap below the close) / ATR14; {_GAP}",
            _WHY_BELOW,
        ),
        _flag("recent_bos", f"1 when one of the last 8 bars is a BOS, else 0; {_BREAK}", _ROADMAP),
        _flag(
            "recent_choch",
            f"1 when one of the last 8 bars is a CHoCH, else 0; {_BREAK}",
            _ROADMAP,
        ),
        Definition(
            name="structure_bias",
            unit="sign",
            low=-1.0,
            high=1.0,
            formula=(
                "the latest break of the last 16 bars: +1 BOS, -1 CHoCH, 0 neither, whichever way "
                f"it went; {_BREAK}"
            ),
            source=_ROADMAP,
            inputs=("high", "low", "close"),
            warmup_bars=WARMUP,
            missing="never",
        ),
        _atrs(
            "liq_above_dist",
            0.0,
            f"(lowest pool above the close - close) / ATR14; {_POOL}",
            f"{_ROADMAP}; {_ICT}",
        ),
        _atrs(
            "liq_below_dist",
            0.0,
            f"(close - highest pool below the close) / ATR14; {_POOL}",
            f"{_ROADMAP}; {_ICT}",
        ),
        _flag(
            "liq_above_present",
            f"1 when a pool is at most 10 ATR14 above the close, else 0; {_POOL}",
            f"defined here: an old pool far away is none; {_ICT}",
        ),
        _flag(
            "liq_below_present",
            f"1 when a pool is at most 10 ATR14 below the close, else 0; {_POOL}",
            f"defined here: an old pool far away is none; {_ICT}",
        ),
    ),
)
