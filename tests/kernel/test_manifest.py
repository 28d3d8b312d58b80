"""Manifests and publications are read whole and unchanged, or refused; nothing else can happen."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.bundle import FILES, BundleRefused, Manifest, Refusal
from kernel.digest import canonical_json, sha256_hex
from kernel.publication import read_publication
from tests.kernel.bundle_maker import KEYS, contents, manifest_of, publication_of
from tests.kernel.trading_rows import SETTINGS


def test_a_manifest_survives_a_round_trip() -> None:
    """Manifest to bytes to manifest is the identity, and the digest is that of the bytes."""
    data = canonical_json(manifest_of(contents()))
    manifest = Manifest.from_bytes(data)
    assert manifest.to_bytes() == data
    assert manifest.digest == sha256_hex(data)


def test_a_manifest_that_promises_wall_clock_is_still_read() -> None:
    """Version 2 keeps its bytes and its digest; its bound on the wall clock bounds the CPU time."""
    old = manifest_of(
        contents(), schema="tidegate.bundle/2", budgets={"p99_ms": 5.0, "max_bytes": 1_000_000}
    )
    manifest = Manifest.from_bytes(canonical_json(old))
    assert manifest.budgets == {"cpu_ms": 5.0, "max_bytes": 1_000_000}
    assert manifest.to_bytes() == canonical_json(old)


@pytest.mark.parametrize(
    ("schema", "field"), [("tidegate.bundle/2", "cpu_ms"), ("tidegate.bundle/3", "p99_ms")]
)
def test_a_manifest_with_the_budget_of_another_schema_is_refused(schema: str, field: str) -> None:
    """Which clock a budget means is said by its schema alone."""
    budgets = {field: 5.0, "max_bytes": 1_000_000}
    with pytest.raises(BundleRefused) as caught:
        Manifest.from_bytes(canonical_json(manifest_of(contents(), schema=schema, budgets=budgets)))
    assert caught.value.reason is Refusal.MALFORMED_MANIFEST


def test_manifest_text_is_plain_json() -> None:
    """Anyone can read a manifest with any JSON reader."""
    manifest = Manifest.from_bytes(canonical_json(manifest_of(contents())))
    assert json.loads(manifest.to_bytes())["files"].keys() == set(FILES)


HUGE_NUMBER = b'{"schema":' + b"9" * 5_000 + b"}"
HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"\xff\xfe",
    b'{"schema":NaN}',
    b'{"schema":Infinity}',
    b'{"schema":1e999}',
    b'{"a":1,"a":2}',
    b'{"schema":"\\ud800"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    HUGE_NUMBER,
    b'{"schema": "tidegate.bundle/3"}',
    b'{"schema":"tidegate.bundle/3"}\n',
]


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: repr(data[:24]))
def test_hostile_json_is_refused_with_a_reason(data: bytes) -> None:
    """NaN, endless nesting, huge numbers, double keys and loose spelling are refusals, never other
    errors."""
    with pytest.raises(BundleRefused) as caught:
        Manifest.from_bytes(data)
    assert caught.value.reason is Refusal.MALFORMED_MANIFEST
    with pytest.raises(BundleRefused) as caught:
        read_publication(data, KEYS)
    assert caught.value.reason is Refusal.BAD_SIGNATURE


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**320)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner)
    ),
    max_leaves=6,
)
PATHS = [
    (*path,)
    for path in [
        *((key,) for key in manifest_of(contents())),
        *(("trading", key) for key in SETTINGS.to_dict()),
        *(("files", name) for name in FILES),
        *(("budgets", key) for key in ("cpu_ms", "max_bytes")),
        *(("training_window", key) for key in ("start_ms", "end_ms")),
    ]
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PATHS), JSON)
def test_any_value_in_any_place_is_taken_or_refused(path: tuple[str, ...], value: Any) -> None:
    """Whatever JSON stands in a field, the manifest is read whole and unchanged or refused with a
    reason."""
    body = manifest_of(contents())
    place = body
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    data = canonical_json(body)
    try:
        manifest = Manifest.from_bytes(data)
    except BundleRefused as refused:
        assert refused.reason in {
            Refusal.MALFORMED_MANIFEST,
            Refusal.UNKNOWN_SCHEMA,
            Refusal.UNKNOWN_FEATURE,
            Refusal.WRONG_FEATURE_HASH,
        }
    else:
        assert manifest.to_bytes() == data


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | JSON.map(canonical_json))
def test_arbitrary_bytes_are_no_manifest_and_no_publication(data: bytes) -> None:
    """Random bytes and random JSON only ever raise BundleRefused."""
    with pytest.raises(BundleRefused):
        Manifest.from_bytes(data)
    with pytest.raises(BundleRefused):
        read_publication(data, KEYS)


def test_numbers_have_one_spelling() -> None:
    """A manifest that writes a float setting as a whole number would have two digests, so it is
    refused."""
    body = manifest_of(contents())
    body["trading"]["fee_bps"] = 4
    with pytest.raises(BundleRefused, match="malformed_manifest"):
        Manifest.from_bytes(canonical_json(body))


def test_publications_differ_from_other_base64_spellings() -> None:
    """A signature text that decodes to the same bytes but is spelled otherwise is refused."""
    signed = publication_of("a" * 64)
    assert signed["signature"].endswith("==")
    assert read_publication(canonical_json(signed), KEYS)["epoch"] == 7
    last = signed["signature"][-3]
    signed["signature"] = f"{signed['signature'][:-3]}{chr(ord(last) + 1)}=="
    with pytest.raises(BundleRefused, match=r"expected canonical base64"):
        read_publication(canonical_json(signed), KEYS)
