"""A build by the command line that a collector and Prometheus watch."""

from __future__ import annotations

import secrets

import pytest
from doubles.collector import Span, running_collector
from projects import Repo
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.engine

RUNTIME = "public.ecr.aws/lambda/python:3.13"
TRACE, PARENT = secrets.token_hex(16), secrets.token_hex(8)


def test_a_build_is_traced_with_the_steps_and_calls_of_buildkit(tiny: Repo) -> None:
    tiny.append("src/handler.py", f"# {secrets.token_hex()}\n")
    with running_collector() as collector:
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "TRACEPARENT": f"00-{TRACE}-{PARENT}-01",
            "LAMINA_METRICS": "build.prom",
            **dict.fromkeys(("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_BSP_EXPORT_TIMEOUT"), "60000"),
        }
        done = tiny.ok("build-all", env=told)

    command, image = collector.named("lamina build-all"), collector.named_of("lamina", "lambda-tiny")
    assert "note: " not in done.text
    assert (command.trace, command.parent, image.parent) == (TRACE, PARENT, command.id)
    copied = step(collector.below(image), "COPY --link src/handler.py")
    assert copied.attributes["lamina.step.cached"] is False
    assert command.started <= image.started <= copied.started <= copied.finished <= image.finished
    assert image.finished <= command.finished
    (bake,) = [each for each in collector.spans if each.name == "bake"]
    assert (bake.service, bake.parent) == ("buildx", command.id)

    values = {
        (each.name, each.labels.get("status")): each.value
        for family in text_string_to_metric_families((tiny.root / "build.prom").read_text())
        for each in family.samples
    }
    assert values["lamina_images", "built"] == 3


def test_a_push_and_a_smoke_have_a_span_for_each_image(repo: Repo, registry: str) -> None:
    for name, line in (("fn-good", "return event"), ("fn-bad", "raise KeyError(1)")):
        repo.write(
            f"{name}/handler.py", f"def handler(event, context):\n    {line}\n# {secrets.token_hex()}\n"
        )
        repo.write(
            f"dockerfiles/{name}/Dockerfile",
            f'FROM {RUNTIME}\nCOPY --link {name}/ /var/task/\nCMD ["handler.handler"]\n',
        )
    remote = ("--registry", f"{registry}/{secrets.token_hex(4)}")
    repo.ok("build-all", *remote)
    with running_collector() as collector:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "60000"}
        repo.ok("push", "--image", "fn-bad", *remote, env=told)
        repo.ok("push", *remote, env=told)
        repo.fails(1, "smoke", *remote, env=told)

    first, second = (each for each in collector.spans if each.name == "lamina push")
    smoke = collector.named("lamina smoke")
    (pushed,) = collector.below(first)
    again = {each.name: each for each in collector.below(second)}
    tried = {each.name: each for each in collector.below(smoke)}
    assert pushed.attributes["cicd.pipeline.task.run.result"] == "success"
    assert "@sha256:" in pushed.attributes["container.image.repo_digests"][0]
    assert first.started <= pushed.started < pushed.finished <= first.finished
    assert again["push fn-bad"].attributes["lamina.task.status"] == "skipped"
    assert again["push fn-good"].attributes["lamina.task.status"] == "pushed"
    assert tried["smoke fn-good"].attributes["lamina.task.status"] == "ok"
    assert tried["smoke fn-bad"].failed
    assert tried["smoke fn-bad"].attributes["error.type"] == "BuildError"
    assert "KeyError" in tried["smoke fn-bad"].message


def step(spans: list[Span], instruction: str) -> Span:
    (found,) = [each for each in spans if each.attributes["lamina.step.instruction"].startswith(instruction)]
    return found
