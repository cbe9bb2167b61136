"""Attestations of pushed images: under a tag of their own, about the image that Lambda runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from buildkit import BuildKit
from conftest import TestEngine
from doubles.served import MANIFEST, Served, stack_of
from projects import Repo

from lamina.execute.attest import attested_ref
from lamina.refs import Reference

pytestmark = pytest.mark.engine

SCAN = """\
printf '%s' '{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document",
"predicate": {"name": "what a test finds"}}' > "$BUILDKIT_SCAN_DESTINATION/test.spdx.json"
"""
IN_TOTO = "application/vnd.in-toto+json"


def attestations(
    served: Served, ref: str
) -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]:
    """The index beside an image, its entry about the image, and the statements by their kind."""
    image = Reference.parse(ref)
    assert image.digest
    index, _, _ = served.manifest(str(attested_ref(image)))
    (own,) = (each for each in index["manifests"] if each["platform"]["os"] != "unknown")
    (about,) = (each for each in index["manifests"] if each["platform"]["os"] == "unknown")
    assert about["annotations"]["vnd.docker.reference.digest"] == own["digest"]
    manifest = json.loads(served.get(f"{image.repository}/manifests/{about['digest']}")[0])
    statements = {}
    for layer in manifest["layers"]:
        assert layer["mediaType"] == IN_TOTO
        body, _ = served.get(f"{image.repository}/blobs/{layer['digest']}")
        statement = json.loads(body)
        assert statement["subject"][0]["digest"]["sha256"] == own["digest"].removeprefix("sha256:")
        statements[layer["annotations"]["in-toto.io/predicate-type"].partition("/v")[0]] = statement
    return index, own, statements


def provenance(served: Served, ref: str) -> dict[str, Any]:
    """What the provenance of an image says."""
    _, _, statements = attestations(served, ref)
    assert set(statements) == {"https://slsa.dev/provenance"}
    found: dict[str, Any] = statements["https://slsa.dev/provenance"]["predicate"]
    return found


def test_attestations_do_not_change_the_image(ecr: Repo, served: Served, tmp_path: Path) -> None:
    plain = ecr.ok("build-all", "--push", "--create", "--json")
    other = ecr.clone(tmp_path / "other" / "repo", LAMINA_STACK=f"{stack_of(ecr)}x")
    done = other.ok("build-all", "--push", "--create", "--provenance", "--json")

    assert len(done.built) == 3
    assert done.images("digest") == plain.images("digest")
    for ref in done.images("ref").values():
        manifest, media_type, digest = served.manifest(ref)
        assert (media_type, digest) == (MANIFEST, ref.partition("@")[2])
        index, own, _ = attestations(served, ref)
        assert own["digest"] == digest
        fingerprint = manifest["annotations"]["dev.lamina.fingerprint"]
        assert index["annotations"] == {"dev.lamina.fingerprint": fingerprint}
    assert other.ok("build-all", "--push", "--provenance", "--json").json["messages"] == []
    assert (
        "--provenance: only what is pushed is attested"
        in other.ok("build-all", "--provenance", "--json").told
    )


def test_a_provenance_names_the_base_image_and_no_secret(ecr: Repo, served: Served) -> None:
    ecr.write("token", "s3cr3t-of-the-build")
    ecr.write(
        "pyproject.toml",
        '[tool.lamina]\nargs = { MODEL = "model-nine" }\n[tool.lamina.secrets]\ntoken = { file = "token" }\n',
    )
    ecr.append("dockerfiles/lambda-tiny/Dockerfile", "ARG MODEL\nLABEL model=${MODEL}\n")
    ecr.commit()
    ecr.git("remote", "add", "origin", "https://bob:hunter2hunter2@example.invalid/repo.git")
    bases = ecr.ok("build-base", "--push", "--create", "--json")
    base = bases.images("digest")["base-label"]

    least = ecr.ok("build-all", "--push", "--create", "--json", env={"LAMINA_PROVENANCE": "min"})
    assert "base-label was pushed without attestations" in least.told
    told = provenance(served, least.images("ref")["lambda-tiny"])
    assert [each["digest"]["sha256"] for each in told["materials"]] == [base.removeprefix("sha256:")]
    assert "model-nine" not in json.dumps(told)
    assert "vcs" in json.dumps(told["metadata"])

    most = ecr.ok("build-all", "--push", "--image", "lambda-tiny", "--force", "--provenance=max", "--json")
    assert most.images("digest")["lambda-tiny"] == least.images("digest")["lambda-tiny"]
    told = provenance(served, most.images("ref")["lambda-tiny"])
    vcs = told["metadata"]["https://mobyproject.org/buildkit@v1#metadata"]["vcs"]
    assert vcs["source"] == "https://example.invalid/repo.git"
    assert vcs["revision"] == ecr.git("rev-parse", "HEAD")
    assert told["invocation"]["parameters"]["args"]["build-arg:MODEL"] == "model-nine"
    assert "hunter2" not in json.dumps(told)
    assert "s3cr3t" not in json.dumps(told)

    ecr.write("pyproject.toml", '[tool.lamina]\nargs = { API_TOKEN = "model-nine" }\n')
    ecr.append("dockerfiles/lambda-tiny/Dockerfile", "ARG API_TOKEN\n")
    refused = ecr.fails(2, "build-all", "--push", "--provenance", "max")
    assert "API_TOKEN of lambda-tiny looks like a secret" in refused.stderr


def test_attestations_go_with_an_image_that_is_promoted(ecr: Repo, served: Served) -> None:
    first = ecr.ok("build-all", "--push", "--create", "--provenance", "--json")
    ecr.env["LAMINA_STACK"] += "p"
    promoted = ecr.ok("build-all", "--push", "--create", "--provenance", "--json")
    assert set(promoted.images().values()) == {"retagged"}
    assert promoted.json["messages"] == []
    for name, ref in promoted.images("ref").items():
        assert attestations(served, ref)[0] == attestations(served, first.images("ref")[name])[0]


@pytest.mark.nightly
def test_the_sbom_of_a_generator_is_under_the_same_tag(
    ecr: Repo, served: Served, engine: TestEngine, buildkit: BuildKit, registry: str, tmp_path: Path
) -> None:
    buildkit.push_outside(registry)
    ecr.write("lamina.lock", "schema = 1\n")
    scanner = Repo(tmp_path / "scanner", dict(ecr.env, LAMINA_REGISTRY=registry))
    scanner.write("scan.sh", SCAN)
    scanner.write(
        "dockerfiles/scanner/Dockerfile",
        f'FROM {registry}/python:3.13\nCOPY --link scan.sh /scan.sh\nENTRYPOINT ["/bin/sh", "/scan.sh"]\n',
    )
    generator = scanner.ok("build-all", "--push", "--json").images("ref")["scanner"].partition("@")[0]

    done = ecr.ok(
        "build-all", "--push", "--create", "--sbom", "--provenance", "--sbom-generator", generator, "--json"
    )

    plain = ecr.clone(tmp_path / "plain" / "repo", LAMINA_STACK=f"{stack_of(ecr)}x")
    without = plain.ok("build-all", "--push", "--create", "--json")
    assert done.images("digest") == without.images("digest")
    for ref in done.images("ref").values():
        _, _, statements = attestations(served, ref)
        assert set(statements) == {"https://spdx.dev/Document", "https://slsa.dev/provenance"}
        assert statements["https://spdx.dev/Document"]["predicate"] == {"name": "what a test finds"}


def test_a_missing_generator_is_reported_with_the_next_step(ecr: Repo, served: Served) -> None:
    done = ecr.fails(
        1, "build-all", "--push", "--create", "--sbom", "--sbom-generator", f"{served.address}/none:1"
    )
    assert "error: --sbom: base-dynamo failed at" in done.stderr
    assert "set sbom-generator" in done.stderr
    assert ecr.recorded == {}
    assert served.digest(f"base-dynamo-{stack_of(ecr)}", "latest") is None
    wrong = ecr.fails(2, "build-all", "--push", "--sbom", "--sbom-generator", "a,b")
    assert "error: --sbom-generator: 'a,b'" in wrong.stderr
