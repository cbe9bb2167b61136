from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamina.decide.plan import Decision, FoundImage
from lamina.execute.annotations import REVISION
from lamina.execute.attest import Attestations
from lamina.execute.bake import DIGESTS, BuildRequest, csv_field, make_bake, target_name
from lamina.identify.carried import carried_inputs
from lamina.identify.fingerprint import FINGERPRINT_KEY, INPUTS_KEY
from lamina.identify.stage import StagedContext

from ..conftest import DIGEST, RUNTIME, Repo

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
PINNED = f"public.ecr.aws/lambda/python@{DIGEST}"


def order(repo: Repo, *builds: str, **more: Any) -> BuildRequest:
    images = repo.images()
    given: dict[str, Any] = {
        "decisions": tuple(Decision(image=images[name], action="build", reasons=()) for name in builds),
        "stages": {name: StagedContext(folder=Path("/stage") / name) for name in images},
        "externals": {name: {RUNTIME: PINNED} for name in ("app", D)},
        "push": False,
        "local_images": True,
        **more,
    }
    return BuildRequest(**given)


def targets(made: BuildRequest) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(make_bake(made).render())
    return dict(document["target"])


def test_a_target_has_everything_from_its_stage(receipts: Repo) -> None:
    (target,) = targets(order(receipts, D)).values()
    image = receipts.images()[D]

    assert target["context"] == f"/stage/{D}/context"
    assert target["dockerfile"] == f"/stage/{D}/Dockerfile"
    assert target["contexts"] == {RUNTIME: f"docker-image://{PINNED}"}
    assert target["platforms"] == ["linux/amd64"]
    assert target["tags"] == [f"{D}-dev:{image.tag}"]
    assert target["labels"] == {FINGERPRINT_KEY: image.fingerprint}
    assert target["attest"] == ["type=provenance,disabled=true", "type=sbom,disabled=true"]
    assert "target" not in target
    assert "args" not in target


def test_bases_in_the_run_are_targets_and_others_are_digests(receipts: Repo) -> None:
    base = receipts.images()[D]
    found = {D: FoundImage(ref=replace(base.ref, host="r.example"), digest=DIGEST)}

    made = targets(order(receipts, L, E, W, found=found))

    assert made[E]["contexts"] == {"base-receipt-label:stable": f"target:{L}"}
    assert made[L]["contexts"] == {
        "base-receipt-dynamo:stable": f"docker-image://r.example/{D}-dev:{base.tag}@{DIGEST}"
    }
    assert made[W]["contexts"] == {
        "base-receipt-dynamo": f"docker-image://r.example/{D}-dev:{base.tag}@{DIGEST}"
    }


def test_only_what_is_refreshed_is_built_without_the_cache(receipts: Repo) -> None:
    fresh, kept = order(receipts, D, L).decisions

    made = targets(order(receipts, D, L, decisions=(replace(fresh, no_cache=True), kept)))

    assert made[D]["no-cache"] is True
    assert "no-cache" not in made[L]


def test_bases_that_only_support_are_not_kept(receipts: Repo) -> None:
    made = order(receipts, L, support=(receipts.images()[D],), local_images=False)
    bake = make_bake(made)

    assert bake.document["group"] == {"default": {"targets": [L]}}
    assert bake.targets == {L: L, D: D}
    assert targets(made)[D]["output"] == ["type=cacheonly"]
    assert "tags" not in targets(made)[D]
    assert targets(made)[L]["contexts"] == {"base-receipt-dynamo:stable": f"target:{D}"}


@pytest.mark.parametrize(
    ("push", "local_images", "output"),
    [
        (True, True, "type=image,push=true,unpack=false,store=false,oci-mediatypes=true"),
        (False, True, "type=image,oci-mediatypes=true"),
        (False, False, "type=docker"),
    ],
)
def test_where_images_go(receipts: Repo, push: bool, local_images: bool, output: str) -> None:
    made = targets(order(receipts, D, push=push, local_images=local_images))

    assert made[D]["output"] == [output]
    assert ("annotations" in made[D]) is (push or local_images)


def test_the_inputs_travels_with_the_image(receipts: Repo) -> None:
    (target,) = targets(order(receipts, D, revision="abc", static=True)).values()
    annotations = dict(each.removeprefix("manifest:").split("=", 1) for each in target["annotations"])
    image = receipts.images()[D]

    assert annotations[FINGERPRINT_KEY] == image.fingerprint
    assert annotations[REVISION] == "abc"
    assert annotations["dev.lamina.bases"] == "stable"
    assert carried_inputs(annotations) == image.inputs
    assert len(annotations[INPUTS_KEY]) < len(json.dumps(image.inputs.document())) * 0.7


def test_the_inputs_of_a_reproducible_image_are_the_same_bytes_with_every_zlib(receipts: Repo) -> None:
    (target,) = targets(order(receipts, D, reproducible=True)).values()
    (text,) = (each for each in target["annotations"] if INPUTS_KEY in each)

    assert json.loads(text.partition("=")[2]) == receipts.images()[D].inputs.document()


def test_only_declared_arguments_used_secrets_and_contexts_that_are_read_are_passed(repo: Repo) -> None:
    repo.write("token", "hush")
    run = "RUN --mount=type=secret,id=token ls"
    repo.image("app", "ARG BASE=1", f"FROM {RUNTIME}", "ARG MODEL", run, "COPY --from=lib . /lib/")
    repo.folder("third")
    repo.config(
        '[tool.lamina]\nargs = { MODEL = "m", BASE = "2", OTHER = "o" }\n'
        '[tool.lamina.images.app]\ntarget = ""\ncontexts = { lib = "third", idle = "third" }\n'
        '[tool.lamina.secrets]\ntoken = { file = "token" }\nunused = { file = "token" }\n'
    )
    repo.edit("pyproject.toml", 'target = ""\n', "")

    made = order(repo, "app", secrets=repo.project().secrets)
    (target,) = targets(made).values()

    assert target["args"] == {"MODEL": "m", "BASE": "2"}
    assert target["secret"] == [f"type=file,id=token,src={repo.root}/token"]
    assert target["contexts"] == {"lib": "/stage/app/contexts/lib", RUNTIME: f"docker-image://{PINNED}"}
    assert make_bake(made).reads == (str(repo.root / "token"),)
    assert "hush" not in make_bake(made).render()


def test_images_go_by_the_name_under_which_the_frontend_looks(repo: Repo) -> None:
    names = ("busybox:latest", "busybox:1", "docker.io/library/python:3", "docker.io/org/tool:1")
    repo.image("app", f"FROM {names[0]}", *(f"COPY --from={each} / /" for each in names[1:]))
    pinned = dict.fromkeys(names, f"busybox@{DIGEST}")

    (target,) = targets(order(repo, "app", externals={"app": pinned})).values()

    assert set(target["contexts"]) == {"busybox", "busybox:1", "python:3", "org/tool:1"}


def test_named_contexts_and_predefined_arguments_are_passed_as_the_frontend_looks_them_up(repo: Repo) -> None:
    repo.image("app", "FROM base-$TARGETARCH", "COPY --from=lib . /lib/")
    repo.folder("third")
    repo.config(
        '[tool.lamina.images.app]\nargs = { TARGETARCH = "mine" }\n'
        'contexts = { "docker.io/library/lib:latest" = "third" }\n'
    )

    (target,) = targets(order(repo, "app", externals={})).values()

    assert list(target["contexts"]) == ["lib"]
    assert target["args"] == {"TARGETARCH": "mine"}


def test_a_configured_target_is_passed(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME} AS one", f"FROM {RUNTIME} AS two")
    repo.config('[tool.lamina.images.app]\ntarget = "one"\n')

    assert targets(order(repo, "app"))["app"]["target"] == "one"


def test_text_that_bake_would_expand_is_protected(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}", "ARG X", "RUN echo ${X} %{x}")
    repo.config('[tool.lamina.args]\nX = "${HOME} %{y}"\n')

    text = make_bake(order(repo, "app", reproducible=True)).render()  # with plain build inputs

    assert "$${HOME} %%{y}" in text
    assert "$${X} %%{x}" in text


def test_target_names_are_as_narrow_as_bake_wants_them() -> None:
    assert target_name("a.b_c-d") == "a_DOT_b_c-d"


def test_images_whose_target_names_would_be_one_are_distinguished(repo: Repo) -> None:
    for name in ("a.b", "a_b"):
        repo.image(name, f"FROM {RUNTIME}")

    bake = make_bake(order(repo, "a.b", "a_b"))

    assert sorted(bake.targets.values()) == ["a.b", "a_b"]
    assert len(bake.document["target"]) == 2


def test_text_that_looks_like_a_template_is_protected(repo: Repo) -> None:
    repo.image("lambda-one", f'FROM {RUNTIME}\nARG PRICE\nENV HOME_OF=${{HOME}}\nRUN echo "%{{if}}"')
    repo.write("pyproject.toml", "[tool.lamina.images.lambda-one.args]\nPRICE = '${a} $${b} 5$ %{c}'\n")

    (target,) = targets(order(repo, "lambda-one")).values()

    assert target["args"]["PRICE"] == "$${a} $$${b} 5$ %%{c}"
    (whole,) = targets(order(repo, "lambda-one", reproducible=True)).values()
    (inputs,) = (each for each in whole["annotations"] if INPUTS_KEY in each)
    assert "$${HOME}" in inputs
    assert "%%{if}" in inputs


@pytest.mark.parametrize("push", [True, False])
def test_another_output_leaves_no_name_behind(receipts: Repo, push: bool) -> None:
    (target,) = targets(order(receipts, D, push=push, output=DIGESTS)).values()
    (usual,) = targets(order(receipts, D, push=push)).values()

    assert target["output"] == ["type=image,push=false,store=false,unpack=false,oci-mediatypes=true"]
    assert target.keys() == usual.keys() - {"tags"}
    assert {name: target[name] for name in target if name != "output"} == {
        name: usual[name] for name in usual if name not in {"output", "tags"}
    }


@pytest.mark.parametrize("output", [None, DIGESTS])
def test_a_reproducible_image_has_one_time(receipts: Repo, output: str | None) -> None:
    receipts.flags["reproducible"] = True
    made = targets(order(receipts, D, L, reproducible=True, output=output))

    assert {target["args"]["SOURCE_DATE_EPOCH"] for target in made.values()} == {"315532800"}
    assert all(target["output"][0].endswith(",rewrite-timestamp=true") for target in made.values())
    assert "rewrite" not in json.dumps(targets(order(receipts, D, L)))


def test_the_epoch_is_the_projects_own_where_it_names_one(receipts: Repo) -> None:
    receipts.config('[tool.lamina]\nreproducible = true\n[tool.lamina.args]\nSOURCE_DATE_EPOCH = "7"\n')

    assert targets(order(receipts, D, reproducible=True))[D]["args"] == {"SOURCE_DATE_EPOCH": "7"}


def test_steps_that_mount_an_agent_get_it_if_it_is_configured(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}", "RUN --mount=type=ssh --mount=type=ssh,id=work git fetch")
    repo.image("other", f"FROM {RUNTIME}", "RUN git fetch")

    made = order(repo, "app", "other", ssh=True)
    without = order(repo, "app", "other")

    assert {name: each.get("ssh") for name, each in targets(made).items()} == {
        "app": ["default", "work"],
        "other": None,
    }
    assert make_bake(made).ssh
    assert not make_bake(without).ssh
    assert "ssh" not in targets(without)["app"]


def test_an_argument_that_looks_like_a_secret_reaches_bake_by_its_environment(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}", "ARG API_TOKEN", "ARG INDEX", "ARG MODEL")
    repo.config(
        '[tool.lamina.args]\nAPI_TOKEN = "hunter2${x}"\nINDEX = "https://bob:hunter2@h/"\nMODEL = "m"\n'
    )

    bake = make_bake(order(repo, "app"))

    document = json.loads(bake.render())
    args = document["target"]["app"]["args"]
    assert "hunter2" not in bake.render()
    assert args["MODEL"] == "m"
    assert set(document["variable"]) == set(bake.environment)
    assert {name: bake.environment[args[name][2:-1]] for name in ("API_TOKEN", "INDEX")} == {
        "API_TOKEN": "hunter2${x}",
        "INDEX": "https://bob:hunter2@h/",
    }


def test_the_file_of_a_secret_cannot_add_an_option(repo: Repo) -> None:
    repo.write("odd,src=name", "hush")
    repo.image("app", f"FROM {RUNTIME}", "RUN --mount=type=secret,id=token ls")
    repo.config('[tool.lamina.secrets]\ntoken = { file = "odd,src=name" }\n')

    (target,) = targets(order(repo, "app", secrets=repo.project().secrets)).values()

    (fields,) = csv.reader(target["secret"])
    assert fields == ["type=file", "id=token", f"src={repo.root}/odd,src=name"]
    for text in ("plain", 'one "two", three', "two\nlines"):
        assert list(csv.reader(io.StringIO(csv_field(text), newline=""))) == [[text]]


@pytest.mark.parametrize(
    ("wanted", "entries"),
    [
        (Attestations(provenance="min"), ["type=provenance,mode=min", "type=sbom,disabled=true"]),
        (Attestations(provenance="max", sbom=True), ["type=provenance,mode=max", "type=sbom"]),
        (
            Attestations(sbom=True, generator="r.example/scan:1"),
            ["type=provenance,disabled=true", "type=sbom,generator=r.example/scan:1"],
        ),
    ],
)
def test_an_attested_image_is_pushed_under_the_tag_of_its_attestations(
    receipts: Repo, wanted: Attestations, entries: list[str]
) -> None:
    (target,) = targets(order(receipts, D, push=True, attestations=wanted)).values()
    image = receipts.images()[D]

    assert target["attest"] == entries
    assert target["tags"] == [f"{D}-dev:{image.tag.replace('sha-', 'att-')}"]
    assert target["annotations"][-1] == f"index:{FINGERPRINT_KEY}={image.fingerprint}"


def test_only_what_is_pushed_is_attested(receipts: Repo) -> None:
    wanted = Attestations(provenance="min")
    for more in ({"push": False}, {"push": True, "output": DIGESTS}):
        (target,) = targets(order(receipts, D, attestations=wanted, **more)).values()
        assert target["attest"] == ["type=provenance,disabled=true", "type=sbom,disabled=true"]
    supported = order(receipts, L, push=True, support=(receipts.images()[D],), attestations=wanted)
    assert targets(supported)[D]["attest"][0] == "type=provenance,disabled=true"
