"""What following a rule was measured to be worth, as ``lamina rule`` and the page of rules show it.

Seconds are of what runs again, on two cores beside other work, ``bad -> good``: their ratio counts. What
has no figure, and why: the head of the page.
"""

from __future__ import annotations

from collections.abc import Mapping

_PLAN = "`nox -s bench -- --case base-code --variant before --variant seed`"
_LINKED = "`nox -s bench -- --case base-code-empty --variant seed --variant bake`"

GAINS: Mapping[str, str] = {
    "LAM101": (
        "boto3, pydantic and openai in a base, installed again after an edit of the requirements: 72 s -> "
        "4.1 s, and an image of 91 MB -> 69 MB (`python -m bench.rules LAM101`)"
    ),
    "LAM102": (
        "with LAM101 and LAM105, four images after an edit of a base's package: 85 s and 239 MB -> 63 s and "
        f"179 MB ({_PLAN})"
    ),
    "LAM103": (
        "pydantic, which the base has in the same version, after an edit of the base's requirements: "
        "3.2 s -> 0.31 s (`python -m bench.rules LAM103`)"
    ),
    "LAM104": (
        "a package that requires boto3, pydantic and openai, after an edit of its source: 199 s -> 25 s "
        "(`python -m bench.rules LAM104`)"
    ),
    "LAM105": (
        "none in seconds where the index is near (55 s -> 56 s, `python -m bench.rules LAM105`): it spares "
        "the downloads"
    ),
    "LAM106": (
        "none in seconds where the index is near (`uv sync` of boto3, pydantic and openai: 9.6 s -> 9.7 s, "
        "`python -m bench.rules LAM106`): it spares the downloads, and 5 of 68 MB of the layer"
    ),
    "LAM108": (
        "two images with boto3, pydantic and openai, listed in another order, after an edit of both lists: "
        "83 s -> 48 s, and new layers of 115 MB -> 58 MB, unpacked (`python -m bench.rules LAM108`); none "
        "where steps and files are equal, for BuildKit runs those once"
    ),
    "LAM110": (
        "CPU of a cold start of the sample's lambda-embedding: 2,908 ms -> 1,330 ms "
        "(`lamina smoke lambda-embedding`)"
    ),
    "LAM112": (
        "boto3, pydantic and openai in the environment, after an edit of the code: 16 s -> 0.30 s, and new "
        "layers of 63 MB -> 33 kB, unpacked (`python -m bench.rules LAM112`)"
    ),
    "LAM113": (
        "boto3, pydantic and openai, after an edit of the lock that is about another member: 14 s and 63 MB "
        "of new layers -> nothing to build (`python -m bench.rules LAM113`)"
    ),
    "LAM114": (
        "boto3, pydantic and openai, with pytest and mypy in the group dev: 40 s -> 27 s, and an image of "
        "313 MB -> 243 MB, unpacked (`python -m bench.rules LAM114`)"
    ),
    "LAM115": (
        "none in seconds or bytes (15 s -> 13 s, 220 MB -> 220 MB, `python -m bench.rules LAM115`): it is "
        "about equal builds"
    ),
    "LAM116": (
        "none in seconds or bytes (17 s -> 16 s, 243 MB -> 243 MB, `python -m bench.rules LAM116`): uv "
        "copies either way, and warns without it"
    ),
    "LAM117": (
        "an image with boto3, pydantic and openai: 229 MB -> 200 MB, unpacked "
        "(`python -m bench.rules LAM117`)"
    ),
    "LAM118": (
        "pytest and mypy beside boto3, pydantic and openai: an image of 313 MB -> 243 MB, unpacked (the same "
        "packages as in `python -m bench.rules LAM114`)"
    ),
    "LAM119": (
        "pydantic in two versions, after an edit of the base's requirements: 25 s -> 0.43 s, and an image of "
        "247 MB -> 238 MB, unpacked (`python -m bench.rules LAM119`)"
    ),
    "LAM120": (
        "boto3, pydantic and openai with an empty cache, the index near: 1.99 s -> 1.39 s "
        "(`python -m bench.rules LAM120`)"
    ),
    "LAM201": (
        "with LAM101, LAM102 and LAM105, four images after an edit of a handler: 90 s and 239 MB -> 0.53 s "
        "and 896 B (`nox -s bench -- --case handler --variant before --variant seed`)"
    ),
    "LAM202": (
        "boto3, pydantic and openai, after an edit of the handler: 34 s -> 0.52 s "
        "(`python -m bench.rules LAM202`)"
    ),
    "LAM203": (
        "with LAM104 and LAM304, four images on an empty runner after an edit of a base's package: 68 s and "
        f"398 MB -> 1.05 s and 0.2 MB ({_LINKED})"
    ),
    "LAM304": (
        "with LAM104 and LAM203, four images on an empty runner after an edit of a base's package: 68 s and "
        f"398 MB -> 1.05 s and 0.2 MB ({_LINKED})"
    ),
    "LAM307": (
        "boto3, pydantic and openai below an ARG that differs in every build: 49 s and 58 MB of new layers "
        "-> nothing to build (`python -m bench.rules LAM307`)"
    ),
}
"""Rule -> a sentence without a full stop, with the command that measures it."""
