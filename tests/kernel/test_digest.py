"""One value, one spelling, one digest."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.digest import canonical_json, sha256_hex

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(VALUES)
def test_canonical_json_reads_back_and_is_its_own_spelling(value: object) -> None:
    """A value comes back from its spelling, and spelling that again gives the same bytes."""
    data = canonical_json(value)
    assert json.loads(data) == value
    assert canonical_json(json.loads(data)) == data


def test_canonical_json_ignores_the_order_of_keys() -> None:
    """Two dictionaries that are equal have the same bytes: sorted, without spaces, in UTF-8."""
    assert canonical_json({"b": 1, "a": [1.5, "ä"]}) == '{"a":[1.5,"ä"],"b":1}'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], {"a": "\ud800"}])
def test_canonical_json_refuses_what_json_has_no_spelling_for(value: object) -> None:
    """NaN, infinity and lone surrogates raise ValueError."""
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        canonical_json(value)


def test_sha256_hex_is_the_standard_one() -> None:
    """The digest of "abc" is that of FIPS 180-2."""
    assert sha256_hex(b"abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
