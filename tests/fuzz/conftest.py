"""Makes the fuzzing modules and the small hub importable from the tests beside them."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "rooms" / "contracts"):
    sys.path.insert(0, str(folder))
