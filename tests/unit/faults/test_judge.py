from __future__ import annotations

import json
from typing import Any

from faults.judge import Run, StoredTag, judge_left, judge_manifest, judge_run, judge_success, judge_tags

FINGERPRINT = "sha256:" + "ab" * 32
TAG = "sha-abababababab"
DIGEST = "sha256:" + "1" * 64
GOOD = StoredTag(image="base", tag=TAG, digest=DIGEST, fingerprint=FINGERPRINT, made=FINGERPRINT)
EXPECTED = {"base": FINGERPRINT}
IMAGE = {"name": "base", "action": "built", "fingerprint": FINGERPRINT, "tag": TAG, "digest": DIGEST}


def run(code: int | None = 0, *, stderr: str = "", text: str = "", **image: Any) -> Run:
    report = {"ok": code == 0, "images": [{**IMAGE, **image}], "messages": [{"text": text}]}
    words = ("build-all", "--json")
    return Run(words=words, code=code, seconds=3, stdout=json.dumps(report), stderr=stderr)


def manifest(**entry: Any) -> str:
    return json.dumps({"images": [{"image": "base", "tags": [TAG], "digest": DIGEST, **entry}]})


class TestRun:
    def test_a_run_that_ends_as_it_may_is_right(self) -> None:
        assert list(judge_run(run(), {0})) == []
        assert list(judge_run(run(5, text="the registry is away"), {0, 5})) == []

    def test_another_exit_code(self) -> None:
        (told,) = judge_run(run(1, text="no idea"), {0, 5})
        assert told.startswith("ended with 1, allowed [0, 5]: lamina build-all --json")
        assert "no idea" in told

    def test_no_end(self) -> None:
        (told,) = judge_run(run(None), {0})
        assert told.startswith("did not end within 3 s")

    def test_a_traceback_is_wrong_whatever_the_exit_code(self) -> None:
        ours = 'Traceback (most recent call last):\n  File "/x/lamina/errors.py", line 3'
        assert any("a traceback" in told for told in judge_run(run(stderr=ours), {0}))

    def test_a_traceback_of_pythons_own_start_is_not_ours(self) -> None:
        early = 'Traceback (most recent call last):\n  File "<frozen site>", line 3\nKeyboardInterrupt'
        assert list(judge_run(Run(words=("plan",), code=-2, seconds=0, stderr=early), {-2})) == []

    def test_a_failure_has_a_reason(self) -> None:
        assert next(judge_run(run(5), {5})).startswith("ended with 5 without a word")

    def test_the_report_and_the_exit_code_agree(self) -> None:
        other = Run(words=("plan", "--json"), code=0, seconds=1, stdout='{"ok": false, "messages": []}')
        assert list(judge_run(other, {0})) == ["ended with 0, and its report says ok: False"]

    def test_no_report(self) -> None:
        empty = Run(words=("plan", "--json"), code=0, seconds=1)
        assert next(judge_run(empty, {0})).startswith("ended with 0 and printed no report")


class TestSuccess:
    def test_a_reported_image_that_exists_is_right(self) -> None:
        assert list(judge_success(run(), [GOOD], EXPECTED)) == []

    def test_it_is_not_there(self) -> None:
        assert list(judge_success(run(), [], EXPECTED)) == [
            f"ended with 0 (built), and base:{TAG} is not there"
        ]

    def test_it_is_not_reported(self) -> None:
        (told,) = judge_success(run(), [GOOD], {**EXPECTED, "lambda": FINGERPRINT})
        assert told == "ended with 0 and does not report lambda"

    def test_another_tree(self) -> None:
        (told,) = judge_success(run(), [GOOD], {"base": "sha256:other"})
        assert told == f"reports base as {FINGERPRINT}, the tree is sha256:other"

    def test_an_image_that_was_not_made(self) -> None:
        (told,) = judge_success(run(action="cancelled"), [GOOD], EXPECTED)
        assert told == "ended with 0, and base was cancelled"

    def test_the_digest_counts_unless_several_runs_push_the_tag(self) -> None:
        other = run(digest="sha256:2")
        assert len(list(judge_success(other, [GOOD], EXPECTED))) == 1
        assert list(judge_success(other, [GOOD], EXPECTED, same_digest=False)) == []

    def test_a_tree_that_moves_has_no_expectation(self) -> None:
        assert list(judge_success(run(), [GOOD])) == []


def test_tags_hold_what_they_say() -> None:
    broken = StoredTag(image="base", tag=TAG, broken="blob is gone")
    unmarked = StoredTag(image="base", tag=TAG, digest=DIGEST, made=FINGERPRINT)
    stale = StoredTag(image="base", tag=TAG, digest=DIGEST, fingerprint=FINGERPRINT, made="sha256:cd")
    moved = StoredTag(image="base", tag="sha-0", digest=DIGEST, fingerprint=FINGERPRINT, made=FINGERPRINT)

    assert list(judge_tags([GOOD])) == []
    assert list(judge_tags([broken, unmarked, stale, moved])) == [
        f"base:{TAG} cannot be read back: blob is gone",
        f"base:{TAG} carries no fingerprint",
        f"base:{TAG} holds other content: its files make sha256:cd, its label says {FINGERPRINT}",
        f"base:sha-0 carries the fingerprint {FINGERPRINT}",
    ]


class TestManifest:
    def test_it_names_what_is_there(self) -> None:
        assert list(judge_manifest(manifest(), [GOOD])) == []
        assert list(judge_manifest(None, [])) == []

    def test_half_written(self) -> None:
        for text in ("", manifest()[:-9], "{}", '{"images": [{"image": "base", "tags": []}]}'):
            (told,) = judge_manifest(text, [GOOD])
            assert told.startswith("manifest.json is half written")

    def test_it_names_what_is_not_there(self) -> None:
        (told,) = judge_manifest(manifest(), [])
        assert told == f"manifest.json records base:{TAG}, which is not there"

    def test_it_names_another_digest(self) -> None:
        other = manifest(digest="sha256:2")
        assert list(judge_manifest(other, [GOOD])) == [
            f"manifest.json records base:{TAG} as sha256:2, it is {DIGEST}"
        ]
        assert list(judge_manifest(other, [GOOD], same_digest=False)) == []


def test_leftovers_are_found() -> None:
    assert list(judge_left([], [])) == []
    assert list(judge_left(["7 buildx"], ["manifest.lock"])) == [
        "left a process: 7 buildx",
        "left a lock: manifest.lock",
    ]
