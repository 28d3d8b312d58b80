"""A published bundle is what its inputs give; another code, data or setting is named."""

import json

import dagster as dg
import pytest

from jobs.rebuild import week_of
from kernel.digest import canonical_json, sha256_hex
from kernel.manifest import Manifest
from research.bundles.rebuild import differing
from tests.installation import CUTOFF_MS, WEEK, Installation
from tests.kernel.bundle_maker import contents, manifest_of


def run(installation: Installation, digest: str) -> dg.ExecuteInProcessResult:
    """Rebuild a bundle as a person would from the Launchpad."""
    return installation.job("rebuild_job").execute_in_process(
        run_config={"ops": {"rebuild_bundle": {"config": {"digest": digest}}}},
        raise_on_error=False,
    )


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Return what a failed run says of its op."""
    (event,) = (one for one in result.all_events if one.is_step_failure)
    error = event.step_failure_data.error
    assert error is not None
    return f"{error.message} {error.cause.message if error.cause else ''}"


def test_the_same_inputs_give_the_same_bundle(copied: Installation) -> None:
    """A bundle trained and sealed again from the stored week has the digest of the first."""
    (request,) = copied.store.pending()
    result = run(copied, request.bundle_digest)
    assert result.success


def test_a_bundle_of_other_code_is_not_trained_at_all(copied: Installation) -> None:
    """The run says which input is not the one that the manifest names, and what to do."""
    (request,) = copied.store.pending()
    folder = copied.home / "bundles" / request.bundle_digest
    body = json.loads((folder / "manifest.json").read_bytes())
    data = canonical_json({**body, "code_revision": "0" * 64})
    other = folder.rename(folder.parent / sha256_hex(data))
    (other / "manifest.json").write_bytes(data)
    found = run(copied, other.name)
    assert not found.success
    assert "code_revision" in failure(found)
    assert "check that revision of the code out" in failure(found)


def test_what_differs_is_named() -> None:
    """Of two manifests the files whose digests differ are told, and the fields beside them."""
    files = contents()
    one = Manifest.from_bytes(canonical_json(manifest_of(files)))
    other = Manifest.from_bytes(
        canonical_json(
            manifest_of(files | {"signal.onnx": b"another", "card.md": b""}, max_bytes=2_000_000)
        )
    )
    assert differing(one, other) == ["card.md", "signal.onnx", "max_bytes"]
    assert differing(one, one) == []


@pytest.mark.parametrize(("before_ms", "week"), [(0, WEEK), (86_400_000, WEEK)])
def test_a_week_is_found_by_its_cutoff(before_ms: int, week: str) -> None:
    """A history that ends early in its last week still belongs to it."""
    assert week_of(CUTOFF_MS - before_ms) == week
