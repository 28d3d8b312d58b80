"""The catalogue: which features exist, in which order, and what exactly each one is.

The ordered names and `feature_hash` are the schema of a bundle: a runner refuses a model whose
features are not, to the letter, the ones that it computes.
"""

import ast
import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

from kernel.digest import canonical_json, sha256_hex
from kernel.features import (
    calendar,
    candles,
    context,
    derivatives,
    levels,
    memory,
    microstructure,
    minutes,
    momentum,
    onchain,
    regime,
    returns,
    sentiment,
    smart_money,
    spillover,
    trend,
    volatility,
    volatility_models,
    volume,
)
from kernel.features.definition import Definition, Group, Missing

GROUPS: tuple[Group, ...] = (
    calendar.GROUP,
    returns.GROUP,
    trend.GROUP,
    momentum.GROUP,
    candles.GROUP,
    volatility.GROUP,
    volume.GROUP,
    levels.GROUP,
    context.GROUP,
    minutes.GROUP,
    derivatives.GROUP,
    sentiment.GROUP,
    onchain.GROUP,
    smart_money.GROUP,
    microstructure.GROUP,
    volatility_models.GROUP,
    spillover.GROUP,
    memory.GROUP,
    regime.GROUP,
)
FEATURES: tuple[str, ...] = tuple(
    definition.name for group in GROUPS for definition in group.features
)
STATE_SIZE = sum(group.state_size for group in GROUPS)
WARMUP_BARS = max(definition.warmup_bars for group in GROUPS for definition in group.features)

_KERNEL = Path(__file__).resolve().parents[1]
SHARED_SOURCES = (
    "observation.py",
    "order_flow.py",
    "resampling.py",
    "features/bounds.py",
    "features/recursions.py",
    "features/windows.py",
)


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of the catalogue; see `Definition` for the fields.

    `hash` covers the definition and the code of the group, of what all groups share and of the join
    that feeds them. Comments, docstrings and layout of the code do not count.
    """

    name: str
    group: str
    unit: str
    low: float
    high: float
    formula: str
    source: str
    inputs: tuple[str, ...]
    warmup_bars: int
    missing: Missing
    hash: str


def feature(name: str) -> Feature:
    """Return the catalogue's row for `name`; raises ValueError for an unknown name."""
    rows = _rows()
    if name not in rows:
        raise ValueError(f"feature: found {name!r}, expected one of {', '.join(FEATURES)}")
    return rows[name]


def feature_hash(names: Sequence[str]) -> str:
    """Return the hex digest of these features in this order.

    Raises ValueError for an unknown name.
    """
    return sha256_hex(canonical_json([[name, feature(name).hash] for name in names]))


def warmup_bars(names: Sequence[str]) -> int:
    """Return the number of gapless bars after which each of these features has a value.

    Raises ValueError for an unknown name.
    """
    return max((feature(name).warmup_bars for name in names), default=0)


def flags_a_missing_input(name: str) -> bool:
    """Return whether a feature says that an input is missing, and so has a value all the same."""
    return name.endswith("_missing")


def slices(sizes: Sequence[int]) -> list[slice]:
    """Return consecutive slices of the given sizes, starting at 0."""
    ends = list(accumulate(sizes))
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


@functools.cache
def _rows() -> dict[str, Feature]:
    shared = [_code(name) for name in SHARED_SOURCES]
    rows: dict[str, Feature] = {}
    for group in GROUPS:
        own = [_code(f"features/{module}.py") for module in (group.name, *group.modules)]
        code = sha256_hex(canonical_json([*shared, *own]))
        for definition in group.features:
            rows[definition.name] = _row(group.name, definition, code)
    return rows


def _code(name: str) -> str:
    return code_without_prose((_KERNEL / name).read_text(encoding="utf-8"))


def _row(group: str, definition: Definition, code: str) -> Feature:
    fields = asdict(definition)
    spelled = {key: str(value) for key, value in fields.items()}
    return Feature(group=group, hash=sha256_hex(canonical_json([group, spelled, code])), **fields)


def code_without_prose(source: str) -> str:
    """Return the syntax tree of Python source as text, without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
