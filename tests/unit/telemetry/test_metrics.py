"""The metrics of builds, read back as Prometheus and as CloudWatch read them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from jsonschema import Draft7Validator
from prometheus_client.parser import text_string_to_metric_families

from lamina.errors import EngineError
from lamina.execute.outcome import Outcome
from lamina.flow.build import build_images
from lamina.telemetry.command_run import CommandRun
from lamina.telemetry.metrics import BuildMetrics, Metric, Sample, embedded, measure, prometheus
from lamina.telemetry.write import write_metrics
from memory import Programs, Shop

SCHEMA = json.loads((Path(__file__).parents[2] / "data/emf.schema.json").read_text())
D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
OURS = {"project": "repo", "stack": "dev"}


class NoBuildx(Programs):
    """Programs without buildx."""

    def stream(self, *_: object, **__: object) -> NoReturn:
        raise EngineError.of("buildx cannot be run")


def finished(*runs: tuple[str, Outcome], code: int = 0) -> CommandRun:
    return CommandRun(command="build-all", code=code, started=1000.0, finished=1012.5, runs=runs)


def built(shop: Shop, *, code: int = 0, **flags: Any) -> BuildMetrics:
    """The metrics of a build of all images."""
    runs: list[tuple[str, Outcome]] = []
    session = shop.open(push=True, observe=lambda run, outcome: runs.append((run, outcome)), **flags)
    build_images(session, "build-all")
    return measure(finished(*runs, code=code), project="repo", stack="dev", pushed=True)


def scraped(text: str) -> dict[tuple[str, str], float]:
    """Metric, and its labels beside those of all -> value."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            own = {name: value for name, value in sample.labels.items() if name not in OURS}
            assert OURS.items() <= sample.labels.items()
            assert (sample.name, str(own)) not in found
            found[sample.name, ",".join(own.values())] = sample.value
    return found


def logged(line: str) -> dict[str, Any]:
    """A line as CloudWatch reads it: the values of its metrics, by name."""
    document = json.loads(line)
    assert [each.message for each in Draft7Validator(SCHEMA).iter_errors(document)] == []
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    (dimensions,) = directive["Dimensions"]
    assert {name: document[name] for name in dimensions} == OURS
    return {each["Name"]: document[each["Name"]] for each in directive["Metrics"]}


def test_prometheus_reads_a_build(shop: Shop) -> None:
    found = scraped(prometheus(built(shop)))

    assert found["lamina_images", "built"] == 4
    assert found["lamina_images", "failed"] == 0
    assert found["lamina_run_seconds", ""] == 12.5
    assert found["lamina_run_timestamp_seconds", ""] == 1012.5
    assert (found["lamina_run_exit_code", ""], found["lamina_run_failed", ""]) == (0, 0)
    assert {image for name, image in found if name == "lamina_image_seconds"} == {D, L, E, W}
    assert found["lamina_pushed_bytes", ""] > 0


def test_cloudwatch_reads_a_build(shop: Shop) -> None:
    (line,) = embedded(built(shop))

    found = logged(line)
    assert "\n" not in line
    assert (found["ImagesBuilt"], found["ImagesSkipped"], found["RunSeconds"]) == (4, 0, 12.5)
    assert len(found["ImageSeconds"]) == 4
    assert json.loads(line)["_aws"]["Timestamp"] == 1012500


def test_a_build_of_nothing_has_the_same_series(shop: Shop) -> None:
    first = scraped(prometheus(built(shop)))

    second = scraped(prometheus(built(shop)))

    assert second["lamina_images", "skipped"] == 4
    assert second["lamina_pushed_bytes", ""] == 0
    assert first.keys() - second.keys() == {("lamina_image_seconds", name) for name in (D, L, E, W)}


def test_a_failed_build_has_metrics(shop: Shop) -> None:
    shop.programs.failing = {E}

    found = built(shop, code=1, keep_going=True)

    values = scraped(prometheus(found))
    assert (values["lamina_images", "failed"], values["lamina_images", "built"]) == (1, 3)
    assert (values["lamina_run_exit_code", ""], values["lamina_run_failed", ""]) == (1, 1)
    assert logged(embedded(found)[0])["RunFailed"] == 1


def test_a_build_that_ends_with_an_error_is_observed(shop: Shop) -> None:
    runs: list[tuple[str, Outcome]] = []
    broken = replace(shop, programs=NoBuildx(shop.registry))

    with pytest.raises(EngineError):
        build_images(broken.open(push=True, observe=lambda *run: runs.append(run)), "build-all")

    found = scraped(prometheus(measure(finished(*runs, code=4), project="repo", stack="dev", pushed=True)))
    assert (found["lamina_images", "cancelled"], found["lamina_run_failed", ""]) == (4, 1)


def test_a_command_that_failed_before_its_build_has_its_exit_code() -> None:
    found = measure(finished(code=2), project="repo", stack="dev", pushed=False)

    assert scraped(prometheus(found))["lamina_run_exit_code", ""] == 2
    assert logged(embedded(found)[0])["ImagesBuilt"] == 0


def test_labels_are_escaped() -> None:
    labels = {"project": 'a "b"\\c\nd', "stack": "dev"}
    metric = Metric(name="x", help="X.", unit="None", samples=(Sample(value=1),))

    text = prometheus(BuildMetrics(labels=labels, finished=1.0, metrics=(metric,)))

    (first, _) = text_string_to_metric_families(text)
    assert first.samples[0].labels == labels


def test_a_line_for_cloudwatch_has_at_most_a_hundred_values() -> None:
    samples = tuple(Sample(value=number, labels={"image": f"image-{number}"}) for number in range(250))
    others = Metric(name="run_failed", help="F.", unit="Count", samples=(Sample(value=0),))
    many = Metric(name="image_seconds", help="S.", unit="Seconds", samples=samples)

    lines = embedded(BuildMetrics(labels=OURS, finished=1.0, metrics=(others, many)))

    found = [logged(line) for line in lines]
    assert [value for each in found for value in each["ImageSeconds"]] == list(range(250))
    assert ["RunFailed" in each for each in found] == [True, False, False]


def test_a_file_is_replaced_or_gets_another_line(shop: Shop) -> None:
    session, run = shop.open(), finished()
    for name in ("m.prom", "m.json", "m.jsonl"):
        for _ in range(2):
            write_metrics(session, f"out/{name}", "pyproject.toml:3", run)

    folder = shop.repo.root / "out"
    assert scraped((folder / "m.prom").read_text())["lamina_run_exit_code", ""] == 0
    assert len((folder / "m.json").read_text().splitlines()) == 1
    assert len([logged(line) for line in (folder / "m.jsonl").read_text().splitlines()]) == 2
    assert {each.name for each in folder.iterdir()} == {"m.prom", "m.json", "m.jsonl"}
    assert (folder / "m.prom").stat().st_mode & 0o777 == 0o644  # the collector is another user


def test_a_file_that_cannot_be_written_is_a_note(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.repo.write("out", "a file\n")

    write_metrics(shop.open(), "out/m.prom", "pyproject.toml:3", finished())

    assert f"note: {shop.repo.root}/out/m.prom: the metrics were not written: " in capsys.readouterr().out


def test_a_home_folder_that_is_not_known_is_a_note(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    write_metrics(shop.open(), "~no-such-user/m.prom", "--metrics", finished())

    assert "note: ~no-such-user/m.prom: the metrics were not written: " in capsys.readouterr().out
