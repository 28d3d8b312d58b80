"""The shape of the candle, and how many candles went which way."""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import CLOSE, HIGH, LOW, OPEN, Observation, Out, State, clip
from kernel.features.windows import back, push, sliding_total

_COUNT = 0
_RUN = 1
_LONGEST_RUN = 10
_MOVE_BARS = 16
_RISING = 2
_FALLING = _RISING + 2 + _MOVE_BARS
_CLOSES = _FALLING + 2 + _MOVE_BARS
_SLOTS = _CLOSES + 1 + _MOVE_BARS + 1


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the candle's direction and shape, the run it belongs to, and who opposed the move."""
    direction = _sign(obs[CLOSE] - obs[OPEN])
    out[0] = direction
    out[1] = _run(state, direction)
    _shape(obs[OPEN], obs[HIGH], obs[LOW], obs[CLOSE], out)
    out[5] = _adverse(state, direction, obs[CLOSE])


def _sign(x: float) -> float:
    if x > 0.0:
        return 1.0
    return -1.0 if x < 0.0 else 0.0


def _run(state: State, direction: float) -> float:
    """Return the signed length of the run of equal candles, held within +-10."""
    run = state[_RUN] if state[_RUN] * direction > 0.0 else 0.0
    state[_RUN] = clip(run + direction, -10.0, 10.0)
    state[_COUNT] += 1.0
    return state[_RUN] if state[_COUNT] >= _LONGEST_RUN else NAN


def _shape(open_price: float, high: float, low: float, close: float, out: Out) -> None:
    span = high - low
    if span <= 0.0:
        out[2] = 0.0
        out[3] = 0.0
        out[4] = 0.0
        return
    out[2] = clip(abs(close - open_price) / span, 0.0, 1.0)
    out[3] = clip((high - max(open_price, close)) / span, 0.0, 1.0)
    out[4] = clip((min(open_price, close) - low) / span, 0.0, 1.0)


def _adverse(state: State, direction: float, close: float) -> float:
    rising = sliding_total(state, _RISING, _MOVE_BARS, max(direction, 0.0))
    falling = sliding_total(state, _FALLING, _MOVE_BARS, max(-direction, 0.0))
    if push(state, _CLOSES, _MOVE_BARS + 1, close) < _MOVE_BARS + 1:
        return NAN
    earlier = back(state, _CLOSES, _MOVE_BARS + 1, _MOVE_BARS)
    if close == earlier:
        return 0.0
    return (falling if close > earlier else rising) / _MOVE_BARS


def _part(name: str, part: str) -> Definition:
    return Definition(
        name=name,
        unit="ratio",
        low=0.0,
        high=1.0,
        formula=f"{part} / (high - low), clipped to 0..1; 0 for a candle without range",
        source="Nison, Japanese Candlestick Charting Techniques, 1991",
        inputs=("open", "high", "low", "close"),
        warmup_bars=1,
        missing="never",
    )


GROUP = Group(
    name="candles",
    step=step,
    state_size=_SLOTS,
    features=(
        Definition(
            name="candle_direction",
            unit="sign",
            low=-1.0,
            high=1.0,
            formula="+1 when close > open, -1 when close < open, else 0",
            source="Nison, Japanese Candlestick Charting Techniques, 1991",
            inputs=("open", "close"),
            warmup_bars=1,
            missing="never",
        ),
        Definition(
            name="consecutive_direction",
            unit="bars",
            low=-10.0,
            high=10.0,
            formula=(
                "candle_direction times the number of bars, this one included, that had it without "
                "a break, at most 10; a candle without a body ends a run and has length 0"
            ),
            source="defined here: the document only names it; held, so that 10 bars settle it",
            inputs=("open", "close"),
            warmup_bars=_LONGEST_RUN,
            missing="never",
        ),
        _part("candle_body_ratio", "|close - open|"),
        _part("upper_wick_ratio", "(high - max(open, close))"),
        _part("lower_wick_ratio", "(min(open, close) - low)"),
        Definition(
            name="adverse_candle_ratio",
            unit="ratio",
            low=0.0,
            high=1.0,
            formula=(
                f"share of the last {_MOVE_BARS} candles whose candle_direction opposes the sign "
                f"of close - close {_MOVE_BARS} bars earlier; 0 where that is 0"
            ),
            source="defined here: the document only names it; how contested four hours were",
            inputs=("open", "close"),
            warmup_bars=_MOVE_BARS + 1,
            missing="never",
        ),
    ),
)
