"""Small pieces of HTML, escaped: tables, bars and lists.

Knows HTML. Knows nothing of what stands in it. A piece that is HTML already is of type `Html`;
any other text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def show(value: str) -> str:
    """A value's HTML."""
    return value if isinstance(value, Html) else escape(value)


def paragraphs(texts: Iterable[str], first: str = "") -> Html:
    """One `<p>` each; the first one's class is `first`."""
    html = []
    for at, text in enumerate(texts):
        name = f' class="{first}"' if first and at == 0 else ""
        html.append(f"<p{name}>{show(text)}</p>")
    return Html("\n".join(html))


def listing(texts: Iterable[str], name: str = "") -> Html:
    """A `<ul>`; nothing where there are no texts."""
    items = "".join(f"<li>{show(text)}</li>" for text in texts)
    attribute = f' class="{name}"' if name else ""
    return Html(f"<ul{attribute}>{items}</ul>" if items else "")


def pairs(names_and_values: Iterable[tuple[str, str]], name: str) -> Html:
    """A `<dl>` of names and values."""
    items = "".join(
        f"<div><dt>{show(key)}</dt><dd>{show(value)}</dd></div>" for key, value in names_and_values
    )
    return Html(f'<dl class="{name}">{items}</dl>')


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    foot: Sequence[str] = (),
    marked: Sequence[int] = (),
    tall: str = "",
) -> Html:
    """A table that scrolls in itself. The first cell of a row heads it; columns in `numbers` stand
    right; rows in `marked` stand out; `tall` names a long table, which gets a bounded height."""

    def cells(row: Sequence[str], tag: str, scope: str) -> str:
        html = []
        for at, value in enumerate(row):
            kind = ' class="num"' if at in numbers else ""
            if tag == "th" or at == 0:
                html.append(f'<th scope="{scope}"{kind}>{show(value)}</th>')
            else:
                html.append(f"<td{kind}>{show(value)}</td>")
        return "".join(html)

    ours = ' class="ours"'
    body = "\n".join(
        f"<tr{ours if at in marked else ''}>{cells(row, 'td', 'row')}</tr>"
        for at, row in enumerate(rows)
    )
    label = f' tabindex="0" role="region" aria-label="{escape(tall)}"' if tall else ""
    return Html(
        f'<div class="scroll{" tall" if tall else ""}"{label}><table>'
        + f"<thead><tr>{cells(head, 'th', 'col')}</tr></thead>\n<tbody>\n{body}\n</tbody>"
        + (f"<tfoot><tr>{cells(foot, 'td', 'row')}</tr></tfoot>" if foot else "")
        + "</table></div>"
    )


def stacked_bar(parts: Iterable[tuple[str, float]], whole: float) -> Html:
    """Shares of `whole`, side by side, each with its class."""
    items = "".join(
        f'<i class="{name}" style="width:{100 * max(part, 0) / whole:.2f}%"></i>'
        for name, part in parts
        if part > 0
    )
    return Html(f'<span class="bar" aria-hidden="true">{items}</span>')


def diverging_bar(value: float, low: float, high: float) -> Html:
    """A bar from zero to `value` on a scale from `low` (at most 0) to `high` (at least 0)."""
    width = (high - low) or 1.0
    start, end = sorted((0.0, value))
    name = "loss" if value < 0 else "gain"
    return Html(
        f'<div class="diverge" aria-hidden="true" style="--zero:{-100 * low / width:.2f}%">'
        f'<i class="{name}" style="left:{100 * (start - low) / width:.2f}%;'
        f'width:{100 * (end - start) / width:.2f}%"></i></div>'
    )
