"""Order blocks, fair-value gaps, breaks of structure and pools of stops, each known from the bar
that confirms it and for a week at most.

So a feature rests on the last `WARMUP` bars: a history that begins earlier gives the same. ATR14
alone remembers longer, by Wilder's recursion, and what it began with weighs 1e-44 by then.
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
    true_range,
)
from kernel.features.smart_money_side import (
    BLOCKS,
    GAPS,
    LIFE_BARS,
    POOLS,
    SIDE_SLOTS,
    SWING_BARS,
    add_block,
    advance,
    remember_falling,
)
from kernel.features.smart_money_zones import HIGHEST_UPPER, born, strength
from kernel.features.windows import back, push

_RECENT_BARS = 8
_BIAS_BARS = 16
# The longest chain: a swing, a break at its end that turns the trend, a break at the end of that.
WARMUP = 2 * SWING_BARS + 2 * LIFE_BARS + _BIAS_BARS - 2
_BARS = 0
_CLOSE = 1
_ATR = 2
_TREND = _ATR + AVERAGE_SLOTS
_TURNED = _TREND + 1
_BOS = _TURNED + 1
_CHOCH = _BOS + 1
_VOLUMES = _CHOCH + 1
_VOLUME_BARS = 50
_RISING = _VOLUMES + 1 + _VOLUME_BARS
_FALLING = _RISING + SIDE_SLOTS
_SLOTS = _FALLING + SIDE_SLOTS
_NEAR_ATRS = 3.0
_REACH_ATRS = 10.0  # what is farther away counts as absent


def step(state: State, obs: Observation, out: Out) -> None:
    """Write blocks and their volume, gaps, breaks of structure, and pools."""
    opened = obs[OPEN]
    high = obs[HIGH]
    low = obs[LOW]
    close = obs[CLOSE]
    now = state[_BARS] + 1.0
    state[_BARS] = now
    push(state, _VOLUMES, _VOLUME_BARS, obs[VOLUME])
    atr = _atr(state, high, low, close)
    rises = advance(state, _RISING, now, close, high, low, atr)
    falls = advance(state, _FALLING, now, -close, -low, -high, atr)
    if rises:
        add_block(state, _RISING, now, _volume_ratio(state))
        _turn(state, 1.0, now)
    if falls:
        add_block(state, _FALLING, now, _volume_ratio(state))
        _turn(state, -1.0, now)
    if close < opened:
        remember_falling(state, _RISING, now, low, high)
    elif close > opened:
        remember_falling(state, _FALLING, now, -high, -low)
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
    """Note a break: with the trend BOS, against it CHoCH; one without a trend only starts it."""
    if state[_TURNED] > max(now - LIFE_BARS, 0.0):
        state[_BOS if state[_TREND] == direction else _CHOCH] = now
    state[_TREND] = direction
    state[_TURNED] = now


def _volume_ratio(state: State) -> float:
    """Return the mean volume of the last 3 bars over that of the last 50, 0..50/3; -1 where nothing
    was traded.

    Summed oldest first, so that a history begun later gives the same bytes.
    """
    oldest = int(state[_VOLUMES])
    all_bars = 0.0
    for i in range(_VOLUME_BARS):
        all_bars += state[_VOLUMES + 1 + (oldest + i) % _VOLUME_BARS]
    last = 0.0
    for ago in range(3):
        last += back(state, _VOLUMES, _VOLUME_BARS, ago)
    return last * _VOLUME_BARS / (3.0 * all_bars) if all_bars > 0.0 else -1.0


def _distance(state: State, zones: int, price: float, atr: float) -> float:
    """Return how far `price` is above the nearest zone, in ATR, from -10; NaN where none is within
    10.
    """
    if state[zones] == 0.0 or atr <= 0.0:
        return NAN
    distance = (price - state[zones + HIGHEST_UPPER]) / atr
    return max(distance, -_REACH_ATRS) if distance <= _REACH_ATRS else NAN


def _write_blocks(state: State, close: float, atr: float, out: Out) -> None:
    demand = _RISING + BLOCKS
    supply = _FALLING + BLOCKS
    below = _distance(state, demand, close, atr)
    above = _distance(state, supply, -close, atr)
    out[0] = 1.0 if below <= _NEAR_ATRS else 0.0
    out[1] = 1.0 if above <= _NEAR_ATRS else 0.0
    out[2] = below
    out[3] = above
    latest = demand if born(state, demand) > born(state, supply) else supply
    ratio = strength(state, latest) if state[latest] > 0.0 else -1.0
    out[4] = ratio if ratio >= 0.0 else NAN


def _write_gaps(state: State, close: float, atr: float, out: Out) -> None:
    above = _distance(state, _FALLING + GAPS, -close, atr)
    below = _distance(state, _RISING + GAPS, close, atr)
    out[5] = 1.0 if above <= _REACH_ATRS else 0.0
    out[6] = 1.0 if below <= _REACH_ATRS else 0.0
    out[7] = above
    out[8] = below


def _write_structure(state: State, now: float, out: Out) -> None:
    bos = state[_BOS]
    choch = state[_CHOCH]
    out[9] = 1.0 if bos > 0.0 and now - bos < _RECENT_BARS else 0.0
    out[10] = 1.0 if choch > 0.0 and now - choch < _RECENT_BARS else 0.0
    out[11] = 0.0
    if max(bos, choch) > 0.0 and now - max(bos, choch) < _BIAS_BARS:
        out[11] = 1.0 if bos > choch else -1.0


def _write_pools(state: State, close: float, atr: float, out: Out) -> None:
    above = _distance(state, _RISING + POOLS, -close, atr)
    below = _distance(state, _FALLING + POOLS, close, atr)
    out[12] = above
    out[13] = below
    out[14] = 1.0 if above <= _REACH_ATRS else 0.0
    out[15] = 1.0 if below <= _REACH_ATRS else 0.0


_ROADMAP = "novosky roadmap 17.4, made causal"
_ICT = "order blocks, fair-value gaps and pools of stops after Huddleston (ICT)"
_BLOCK = (
    "a bullish block is the low..high of the last falling candle of the 16 before a break of a "
    "swing high (recent_bos), known at that close, each candle once; gone after 672 bars, or once "
    "a later bar trades below it; the latest 16 are kept"
)
_GAP = (
    "a gap above is what lies between the low of the first and the high of the third of three "
    "consecutive bars, known at the close of the third; later bars cut off it what they trade; "
    "gone after 672 bars, or when nothing is left; the latest 16 are kept"
)
_BREAK = (
    "a break is the first close beyond the latest swing high (low) and turns the trend up (down): "
    "BOS where it was so already, CHoCH where it was the other way, neither where there was none; "
    "a trend and a swing end after 672 bars; a swing high is above the highs of the 10 bars before "
    "it and not below those of the 10 after it, known 10 bars later"
)
_POOL = (
    "a pool above is the highest of a swing high (recent_bos) and those of the 16 before it within "
    "0.25 ATR14 of it with nothing beyond both in between, known with the latest of them; gone "
    "after 672 bars, or once a later bar trades above it; the latest 16 are kept"
)
_WHY_ABOVE = (
    f"{_ROADMAP}; a bullish gap, left by rising prices, lies below the close until it is filled, "
    "so that one above it never exists; the name is kept for the gap that pulls price up"
)
_WHY_BELOW = (
    f"{_ROADMAP}; a bearish gap, left by falling prices, lies above the close until it is filled, "
    "so that one below it never exists; the name is kept for the gap that pulls price down"
)
_WHY_POOL = f"defined here: says where the distance is absent; {_ICT}"


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
        high=_REACH_ATRS,
        formula=f"{formula}; NaN without one within 10; ATR14 as in atr_14, times close",
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
            "1 when a bearish block's low is at most 3 ATR14 above the close, else 0; "
            "ob_bullish_present upside down",
            f"{_ROADMAP}; {_ICT}",
            "open",
        ),
        _atrs(
            "ob_bullish_dist",
            -_REACH_ATRS,
            "(close - highest top of a bullish block (ob_bullish_present)) / ATR14, below 0 inside "
            "it, at least -10",
            f"{_ROADMAP}; {_ICT}",
            "open",
        ),
        _atrs(
            "ob_bearish_dist",
            -_REACH_ATRS,
            "(lowest low of a bearish block (ob_bearish_present) - close) / ATR14, below 0 inside "
            "it, at least -10",
            f"{_ROADMAP}; {_ICT}",
            "open",
        ),
        Definition(
            name="ob_volume_ratio",
            unit="ratio",
            low=0.0,
            high=17.0,
            formula=(
                "of the latest block, either way (ob_bullish_present): mean volume of the breaking "
                "bar and the 2 before it / mean of the 50 up to it; NaN without a block, or where "
                "those 50 traded nothing"
            ),
            source=(
                f"{_ROADMAP}: ob_volume / rolling_mean_volume(50), where the library's ob_volume "
                "is the sum of those 3 bars; their mean, a third of it, is 1 at usual volume; both "
                "means are those of the break: a zone does not weaken afterwards"
            ),
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
            "1 when a gap begins at most 10 ATR14 below the close, else 0; fvg_bull_above upside "
            "down",
            _WHY_BELOW,
        ),
        _atrs(
            "fvg_bull_dist",
            0.0,
            "(lowest bottom of a gap above (fvg_bull_above) - close) / ATR14",
            _WHY_ABOVE,
        ),
        _atrs(
            "fvg_bear_dist",
            0.0,
            "(close - highest top of a gap below (fvg_bear_below)) / ATR14",
            _WHY_BELOW,
        ),
        _flag("recent_bos", f"1 when one of the last 8 bars is a BOS, else 0; {_BREAK}", _ROADMAP),
        _flag(
            "recent_choch",
            "1 when one of the last 8 bars is a CHoCH (recent_bos), else 0",
            _ROADMAP,
        ),
        Definition(
            name="structure_bias",
            unit="sign",
            low=-1.0,
            high=1.0,
            formula=(
                "the latest BOS or CHoCH (recent_bos) of the last 16 bars: +1 BOS, -1 CHoCH, 0 "
                "neither, whichever way it went"
            ),
            source=_ROADMAP,
            inputs=("high", "low", "close"),
            warmup_bars=WARMUP,
            missing="never",
        ),
        _atrs(
            "liq_above_dist",
            0.0,
            "(lowest pool above (liq_above_present) - close) / ATR14",
            f"{_ROADMAP}; {_ICT}",
        ),
        _atrs(
            "liq_below_dist",
            0.0,
            "(close - highest pool below (liq_below_present)) / ATR14",
            f"{_ROADMAP}; {_ICT}",
        ),
        _flag(
            "liq_above_present",
            f"1 when a pool is at most 10 ATR14 above the close, else 0; {_POOL}",
            _WHY_POOL,
        ),
        _flag(
            "liq_below_present",
            "1 when a pool is at most 10 ATR14 below the close, else 0; liq_above_present upside "
            "down",
            _WHY_POOL,
        ),
    ),
)
