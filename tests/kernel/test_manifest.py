"""Manifests and publications are read whole and unchanged, or refused; nothing else can happen."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.bundle import BundleRefused, Manifest, Refusal
from kernel.digest import canonical_json, sha256_hex
from kernel.manifest import FLAT_BASES, FLAT_FILES, SCHEMA
from kernel.publication import read_publication
from tests.kernel.bundle_maker import (
    KEYS,
    contents,
    flat_manifest_of,
    graph_of,
    manifest_of,
    publication_of,
)
from tests.kernel.trading_rows import SETTINGS


def test_a_manifest_survives_a_round_trip() -> None:
    """Manifest to bytes to manifest is the identity, and the digest is that of the bytes."""
    data = canonical_json(manifest_of(contents()))
    manifest = Manifest.from_bytes(data)
    assert manifest.to_bytes() == data
    assert manifest.digest == sha256_hex(data)


@pytest.mark.parametrize(
    ("schema", "field"), [("tidegate.bundle/2", "p99_ms"), ("tidegate.bundle/3", "cpu_ms")]
)
def test_a_manifest_of_six_files_is_brought_forward(schema: str, field: str) -> None:
    """What a bundle of one graph and three bases promised, it promises still: its bound on the
    wall clock bounds the CPU time.
    """
    budgets = {field: 5.0, "max_bytes": 1_000_000}
    old = flat_manifest_of(contents(), schema=schema, budgets=budgets)
    manifest = Manifest.from_bytes(canonical_json(old))
    assert manifest.schema == SCHEMA
    assert manifest.signal.budget == {"cpu_ms": 5.0, "max_bytes": 1_000_000}
    assert manifest.max_bytes == 1_000_000
    assert manifest.bases == FLAT_BASES
    assert manifest.digests == old["files"]
    assert (manifest.hull, manifest.expires_ms) == (None, None)


ROOMY = {
    "bases": [f"base_{k}" for k in range(12)],
    "graphs": [
        graph_of(
            b"a graph",
            inputs=[
                {"name": "input", "shape": [None, 3], "dtype": "float32"},
                {"name": "sequence", "shape": [None, 48, 3], "dtype": "float32"},
            ],
            outputs=[
                {"name": "probabilities", "shape": [None, 3], "dtype": "float32"},
                {"name": "votes", "shape": [None, 12, 3], "dtype": "float32"},
                {"name": "regime", "shape": [None], "dtype": "int64"},
                {"name": "abstain", "shape": [None], "dtype": "int64"},
                {"name": "attention", "shape": [None, 48], "dtype": "float32"},
            ],
        ),
        *(
            graph_of(name.encode(), name=name)
            for name in ("quality", "exit", "take_profit", "stop_loss", "size", "risk")
        ),
    ],
    "files": {
        name: sha256_hex(name.encode())
        for name in ("golden.npz", "state.npz", "card.md", "skill.png", "parity.json")
    },
    "hull": {"features": ["rsi_14"], "distance": 4.5, "target_rate": 0.01},
    "expires_ms": 1_800_000_000_000,
}


def test_heads_sequences_cards_and_expiry_fit_into_this_schema() -> None:
    """Whatever is to come is an entry of a list: it is read back as written."""
    data = canonical_json({**manifest_of(contents()), **ROOMY})
    manifest = Manifest.from_bytes(data)
    assert manifest.to_bytes() == data
    assert [graph.file for graph in manifest.graphs][:2] == ["signal.onnx", "quality.onnx"]
    assert manifest.signal.inputs[1].shape == (None, 48, 3)
    assert manifest.signal.gives("attention")
    assert {"card.md", "skill.png", "risk.onnx"} <= set(manifest.digests)


@pytest.mark.parametrize(
    "files", ["model.pkl", "../golden.npz", "manifest.json", "signature", "a.onnx", "A.md"]
)
def test_a_file_of_no_plain_format_is_refused(files: str) -> None:
    """No pickle, no path, and nothing that is told elsewhere stands among the files."""
    body = manifest_of(contents())
    body["files"][files] = "a" * 64
    with pytest.raises(BundleRefused) as caught:
        Manifest.from_bytes(canonical_json(body))
    assert caught.value.reason is Refusal.MALFORMED_MANIFEST


@pytest.mark.parametrize(
    ("schema", "field"), [("tidegate.bundle/2", "cpu_ms"), ("tidegate.bundle/3", "p99_ms")]
)
def test_a_manifest_with_the_budget_of_another_schema_is_refused(schema: str, field: str) -> None:
    """Which clock a budget means is said by its schema alone."""
    budgets = {field: 5.0, "max_bytes": 1_000_000}
    with pytest.raises(BundleRefused) as caught:
        Manifest.from_bytes(
            canonical_json(flat_manifest_of(contents(), schema=schema, budgets=budgets))
        )
    assert caught.value.reason is Refusal.MALFORMED_MANIFEST


def test_manifest_text_is_plain_json() -> None:
    """Anyone can read a manifest with any JSON reader."""
    manifest = Manifest.from_bytes(canonical_json(manifest_of(contents())))
    assert json.loads(manifest.to_bytes())["files"].keys() == set(contents()) - {"signal.onnx"}


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
        *(("files", name) for name in FLAT_FILES),
        *(("graphs", 0, key) for key in graph_of(b"")),
        *(("graphs", 0, "budget", key) for key in ("cpu_ms", "max_bytes")),
        *(("graphs", 0, "outputs", 1, key) for key in ("name", "shape", "dtype")),
        *(("state", 0, key) for key in ("group", "slots")),
        *(("hull", key) for key in ("features", "distance", "target_rate")),
        *(("training_window", key) for key in ("start_ms", "end_ms")),
    ]
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PATHS), JSON)
def test_any_value_in_any_place_is_taken_or_refused(path: tuple[Any, ...], value: Any) -> None:
    """Whatever JSON stands in a field, the manifest is read whole and unchanged or refused with a
    reason."""
    body = manifest_of(contents(), hull=dict(ROOMY["hull"]))
    place: Any = body
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
