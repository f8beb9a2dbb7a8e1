"""Writes a study's page: one file that needs no network, its figures inside.

Knows HTML and the parts of the page beside it. Knows no study: words, tables and figures come from
outside. It holds no date of its own making: equal studies give equal bytes.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from peerwatt.reporting.page_parts import Html, pairs, paragraphs, show, table

CLASSES = {"reproduced": "reproduced", "differs": "differs", "cannot be reproduced": "cannot"}
HEAD = ("Claim", "Verdict", "Paper", "Ours", "95% interval", "Expected", "Where")


@dataclass(frozen=True)
class Section:
    """A part of the page: words, then figures by name with their captions, then a table."""

    name: str
    title: str
    texts: Sequence[str]
    figures: Sequence[tuple[str, str]] = ()
    table: Html | None = None


@dataclass(frozen=True)
class ClaimRow:
    """One claim as the page says it; numbers are text already."""

    says: str
    where: str
    paper: str
    ours: str
    interval: str
    expected: str
    verdict: str
    missed: bool
    """Whether ours lies outside what is expected."""
    words: Sequence[str]
    """Why, and what else to know."""


@dataclass(frozen=True)
class StudyPage:
    """What stands on the page beside its sections."""

    title: str
    subtitle: str
    lead: Sequence[str]
    counts: Sequence[tuple[str, str]]
    claims: Sequence[ClaimRow]
    sections: Sequence[Section]
    footer: Sequence[str]


def study_page(page: StudyPage, images: Mapping[str, bytes]) -> str:
    """The whole page; `images` has the SVG of each figure that a section names."""
    links = "".join(
        f'<li><a href="#{escape(each.name)}">{show(each.title)}</a></li>' for each in page.sections
    )
    return Template(_part("study.html")).substitute(
        title=show(page.title),
        subtitle=show(page.subtitle),
        links=links,
        lead=paragraphs(page.lead, first="lead"),
        figures=pairs(page.counts, "figures"),
        claims=_claims(page.claims),
        sections="\n".join(section_html(each, images) for each in page.sections),
        footer=paragraphs(page.footer),
        css=_part("day.css"),
    )


def _claims(claims: Sequence[ClaimRow]) -> Html:
    rows = [
        (
            Html(show(each.says) + "".join(f"<small>{show(text)}</small>" for text in each.words)),
            _verdict(each),
            each.paper,
            each.ours,
            each.interval,
            each.expected,
            each.where,
        )
        for each in claims
    ]
    return table(HEAD, rows, numbers=(2, 3, 4, 5)) if rows else Html("<p>No claim.</p>")


def _verdict(claim: ClaimRow) -> Html:
    name = "missed" if claim.missed else CLASSES.get(claim.verdict, "cannot")
    missed = "<small>outside what is expected</small>" if claim.missed else ""
    return Html(f'<span class="verdict {name}">{show(claim.verdict)}</span>{missed}')


def section_html(section: Section, images: Mapping[str, bytes]) -> str:
    """A section as it stands on a page, its figures inside."""
    name = escape(section.name)
    figures = "".join(
        f'<figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,'
        f'{b64encode(images[figure]).decode()}"><figcaption>{show(caption)}</figcaption></figure>'
        for figure, caption in section.figures
    )
    return (
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">'
        f"{show(section.title)}</h2>{paragraphs(section.texts)}{figures}"
        f"{section.table or ''}</section>"
    )


def _part(name: str) -> str:
    return (files("peerwatt.reporting") / "page" / name).read_text(encoding="utf-8")
