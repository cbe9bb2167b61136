"""Functions that run images: moto tells no digest of an image that is in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from doubles.aws_front import Fault

_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:"


@dataclass(slots=True)
class UsageDouble:
    """Lambda, to read. functions: name -> version -> the image's ``host/repository@digest``.

    An empty name of an image makes the function one of a zip file. page: entries in an answer.
    """

    service: str = "lambda"
    page: int = 50
    functions: dict[str, dict[str, str]] = field(default_factory=dict)

    def answer(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault | None:
        """See `Double.answer`."""
        if operation == "ListFunctions":
            told = [self._told(name, "$LATEST") for name in self.functions]
            return self._paged(body, "Functions", told)
        name = body.get("FunctionName", "")
        if operation == "ListVersionsByFunction":
            told = [self._told(name, version) for version in self.functions.get(name, {})]
            return self._paged(body, "Versions", told)
        if operation == "GetFunction":
            uri = self.functions.get(name, {}).get(body.get("Qualifier", "$LATEST"))
            if uri is None:
                return Fault(
                    code="ResourceNotFoundException", message=f"Function not found: {name}", status=404
                )
            code = {"RepositoryType": "ECR", "ImageUri": uri.partition("@")[0], "ResolvedImageUri": uri}
            return {"Configuration": self._told(name, body.get("Qualifier", "$LATEST")), "Code": code}
        return None

    def _told(self, name: str, version: str) -> dict[str, Any]:
        kind = "Image" if any(self.functions[name].values()) else "Zip"
        return {"FunctionName": name, "FunctionArn": _ARN + name, "Version": version, "PackageType": kind}

    def _paged(self, body: Mapping[str, Any], key: str, items: list[Any]) -> Mapping[str, Any]:
        start = int(body.get("Marker") or 0)
        end = start + min(self.page, int(body.get("MaxItems") or 50))
        return {key: items[start:end], **({"NextMarker": str(end)} if end < len(items) else {})}
