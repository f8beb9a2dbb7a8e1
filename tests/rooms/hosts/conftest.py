"""Makes the toy ledger beside the tests importable from them and from the processes they kill."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
