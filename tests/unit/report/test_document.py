from __future__ import annotations

import json

import pytest

from lamina.audit.compare import Audited
from lamina.audit.layers import AuditVerdict, Difference, Pair
from lamina.audit.show import audit_documents, verify_document
from lamina.audit.verified import Verified, VerifiedRow
from lamina.decide.layers import LayerStep
from lamina.decide.plan import FoundImage
from lamina.execute.outcome import Outcome, Result
from lamina.report.document import (
    entry,
    outcome_documents,
    plan_documents,
)
from lamina.smoke.answer import Failure, Invocation
from lamina.smoke.container import Smoked
from lamina.smoke.show import smoke_documents

from ..conftest import DIGEST, Repo, Shelf

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
KEYS = {"name", "kind", "action", "reasons", "fingerprint", "tag", "ref", "parents"}
PLAN_KEYS = KEYS | {"changes"}
ENTRY_KEYS = {
    "image", "kind", "fingerprint", "tags", "ref", "digest", "platform", "size", "action", "reasons",
    "seconds", "cached", "total",
}  # fmt: skip


def test_a_plan_as_schema_1(receipts: Repo, shelf: Shelf) -> None:
    documents = plan_documents(receipts.plan(shelf))
    image = receipts.images()[L]

    assert json.loads(json.dumps(documents)) == documents
    (label,) = [each for each in documents if each["name"] == L]
    assert label.keys() >= PLAN_KEYS
    assert (label["kind"], label["action"], label["parents"]) == ("base", "build", [D])
    assert label["fingerprint"] == image.fingerprint
    assert label["ref"] == f"{L}-dev:{image.tag}"
    assert label["reasons"] == [f"{image.tag} is not yet in the shelf"]
    assert label["changes"] == []


def test_the_changes_of_a_plan_as_schema_1(receipts: Repo, shelf: Shelf) -> None:
    shelf.put(receipts.images().values())
    receipts.write("embedding/naïve\nname.py", "x")
    receipts.edit(f"dockerfiles/{E}/Dockerfile", "embedding/handler.py", "embedding/")

    (embedding,) = [each for each in plan_documents(receipts.plan(shelf)) if each["name"] == E]

    assert embedding["changes"] == [
        {"kind": "added", "subject": "embedding", "after": "folder", "text": "embedding added"},
        {
            "kind": "added",
            "subject": "embedding/naïve\nname.py",
            "after": "file",
            "text": "embedding/naïve\\nname.py added",
        },
        {
            "kind": "instruction",
            "subject": "COPY",
            "text": "Dockerfile: COPY changed",
            "diff": ["- COPY embedding/handler.py /var/task/", "+ COPY embedding/ /var/task/"],
        },
    ]
    assert embedding["reasons"] == [each["text"] for each in embedding["changes"]]


def test_an_entry_of_the_manifest_as_schema_1(receipts: Repo) -> None:
    image = receipts.images()[W]
    result = Result(
        image=image,
        status="built",
        reasons=("why",),
        digest=DIGEST,
        size=7,
        seconds=1.23456,
        cached=3,
        total=5,
    )

    made = entry(result)

    assert set(made) >= ENTRY_KEYS
    assert made["ref"] == f"{image.ref}@{DIGEST}"
    assert made["tags"] == [image.tag]
    assert (made["image"], made["kind"], made["platform"]) == (W, "lambda", "linux/amd64")
    assert (made["size"], made["seconds"], made["cached"], made["total"]) == (7, 1.235, 3, 5)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_unconfirmed_image_has_no_reference(receipts: Repo, status: str) -> None:
    result = Result(image=receipts.images()[W], status=status, reasons=("why",))  # type: ignore[arg-type]

    assert entry(result)["ref"] is None


def test_an_outcome_has_the_names_of_a_plan(receipts: Repo) -> None:
    image = receipts.images()[W]
    outcome = Outcome(results={W: Result(image=image, status="skipped", reasons=("why",), digest=DIGEST)})

    (document,) = outcome_documents(outcome)

    assert document.keys() >= KEYS
    assert (document["name"], document["tag"], document["parents"]) == (W, image.tag, [D])
    assert document["action"] == "skipped"


def test_s26_an_image_that_serves_many_functions_names_them_all(receipts: Repo) -> None:
    before = receipts.images()[W].fingerprint
    receipts.config(f'[tool.lamina.images.{W}]\nfunctions = ["words", "labels"]\n')
    image = receipts.images()[W]

    assert entry(Result(image=image, status="built", reasons=(), digest=DIGEST))["functions"] == [
        "words",
        "labels",
    ]
    assert image.fingerprint == before, "who is served makes no other image"


PAIR = Pair(
    number=2, step=LayerStep(text="Dockerfile:2 COPY a /", exact=True), built="b", found="f", same_maker=True
)
FALSE = AuditVerdict(
    conclusion="false skip",
    reasons=("layer 2 differs",),
    differences=(Difference(pair=PAIR, files=("a differs",), proves=True),),
)
LAYER = {
    "number": 2, "instruction": "Dockerfile:2 COPY a /", "built": "b", "found": "f", "files": ["a differs"],
    "proves": True,
}  # fmt: skip


def test_an_audit_as_schema_1(receipts: Repo) -> None:
    image = receipts.images()[W]
    found = FoundImage(ref=image.ref, digest=DIGEST)
    audited = Audited(image=image, found=found, verdict=FALSE, cached=1, total=2, ran=("[2/2] COPY a /",))

    assert audit_documents([audited]) == [
        {
            "name": W, "kind": "lambda", "verdict": "false skip", "reasons": ["layer 2 differs"],
            "ref": str(image.ref), "digest": DIGEST, "cached": 1, "total": 2, "ran": ["[2/2] COPY a /"],
            "layers": [LAYER],
        }
    ]  # fmt: skip


@pytest.mark.parametrize("rebuilt", ["f", "b"])
def test_a_verification_as_schema_1(receipts: Repo, rebuilt: str) -> None:
    image = receipts.images()[W]
    rows = (VerifiedRow(name="manifest", recorded="f", rebuilt=rebuilt),)
    verified = Verified(image=image, found=FoundImage(ref=image.ref, digest=DIGEST), rows=rows, verdict=FALSE)
    document = verify_document(verified)

    assert document["identical"] is (rebuilt == "f")
    assert document["digests"] == [{"what": "manifest", "recorded": "f", "rebuilt": rebuilt}]
    assert document["reasons"] == ([] if rebuilt == "f" else ["layer 2 differs"])
    assert (document["name"], document["layers"]) == (W, [LAYER])


def test_a_function_that_was_tried_as_schema_1() -> None:
    failure = Failure(type="ValueError", message="no good", trace=("  in handler",))
    answers = (Invocation(payload={"a": 1}, init_ms=2.5), Invocation(failure=failure, log=("looking",)))
    fine, failed, skipped = smoke_documents(
        [
            *(Smoked(image=W, function="handler.handler", answer=answer) for answer in answers),
            Smoked(image="arm", function="", skipped="another architecture"),
        ]
    )

    assert (fine["ok"], fine["payload"], fine["error"], fine["init_ms"]) == (True, {"a": 1}, None, 2.5)
    assert (failed["ok"], failed["payload"], failed["log"]) == (False, None, ["looking"])
    assert failed["error"] == {"type": "ValueError", "message": "no good", "trace": ["  in handler"]}
    assert (skipped["ok"], skipped["skipped"]) == (None, "another architecture")
