"""The schema that editors load is the one that the configuration is checked by."""

from __future__ import annotations

import json
from pathlib import Path

from peerwatt.simulation.config import schema

PUBLISHED = Path(__file__).parents[3] / "docs" / "hub-day.schema.json"


def test_the_published_schema_is_current() -> None:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert published == schema(), "run: peerwatt config schema > docs/hub-day.schema.json"


def test_every_key_of_the_schema_is_explained() -> None:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    parts = [published, *published["$defs"].values()]
    unexplained = [
        name
        for part in parts
        for name, key in part.get("properties", {}).items()
        if "description" not in key
    ]
    assert not unexplained
