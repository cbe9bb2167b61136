from __future__ import annotations

from lamina.adopt.savings import repeated_installs

from ..conftest import RUNTIME, Repo


def test_an_install_written_alike_in_two_images_is_found(repo: Repo) -> None:
    repo.image(
        "a", f"FROM {RUNTIME}", "RUN pip install --no-cache-dir -t /opt 'boto3>=1' /tmp/pkg -r list.txt"
    )
    repo.image(
        "b", f"FROM {RUNTIME}", "RUN true && uv pip install --target $ROOT boto3>=1 && pip install /tmp/pkg"
    )
    repo.image("c", f"FROM {RUNTIME}", "RUN pip install -r list.txt .")

    found = repeated_installs(repo.graph().nodes.values())

    where = {name: f"dockerfiles/{name}/Dockerfile:2" for name in ("a", "b")}
    assert {each.package: each.images for each in found} == {"/tmp/pkg": where, "boto3>=1": where}


def test_the_values_of_uvs_options_are_not_packages(repo: Repo) -> None:
    for name in ("a", "b"):
        repo.image(name, "FROM scratch", "RUN uv pip install --link-mode copy --python-platform linux boto3")

    assert [each.package for each in repeated_installs(repo.graph().nodes.values())] == ["boto3"]
