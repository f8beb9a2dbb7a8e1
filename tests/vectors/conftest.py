"""Makes the vectors' format, their cases and the small hub importable from the tests."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "rooms" / "contracts")]
