"""The S3 bucket for sources of builds on CodeBuild and their results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from lamina.aws.clients import Clients
from lamina.aws.codebuild import expecting
from lamina.aws.errors import aws_errors
from lamina.errors import AwsError
from lamina.json_data import Json, JsonTable, as_list, as_table

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType, TransitionDefaultMinimumObjectSizeType
    from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef, ServerSideEncryptionRuleTypeDef

_FAULT = 500
_LEAST_SIZE = "TransitionDefaultMinimumObjectSize"
"""Which objects are too small for another storage class: a setting of the bucket, beside its rules.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html
"""


class SourceBucket:
    """The S3 bucket for sources of builds and their results. All methods raise AwsError."""

    def __init__(self, name: str, clients: Clients) -> None:
        self.name = name
        self._clients = clients

    @property
    def _client(self) -> S3Client:
        return self._clients("s3")

    def exists(self) -> bool:
        """Whether the bucket exists. Raises AwsError when the caller may not list it."""
        from botocore.exceptions import ClientError

        with aws_errors(self.name, service="s3"):
            try:
                self._client.list_objects_v2(Bucket=self.name, MaxKeys=1)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchBucket":
                    return False
                raise
        return True

    def region(self) -> str | None:
        """Return the bucket's region, which AWS reports to every caller; None when it is not known."""
        from botocore.exceptions import ClientError

        with aws_errors(self.name, service="s3"):
            try:
                answer = self._client.head_bucket(Bucket=self.name)
                found, headers = answer.get("BucketRegion"), answer["ResponseMetadata"].get("HTTPHeaders", {})
            except ClientError as error:
                metadata = error.response.get("ResponseMetadata")
                if metadata is None or metadata.get("HTTPStatusCode", _FAULT) >= _FAULT:
                    raise
                found, headers = None, metadata.get("HTTPHeaders", {})
        return found or headers.get("x-amz-bucket-region") or None

    def create(self, region: str) -> None:
        """Create the bucket, private by AWS' default."""
        with aws_errors(self.name, service="s3"):
            if region == "us-east-1":  # S3 refuses it as a location
                self._client.create_bucket(Bucket=self.name)
            else:
                location = cast("BucketLocationConstraintType", region)
                self._client.create_bucket(
                    Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": location}
                )

    def rules(self) -> tuple[JsonTable, ...]:
        """Return the bucket's lifecycle rules."""
        return _rules(self._lifecycle())

    def change_rules(self, change: Callable[[Iterable[JsonTable]], Iterable[JsonTable]]) -> None:
        """Replace the bucket's lifecycle rules by what ``change`` makes of those it has now."""
        found = self._lifecycle()
        rules = change(_rules(found))
        # AWS would put its default in place of what is left out.
        least = {_LEAST_SIZE: found[_LEAST_SIZE]} if _LEAST_SIZE in found else {}
        with aws_errors(self.name, service="s3"):
            self._client.put_bucket_lifecycle_configuration(
                Bucket=self.name,
                LifecycleConfiguration={"Rules": [cast("LifecycleRuleTypeDef", each) for each in rules]},
                **cast("_LeastSize", least),
            )

    def _lifecycle(self) -> JsonTable:
        found = self._unless(
            "NoSuchLifecycleConfiguration",
            lambda client: client.get_bucket_lifecycle_configuration(Bucket=self.name),
        )
        return as_table(found)

    def encryption(self) -> JsonTable:
        """Return the rule by which the bucket encrypts objects; empty without one."""
        found = self._unless(
            "ServerSideEncryptionConfigurationNotFoundError",
            lambda client: client.get_bucket_encryption(Bucket=self.name),
        )
        rules = as_list(as_table(as_table(found).get("ServerSideEncryptionConfiguration")).get("Rules"))
        return as_table(rules[0]) if rules else {}

    def set_encryption(self, rule: JsonTable) -> None:
        """Replace the rule by which the bucket encrypts new objects."""
        with aws_errors(self.name, service="s3"):
            self._client.put_bucket_encryption(
                Bucket=self.name,
                ServerSideEncryptionConfiguration={"Rules": [cast("ServerSideEncryptionRuleTypeDef", rule)]},
            )

    def tags(self) -> Mapping[str, str]:
        """Return the bucket's tags."""
        found = self._unless("NoSuchTagSet", lambda client: client.get_bucket_tagging(Bucket=self.name))
        tags = [as_table(each) for each in as_list(as_table(found).get("TagSet"))]
        return {str(each["Key"]): str(each["Value"]) for each in tags}

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Replace all tags of the bucket."""
        with aws_errors(self.name, service="s3"):
            self._client.put_bucket_tagging(
                Bucket=self.name,
                Tagging={"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]},
            )

    def _unless(self, missing: str, ask: Callable[[S3Client], object]) -> Json:
        """Return an answer; None if AWS' error code is ``missing``: the bucket has no such setting."""
        from botocore.exceptions import ClientError

        with aws_errors(self.name, service="s3"):
            try:
                return cast("Json", ask(self._client))
            except ClientError as error:
                if error.response["Error"]["Code"] == missing:
                    return None
                raise

    def has(self, key: str) -> bool:
        """Whether an object exists."""
        return key in self.keys(key)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """Return the keys that begin with ``prefix``, at most a thousand."""
        with self._of_bucket():
            answer = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return tuple(str(each["Key"]) for each in answer.get("Contents", ()))

    def upload(self, file: Path, key: str) -> None:
        """Upload a file, in parts when it is large."""
        with self._of_bucket():
            from boto3.exceptions import S3UploadFailedError
            from botocore.exceptions import ClientError

            try:
                self._client.upload_file(str(file), self.name, key)
            except S3UploadFailedError as error:  # AWS' own error is its context
                if isinstance(error.__context__, ClientError):
                    raise error.__context__ from None
                raise AwsError.of(f"the upload failed: {error}", where=f"s3://{self.name}") from None

    def download(self, key: str, file: Path) -> None:
        """Download an object; the file appears only once it is complete."""
        from boto3.exceptions import Boto3Error

        partial = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            with self._of_bucket():
                self._client.download_file(self.name, key, str(partial))
            partial.replace(file)
        except Boto3Error as error:
            raise AwsError.of(f"the download failed: {error}", where=f"s3://{self.name}/{key}") from None
        finally:
            partial.unlink(missing_ok=True)

    def _of_bucket(self) -> AbstractContextManager[None]:
        return expecting("bucket", self.name, "NoSuchBucket", service="s3")


class _LeastSize(TypedDict, total=False):
    TransitionDefaultMinimumObjectSize: TransitionDefaultMinimumObjectSizeType


def _rules(lifecycle: JsonTable) -> tuple[JsonTable, ...]:
    return tuple(as_table(each) for each in as_list(lifecycle.get("Rules")))
