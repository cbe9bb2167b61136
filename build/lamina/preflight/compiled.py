"""Distributions that cannot be installed without a compiler if they have no wheel."""

from __future__ import annotations

# fmt: off
COMPILED = frozenset({
    "numpy", "pandas", "scipy", "cryptography", "pydantic-core", "pydantic", "psycopg2", "psycopg2-binary",
    "psycopg-binary", "lxml", "pillow", "grpcio", "orjson", "pyarrow", "polars", "aiohttp", "cffi",
    "bcrypt", "pynacl", "lightgbm", "xgboost", "scikit-learn", "torch", "tensorflow", "tokenizers",
    "tiktoken", "shapely", "fiona", "rasterio", "gdal", "asyncpg", "duckdb", "opencv-python",
    "opencv-python-headless", "mysqlclient", "onnxruntime", "matplotlib", "contourpy", "lz4", "zstandard",
    "ujson", "rpds-py", "fastapi", "numba", "llvmlite", "sentencepiece", "spacy", "pyproj", "h5py",
    "netcdf4", "hiredis", "confluent-kafka", "pymupdf",
})
# fmt: on
"""Distributions with compiled modules, or that always require one."""
