"""Run real builds under injected faults, and judge each by the content of the registry afterwards.

``python -m faults --quick``, or ``nox -s faults -- --quick``. Not part of the wheel.
"""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1] / "tests"

sys.path.append(str(_TESTS / "integration"))  # the projects of the integration tests are used here too
