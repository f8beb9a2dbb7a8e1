"""A study's page stands alone, says every claim, and cannot be broken by what it shows."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

from peerwatt.reporting.page_parts import table
from peerwatt.reporting.study_page import ClaimRow, Section, StudyPage, study_page

CLAIM = ClaimRow(
    says="A claim",
    where="Fig. 1",
    paper="1",
    ours="2",
    interval="1 to 3",
    expected="2",
    verdict="differs",
    missed=False,
    words=["why"],
)
PAGE = StudyPage(
    title="A study",
    subtitle="of something",
    lead=["It says."],
    counts=[("differs", "1")],
    claims=[CLAIM],
    sections=[Section("part", "A part", ["Words."], [("fig", "Caption")], table(["a"], [["b"]]))],
    footer=["Foot."],
)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


class Tags(HTMLParser):
    """What is open, what is referred to, and what has a name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.references += [str(values[name]) for name in ("src", "href") if name in values]
        self.ids += [str(values["id"])] if "id" in values else []
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_loads_nothing_and_every_link_leads_into_it() -> None:
    tags = Tags(study_page(PAGE, {"fig": SVG}))
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    for reference in tags.references:
        assert reference.startswith(("data:", "#")), reference
        if reference.startswith("#"):
            assert reference[1:] in tags.ids


def test_a_figure_is_inside_the_page() -> None:
    text = study_page(PAGE, {"fig": SVG})
    (found,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', text)
    assert base64.b64decode(found) == SVG
    assert 'alt="Caption"' in text


def test_a_verdict_has_its_own_colour_and_a_miss_stands_out() -> None:
    assert '<span class="verdict differs">differs</span>' in study_page(PAGE, {"fig": SVG})
    for verdict, missed, name in (
        ("reproduced", False, "reproduced"),
        ("cannot be reproduced", False, "cannot"),
        ("measured", False, "cannot"),
        ("reproduced", True, "missed"),
    ):
        claim = replace(CLAIM, verdict=verdict, missed=missed)
        text = study_page(replace(PAGE, claims=[claim]), {"fig": SVG})
        assert f'<span class="verdict {name}">{verdict}</span>' in text
        assert ("outside what is expected" in text) == missed


def test_what_it_shows_is_escaped() -> None:
    evil = '<script>alert("x")</script>'
    claim = replace(CLAIM, says=evil, where=evil, paper=evil, verdict=evil, words=[evil])
    section = Section('p"><b>', evil, [evil], [("fig", evil)])
    page = StudyPage(evil, evil, [evil], [(evil, evil)], [claim], [section], [evil])
    text = study_page(page, {"fig": SVG})
    assert "<script" not in text
    assert "<b>" not in text
    assert Tags(text).open == []


def test_without_claims_it_says_so() -> None:
    assert "No claim." in study_page(replace(PAGE, claims=[]), {"fig": SVG})
