"""Recognise Dockerfiles that make something else than a Lambda function: servers and services. Pure."""

from __future__ import annotations

import re

from lamina.declare.recipe import Recipe

_SERVICES = frozenset(
    {
        *("nginx", "nginx-unprivileged", "httpd", "caddy", "traefik", "haproxy", "envoy", "varnish"),
        *("postgres", "postgis", "mysql", "mariadb", "mongo", "redis", "valkey", "memcached", "rabbitmq"),
        *("dynamodb-local", "localstack", "minio", "kafka", "elasticsearch", "opensearch", "grafana"),
        *("prometheus", "keycloak", "jenkins", "wordpress"),
    }
)
"""Images that run a service, by the last part of their names."""
_SERVERS = frozenset(
    {
        *("nginx", "httpd", "apachectl", "apache2-foreground", "caddy", "uvicorn", "gunicorn", "hypercorn"),
        *("daphne", "waitress-serve", "flask", "streamlit", "celery", "supervisord", "redis-server"),
        *("npm", "yarn", "pnpm", "next", "serve", "vite"),
    }
)
"""Programs that serve, and never ask Lambda for an event."""
_ON_LAMBDA = re.compile(
    r"awslambdaric|aws-lambda-ric|lambda-adapter|lambda-entrypoint|/opt/extensions|/var/task|LAMBDA_TASK_ROOT"
)
_SAM_BUILD = re.compile(r"(?:^|/)sam/build-|(?:^|/)aws-sam-cli-build-image-")
_RUNTIME = re.compile(r"(?:^|/)(?:lambda/[a-z]+|aws-lambda-[a-z]+)$")
_INTERPRETER = re.compile(r"python[\d.]*|node|ruby")
_SCRIPT = re.compile(r"[^-].*\.(?:py|[cm]?js|rb)")
_INTERPRETED = 2
"""Words of a start: the interpreter and its script."""
_START = ("CMD", "ENTRYPOINT")


def for_lambda(recipe: Recipe) -> bool:
    """Whether it is built FROM one of Lambda's own images, or names what runs on Lambda."""
    return bool(_RUNTIME.search(_repository(recipe)) or _ON_LAMBDA.search(_text(recipe)))


def starts_itself(recipe: Recipe) -> bool:
    """Whether it has an ENTRYPOINT of its own, and names nothing that asks Lambda for an event."""
    own = any(each.name == "ENTRYPOINT" for each in recipe.instructions)
    return own and not _ON_LAMBDA.search(_text(recipe))


def workplace(dockerfile: str) -> str | None:
    """Return what a Dockerfile is for if its path says that people work in the container; else None."""
    *folders, name = dockerfile.split("/")
    return "a development container" if ".devcontainer" in folders or name == ".gitpod.Dockerfile" else None


def _text(recipe: Recipe) -> str:
    return "\n".join(" ".join((each.name, *each.flags, *each.words)) for each in recipe.instructions)


def other_role(recipe: Recipe) -> str | None:
    """Return what a Dockerfile is for if that is certainly no Lambda function; else None."""
    if _SAM_BUILD.search(_repository(recipe)):
        return "an image of SAM's that builds zip files"
    if for_lambda(recipe):
        return None
    service = _repository(recipe).rpartition("/")[2]
    if service in _SERVICES:
        return f"FROM {service}, a service"
    program = _program(recipe)
    if program in _SERVERS:
        return f"{program}, a server"
    script = _script(recipe)
    return f"it starts {script}, without Lambda's runtime interface" if script else None


def _script(recipe: Recipe) -> str | None:
    """Return the script that an ENTRYPOINT starts by its interpreter; None for any other start."""
    last = {each.name: each for each in recipe.instructions if each.name in _START}
    start = last.get("ENTRYPOINT")
    words = " ".join(start.words).translate(str.maketrans('[]",', "    ")).split() if start else []
    if len(words) < _INTERPRETED or not _INTERPRETER.fullmatch(words[0].rpartition("/")[2]):
        return None
    return " ".join(words[:_INTERPRETED]) if _SCRIPT.fullmatch(words[1]) else None


def _repository(recipe: Recipe) -> str:
    return recipe.chain[-1].base.partition("@")[0].partition(":")[0]


def _program(recipe: Recipe) -> str | None:
    """Return the program that the image starts: of the last ENTRYPOINT, else of the last CMD."""
    last = {each.name: each for each in recipe.instructions if each.name in _START}
    start = last.get("ENTRYPOINT") or last.get("CMD")
    text = " ".join(start.words).rpartition("&&")[2] if start else ""
    words = text.translate(str.maketrans('[]",', "    ")).split()
    words = [each for each in words if each not in {"exec", "sh", "-c", "/bin/sh"}]
    return words[0].rpartition("/")[2] if words else None
