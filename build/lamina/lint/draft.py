"""A draft of fixes: edited Dockerfiles and ignore files, and the project that they make."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from lamina.declare.config import ImageSpec, Project
from lamina.files import write_atomic
from lamina.identify.image import DOCKERIGNORE
from lamina.lint.edits import Rewrite, apply
from lamina.lint.findings import Edit


class RewriteDraft:
    """Dockerfiles and ignore files as fixed so far, in a temporary folder.

    Args:
        folder: the temporary folder.
        texts: path -> new text.
    """

    def __init__(self, project: Project, folder: Path, texts: Mapping[str, str] | None = None) -> None:
        self._project = project
        self._folder = folder
        self._texts = dict(texts or {})

    def tried(self, edits: Iterable[Edit]) -> RewriteDraft:
        """Return a draft with more edits applied."""
        by_file: defaultdict[str, list[Edit]] = defaultdict(list)
        for edit in edits:
            by_file[edit.file].append(edit)
        made = {path: apply(self._text(path) or "", own) for path, own in by_file.items()}
        return RewriteDraft(self._project, self._folder, {**self._texts, **made})

    def project(self) -> Project:
        """Return the project with its Dockerfiles read from the draft, under their usual names."""
        images = {}
        specs = {**self._project.images, **dict(self._added())}
        for index, (name, spec) in enumerate(specs.items()):
            file = self._folder / str(index) / spec.dockerfile.name
            for end in ("", DOCKERIGNORE):
                path, copy = spec.dockerfile_path + end, file.with_name(file.name + end)
                if path in self._texts:
                    write_atomic(copy, self._texts[path])
                elif (self._project.root / path).is_file():
                    write_atomic(copy, (self._project.root / path).read_bytes())
                else:
                    copy.unlink(missing_ok=True)
            images[name] = replace(spec, dockerfile=file)
        return replace(self._project, images=images)

    def _added(self) -> Iterator[tuple[str, ImageSpec]]:
        """Yield the images that new Dockerfiles make: the project has no settings of theirs."""
        folder = self._project.settings.dockerfiles
        usual = next(iter(self._project.images.values()))
        context = posixpath.normpath(self._project.settings.context)
        for path in self._texts:
            name = posixpath.basename(posixpath.dirname(path))
            if path == posixpath.join(folder, name, "Dockerfile") and name not in self._project.images:
                yield (
                    name,
                    ImageSpec(
                        name=name,
                        dockerfile=self._project.root / path,
                        dockerfile_path=path,
                        context=self._project.root / context,
                        context_path="" if context == "." else context,
                        target=None,
                        platform=usual.platform,
                        kind=None,
                        args={},
                        shared_args=usual.shared_args,
                        contexts={},
                        functions=(),
                        source=path,
                    ),
                )

    def rewrites(self) -> tuple[Rewrite, ...]:
        """Return the files that differ from those of the project."""
        pairs = ((path, self._on_disk(path), text) for path, text in sorted(self._texts.items()))
        return tuple(Rewrite(path=path, before=old, after=new) for path, old, new in pairs if old != new)

    def _text(self, path: str) -> str | None:
        return self._texts[path] if path in self._texts else self._on_disk(path)

    def _on_disk(self, path: str) -> str | None:
        try:
            return (self._project.root / path).read_bytes().decode("utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return None
