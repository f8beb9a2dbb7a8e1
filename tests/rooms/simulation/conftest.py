"""Makes the checked days beside the tests, and the pretended network beside the hosts' tests,
importable from here."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
HOSTS = HERE.parent / "hosts"
sys.path[:0] = [str(HERE), str(HOSTS), str(HOSTS / "cometbft")]
