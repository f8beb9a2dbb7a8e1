"""The made-up study's file, as tests change it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

import made_up_study

from peerwatt.studies.files import Plan, plan, read_file


@pytest.fixture
def given() -> dict[str, Any]:
    """What stands in the file."""
    loaded: dict[str, Any] = yaml.safe_load(made_up_study.FILE)
    return loaded


@pytest.fixture
def planned(given: dict[str, Any]) -> Callable[..., Plan]:
    """A plan of the made-up study."""

    def make(scenario: str | None = None, **settings: Any) -> Plan:
        file = read_file(made_up_study.STUDY, given, "coins")
        return plan(made_up_study.STUDY, file, scenario, settings)

    return make
