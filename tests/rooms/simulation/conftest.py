"""Makes the pretended network beside the hosts' tests importable from here."""

from __future__ import annotations

import sys
from pathlib import Path

HOSTS = Path(__file__).parents[1] / "hosts"
sys.path[:0] = [str(HOSTS), str(HOSTS / "cometbft")]
