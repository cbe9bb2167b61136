"""Which distributions provide well-known modules: https://packaging.python.org/en/latest/discussions/distribution-package-vs-import-package/

Written by hand: a table that lacks a distribution costs a finding or a warning, never an error, see
`may_provide`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_OTHERS: Mapping[str, tuple[str, ...]] = {
    "attr": ("attrs",),
    "bs4": ("beautifulsoup4",),
    "crypto": ("pycryptodome", "pycrypto"),
    "cryptodome": ("pycryptodomex",),
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "dateutil": ("python-dateutil",),
    "docx": ("python-docx", "docx"),
    "dotenv": ("python-dotenv",),
    "faiss": ("faiss-cpu", "faiss-gpu"),
    "fitz": ("pymupdf",),
    "git": ("gitpython",),
    "github": ("pygithub",),
    "googleapiclient": ("google-api-python-client",),
    "graphql": ("graphql-core",),
    "grpc": ("grpcio",),
    "jose": ("python-jose",),
    "jwt": ("pyjwt", "python-jwt"),
    "kafka": ("kafka-python", "kafka-python-ng"),
    "levenshtein": ("levenshtein", "python-levenshtein"),
    "magic": ("python-magic", "python-magic-bin", "file-magic"),
    "multipart": ("python-multipart", "multipart"),
    "mysqldb": ("mysqlclient", "mysql-python", "pymysql"),
    "nacl": ("pynacl",),
    "opensearchpy": ("opensearch-py",),
    "openssl": ("pyopenssl",),
    "pil": ("pillow", "pillow-simd"),
    "pptx": ("python-pptx",),
    "psycopg2": ("psycopg2", "psycopg2-binary", "aws-psycopg2"),
    "pythonjsonlogger": ("python-json-logger",),
    "serial": ("pyserial",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn", "scikit-learn-intelex"),
    "slugify": ("python-slugify", "unicode-slugify", "awesome-slugify"),
    "socks": ("pysocks",),
    "tensorflow": ("tensorflow", "tf-nightly"),
    "telegram": ("python-telegram-bot",),
    "websocket": ("websocket-client",),
    "yaml": ("pyyaml", "pyyaml-ft"),
    "zmq": ("pyzmq",),
}
"""Module in lower case -> the distributions that provide it, where a name differs."""
# fmt: off
_EQUAL = frozenset({
    "aioboto3", "aiobotocore", "aiohttp", "aiosqlite", "alembic", "anthropic", "anyio", "arrow",
    "asyncpg", "aws_lambda_powertools", "aws_xray_sdk", "babel", "bcrypt", "black", "bleach", "boltons",
    "boto3", "botocore", "cachetools", "celery", "chromadb", "click", "cloudscraper", "cohere",
    "confluent_kafka", "coverage", "cryptography", "cssselect", "dacite", "dask", "dataclasses_json",
    "datadog_lambda", "ddtrace", "django", "duckdb", "elasticsearch", "faker", "fastapi", "fastparquet",
    "feedparser", "fiona", "flask", "freezegun", "geopandas", "geopy", "groq", "gspread", "gunicorn",
    "h5py", "holidays", "html5lib", "httpcore", "httpx", "humanize", "hypothesis", "icalendar", "imageio",
    "inflection", "instructor", "jinja2", "joblib", "jsonschema", "keras", "langchain", "langchain_aws",
    "langchain_community", "langchain_core", "langchain_openai", "langgraph", "langsmith", "librosa",
    "lightgbm", "litellm", "locust", "loguru", "lxml", "mangum", "markdown", "markdownify", "marshmallow",
    "matplotlib", "mistralai", "mongoengine", "more_itertools", "moto", "motor", "moviepy", "msgpack",
    "mypy", "networkx", "nltk", "numba", "numpy", "onnxruntime", "openai", "openpyxl", "orjson", "pandas",
    "paramiko", "passlib", "pdfplumber", "peewee", "pendulum", "pgvector", "phonenumbers", "plotly",
    "polars", "psutil", "psycopg", "pyarrow", "pycountry", "pydantic", "pydantic_core",
    "pydantic_settings", "pydub", "pymongo", "pymssql", "pymysql", "pynamodb", "pyodbc", "pypdf",
    "pypdfium2", "pyppeteer", "pyproj", "pytest", "pytz", "qdrant_client", "rapidfuzz", "rasterio",
    "redis", "reportlab", "requests", "requests_aws4auth", "requests_mock", "responses", "rich", "ruff",
    "s3fs", "scipy", "scrapy", "seaborn", "selenium", "sendgrid", "sentence_transformers", "sentry_sdk",
    "shapely", "simple_salesforce", "slack_sdk", "smart_open", "soundfile", "spacy", "sphinx",
    "sqlalchemy", "sqlmodel", "starlette", "statsmodels", "stripe", "structlog", "sympy", "tenacity",
    "tensorflow", "thefuzz", "tiktoken", "tldextract", "tokenizers", "torch", "torchvision", "tqdm",
    "trafilatura", "transformers", "tweepy", "twilio", "typer", "ujson", "uvicorn", "weasyprint",
    "websockets", "xarray", "xgboost", "xlsxwriter", "xmltodict", "yt_dlp", "zarr", "zeep",
})
"""Modules whose distribution has their name, and that nothing else provides."""
_ALONE = (
    "uv", "pip", "setuptools", "wheel", "urllib3", "certifi", "idna", "charset-normalizer", "chardet",
    "six", "typing-extensions", "annotated-types", "numpy", "pytz", "tzdata", "simplejson", "orjson",
    "pymysql", "psycopg2-binary", "psycopg2", "python-dotenv", "pyyaml", "pillow", "lxml", "soupsieve",
    "jmespath", "docutils", "xmltodict", "et-xmlfile", "pycparser", "markupsafe", "snapshot-restore-py",
    "async-timeout", "fastjsonschema", "wrapt", "future", "jsonpickle",
)
# fmt: on
_OF_POETRY = (
    "poetry-core poetry-plugin-export build cachecontrol cachy cleo clikit crashtest dulwich findpython "
    "html5lib importlib-metadata installer jsonschema keyring lockfile packaging pbs-installer pexpect "
    "pkginfo platformdirs pyproject-hooks rapidfuzz requests requests-toolbelt shellingham tomli "
    "tomlkit trove-classifiers urllib3 virtualenv xattr attrs pyrsistent webencodings filelock msgpack "
    "ptyprocess pastel pylev distlib zipp more-itertools jaraco secretstorage jeepney cryptography "
    "fastjsonschema httpx anyio httpcore h11 sniffio zstandard cffi referencing rpds-py "
    "jsonschema-specifications importlib-resources backports-cached-property python-discovery "
    "typing-extensions"
)
_CLOSURES: Mapping[str, str] = {
    **dict.fromkeys(_ALONE, ""),
    "awslambdaric": "simplejson snapshot-restore-py",
    "requests": "certifi chardet charset-normalizer idna urllib3",
    "python-dateutil": "six",
    "botocore": "docutils jmespath python-dateutil urllib3",
    "s3transfer": "botocore",
    "boto3": "botocore jmespath s3transfer",
    "pandas": "numpy python-dateutil pytz tzdata",
    "pyjwt": "typing-extensions",
    "beautifulsoup4": "soupsieve typing-extensions",
    "openpyxl": "et-xmlfile",
    "cffi": "pycparser",
    "cryptography": "cffi typing-extensions",
    "jinja2": "markupsafe",
    "aws-lambda-powertools": "jmespath typing-extensions boto3 aws-xray-sdk fastjsonschema",
    "aws-xray-sdk": "botocore wrapt future jsonpickle",
    "mangum": "typing-extensions",
    "poetry": _OF_POETRY,
    "poetry-core": "",
    "poetry-plugin-export": "poetry-core",
}
"""Distribution -> all that any version of it requires without extras."""


def providers(module: str) -> tuple[str, ...]:
    """Return the distributions that provide a well-known module; none if it is not known well."""
    own = (re.sub("_", "-", module),) if module in _EQUAL else ()
    return _OTHERS.get(module.lower(), own)


def may_provide(module: str, distributions: Iterable[str]) -> bool:
    """Whether a distribution may provide a module, also by a name that only looks like it.

    Types and stubs provide no module.
    """
    known = tuple(dict.fromkeys(map(_letters, (module, *providers(module)))))
    for each in distributions:
        text = _letters(each)
        if each.startswith("types-") or each.endswith("-stubs"):
            continue
        if any(one in text for one in known):
            return True
    return False


def is_named(module: str, distribution: str) -> bool:
    """Whether a distribution has a module's name, or is known to provide it."""
    return _letters(distribution) == _letters(module) or distribution in providers(module)


def closure_of(name: str) -> frozenset[str] | None:
    """Return a distribution with all that it requires; None if that is not known."""
    found: set[str] = set()
    todo = [name]
    while todo:
        each = todo.pop()
        if each not in _CLOSURES and each not in _OF_POETRY.split():
            return None
        found.add(each)
        todo += (one for one in _CLOSURES.get(each, "").split() if one not in found)
    return frozenset(found)


def _letters(name: str) -> str:
    return re.sub(r"[-_.]+", "", name).lower()
