"""`peerwatt day --sites`: three hubs, one ledger, a folder that `verify` accepts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

DAY = ("day", "--site", "caltech", "--date", "2019-06-12", "--out", "result")
Peerwatt = Callable[..., Any]
WriteCsv = Callable[..., Path]
SITES = """\
hubs:
  - {name: a, place: {longitude: 1, latitude: 2}, limit_kw: 1, ports: 4}
  - {name: b, place: {longitude: 2, latitude: 2}, limit_kw: 1, ports: 4}
  - {name: c, place: {longitude: 2, latitude: 3}, limit_kw: 1, ports: 4}
"""


def test_a_day_at_three_hubs_is_shown_and_verified(
    peerwatt: Peerwatt, write_csv: WriteCsv, tmp_path: Path
) -> None:
    (tmp_path / "sites.yaml").write_text(SITES, encoding="utf-8")
    shown = peerwatt(*DAY, "--sites", "sites.yaml", "--sessions", write_csv())
    assert (shown.code, shown.err) == (0, "")
    assert "3 hubs, 2019-06-12: 14 cars looked for one" in shown.out
    assert "money sums to 0" in shown.out
    for name in ("a", "b", "c"):
        assert (tmp_path / "result" / "hubs" / f"{name}.html").exists()
    checked = peerwatt("verify", "result")
    assert checked.code == 0
    assert "Everything that was checked holds." in checked.out
    compared = peerwatt("diff", "result", "result")
    assert "No difference." in compared.out


def test_sites_that_cannot_be_used_leave_nothing(peerwatt: Peerwatt, tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text(SITES.replace("ports: 4", "ports: x", 1), encoding="utf-8")
    complaint = peerwatt(*DAY, "--sites", "sites.yaml").complaint
    assert complaint.startswith("sites.yaml: hubs.0.ports: must be a valid integer")
    assert "utah: there is no such file" in peerwatt(*DAY, "--sites", "utah").complaint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sites.yaml"]


def test_a_network_is_refused(peerwatt: Peerwatt) -> None:
    complaint = peerwatt(*DAY, "--sites", "three", "--network", "net").complaint
    assert complaint.startswith("--sites: a network's members are fixed")
