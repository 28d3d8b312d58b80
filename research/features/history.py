"""The features of a history in parts: each goes on from the state after the bar before it.

However a history is cut, by month, by week or not at all, the same bytes come out.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kernel.archive import read_arrays
from kernel.digest import sha256_hex
from kernel.features.calendar import BARS_SEEN
from kernel.features.engine import compute
from kernel.features.recursions import CLOSE, OPEN_TIME
from kernel.features.registry import FEATURES, STATE_SIZE, feature_hash
from kernel.features.volatility_models import GARCH_FIT_BARS
from research.features.garch import starting_state

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The catalogue's state float64[S] after the bar that opened at `open_time_ms`.

    `first_open_ms` is the first bar of the history behind it, and `catalogue` the digest of the
    features that it belongs to: no other catalogue can go on from it.
    """

    state: Float64
    open_time_ms: int
    first_open_ms: int
    catalogue: str

    @property
    def fitted(self) -> bool:
        """Return whether the history behind it was long enough to fit parameters on."""
        return bool(self.state[BARS_SEEN] >= GARCH_FIT_BARS)

    @property
    def digest(self) -> str:
        """Return the hex digest of its bytes."""
        return sha256_hex(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return it as an npz; equal snapshots give equal bytes."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            allow_pickle=False,
            state=self.state,
            bars=np.array([self.first_open_ms, self.open_time_ms], np.int64),
            catalogue=np.frombuffer(bytes.fromhex(self.catalogue), np.int64),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return what `to_bytes` wrote; raise ValueError for bytes that are no snapshot."""
        found = read_arrays(
            data, {"state": ("<f8", 1), "bars": ("<i8", 1), "catalogue": ("<i8", 1)}
        )
        if len(found["bars"]) != 2:
            raise ValueError(f"snapshot: found {len(found['bars'])} moments, expected 2")
        first_ms, last_ms = found["bars"].tolist()
        return cls(found["state"], last_ms, first_ms, found["catalogue"].tobytes().hex())

    def continues(self, first_open_ms: int | None) -> bool:
        """Return whether today's catalogue can go on from here in a history that begins so."""
        return (
            self.fitted
            and self.catalogue == feature_hash(FEATURES)
            and self.state.shape == (STATE_SIZE,)
            and self.first_open_ms == first_open_ms
        )


@dataclass(frozen=True, slots=True)
class Month:
    """The bars of one calendar month (UTC), such as `2026-01`, by the open of the bar.

    `features` is float64[n, F] in the order of the catalogue; `snapshot` follows the last bar.
    """

    name: str
    open_time_ms: NDArray[np.int64]
    close: Float64
    features: Float64
    snapshot: Snapshot


def months(observed: Float64, before: Snapshot | None) -> Iterator[Month]:
    """Yield the months of `observed`, float64[n, K] ascending, that begin after `before`.

    Without `before` the first row begins the history, and all rows are there to be fitted on.
    """
    if not len(observed):
        return
    first_ms = before.first_open_ms if before else int(observed[0, OPEN_TIME])
    state = before.state if before else starting_state(observed)
    catalogue = feature_hash(FEATURES)
    names = month_names(observed[:, OPEN_TIME].astype(np.int64))
    edges = np.flatnonzero(names[1:] != names[:-1]) + 1
    for rows, own in zip(np.split(observed, edges), np.split(names, edges), strict=True):
        features, state = compute(rows, state)
        open_ms = rows[:, OPEN_TIME].astype(np.int64)
        after = Snapshot(state, int(open_ms[-1]), first_ms, catalogue)
        yield Month(str(own[0]), open_ms, rows[:, CLOSE].copy(), features, after)


def month_names(open_time_ms: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return the calendar month (UTC) of each moment as text, `2026-01`."""
    return open_time_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.str_)


@dataclass(frozen=True, slots=True)
class FeatureDifference:
    """How stored features differ from those of the market as it is; `month` is the first that does.

    `rows` counts bars that only one of the two has; each of their values differs in all its bytes.
    `state` says whether the state after the last bar differs.
    """

    compared: int
    rows: int
    bytes: int
    features: tuple[str, ...]
    month: str
    state: bool = False


def difference(
    stored_ms: NDArray[np.int64],
    stored: Float64,
    fresh_ms: NDArray[np.int64],
    fresh: Float64,
    names: tuple[str, ...],
) -> FeatureDifference:
    """Compare features float64[n, F'] of bars that open at int64[n], byte by byte."""
    both, at, fresh_at = np.intersect1d(stored_ms, fresh_ms, return_indices=True)
    alone_ms = np.setxor1d(stored_ms, fresh_ms)
    differing = _bytes(stored[at]) != _bytes(fresh[fresh_at])
    by_value = differing.any(axis=2)
    wrong_ms = np.concatenate([alone_ms, both[by_value.any(axis=1)]])
    return FeatureDifference(
        compared=len(both),
        rows=len(alone_ms),
        bytes=int(differing.sum()) + 8 * len(names) * len(alone_ms),
        features=tuple(np.array(names)[by_value.any(axis=0)].tolist()),
        month=str(month_names(wrong_ms.min(keepdims=True))[0]) if len(wrong_ms) else "",
    )


def _bytes(values: Float64) -> NDArray[np.uint8]:
    plain = np.ascontiguousarray(values, np.float64)
    return plain.view(np.uint8).reshape(*values.shape, 8)
