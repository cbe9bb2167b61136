"""The bucket that CodeBuild needs, and how one in an account differs from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lamina.codebuild.buildspec import KEPT_DAYS, PREFIX
from lamina.codebuild.project import ProjectChange, flat, tag_changes
from lamina.declare.codebuild import CodeBuildSettings
from lamina.json_data import JsonTable, as_table

RULE = "lamina"
"""The id of the bucket's lifecycle rule."""
EXPIRY, KEY = f"expiry of {PREFIX}/", "KMS key"
_DEFAULT = "ApplyServerSideEncryptionByDefault"
_KMS = "aws:kms"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketFacts:
    """A bucket as it is.

    Attributes:
        rules: Its lifecycle rules.
        encryption: The rule by which it encrypts objects; read only if a key is configured.
        tags: Read only if tags are configured.
    """

    rules: tuple[JsonTable, ...] = ()
    encryption: JsonTable = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def expiry_rule() -> JsonTable:
    """Return the bucket's lifecycle rule, which expires sources and results."""
    return {
        "ID": RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": f"{PREFIX}/"},
        "Expiration": {"Days": KEPT_DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }


def bucket_changes(settings: CodeBuildSettings, found: BucketFacts | None) -> Iterator[ProjectChange]:
    """Yield the changes the bucket needs. found: None without a bucket."""
    what, is_ = f"bucket {settings.bucket}", found or BucketFacts()
    if found is None:
        yield ProjectChange(what=what, setting="", before=None, after="created, private")
    own = next((each for each in is_.rules if each.get("ID") == RULE), None)
    rule = flat(own) if own else {}
    if any(rule.get(key) != value for key, value in flat(expiry_rule()).items()):
        before = f"{as_table(own.get('Expiration')).get('Days')} days, {own.get('Status')}" if own else None
        yield ProjectChange(what=what, setting=EXPIRY, before=before, after=f"{KEPT_DAYS} days, Enabled")
    if settings.kms_key:
        default = as_table(is_.encryption.get(_DEFAULT))
        algorithm, key = str(default.get("SSEAlgorithm", "")), default.get("KMSMasterKeyID")
        if key != settings.kms_key or not algorithm.startswith(_KMS):
            before = str(key or algorithm) or None
            yield ProjectChange(what=what, setting=KEY, before=before, after=settings.kms_key)
    yield from tag_changes(what, dict(settings.tags), is_.tags)


def merged_rules(rules: Iterable[JsonTable]) -> tuple[JsonTable, ...]:
    """Return the bucket's rules with Lamina's own replaced or added."""
    return (*(each for each in rules if each.get("ID") != RULE), expiry_rule())


def encrypted_by(key: str, rule: JsonTable) -> JsonTable:
    """Return an encryption rule with a key: objects get data keys of the bucket, which asks KMS less."""
    return {**rule, _DEFAULT: {"SSEAlgorithm": _KMS, "KMSMasterKeyID": key}, "BucketKeyEnabled": True}
