"""The engine's install with a Go that only pretends: what it asks for, keeps and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peerwatt.hosts.cometbft import engine

FAKE_GO = """#!/bin/sh
case "$1" in
env) echo go{version} ;;
mod) printf '%s' '{download}'; exit {code} ;;
build) while [ "$1" != -o ]; do shift; done; echo built > "$2" ;;
version) echo "$2: go{version}" ;;
esac
"""


def fake_go(
    folder: Path,
    *,
    version: str = "1.26.8",
    found: str = engine.SUM,
    code: int = 0,
    error: str = "",
) -> Path:
    answer = {"Error": error} if error else {"Sum": found, "Dir": str(folder)}
    script = folder / "go"
    script.write_text(FAKE_GO.format(version=version, download=json.dumps(answer), code=code))
    script.chmod(0o755)
    return script


def test_it_is_built_once_and_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.GO, str(fake_go(tmp_path)))
    place = tmp_path / "home" / "engine"
    said: list[str] = []
    made = engine.install(place, say=said.append)
    assert made == engine.find(place)
    assert (made.version, made.go) == (engine.VERSION, "go1.26.8")
    assert made.program.read_text() == "built\n"
    assert len(said) == 2
    assert engine.install(place, say=said.append) == made
    assert len(said) == 2
    engine.install(place, again=True, say=said.append)
    assert len(said) == 4
    assert [path.name for path in place.parent.iterdir()] == ["engine"]


def test_another_source_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engine.GO, str(fake_go(tmp_path, found="h1:other")))
    place = tmp_path / "home" / "engine"
    with pytest.raises(engine.EngineError, match="its hash is h1:other, must be h1:0"):
        engine.install(place)
    assert list(place.parent.iterdir()) == []


def test_what_go_says_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = "no network\nlookup proxy: no such host"
    monkeypatch.setenv(engine.GO, str(fake_go(tmp_path, code=1, error=error.replace("\n", "; "))))
    with pytest.raises(engine.EngineError, match="could not be fetched: no network; lookup"):
        engine.install(tmp_path / "engine")


def test_an_old_go_and_none_at_all_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engine.GO, str(fake_go(tmp_path, version="1.19.2")))
    with pytest.raises(engine.EngineError, match=r"is no Go 1\.21 or newer"):
        engine.install(tmp_path / "engine")
    monkeypatch.delenv(engine.GO)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(engine.sys, "executable", str(tmp_path / "nothing" / "python"))
    with pytest.raises(engine.EngineError, match=r"and there is none.*--fetch-go"):
        engine.install(tmp_path / "engine")


def test_a_changed_program_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.GO, str(fake_go(tmp_path)))
    made = engine.install(tmp_path / "engine")
    made.program.write_text("something else")
    with pytest.raises(engine.EngineError, match="is not what was built there"):
        engine.find(tmp_path / "engine")
    assert engine.install(tmp_path / "engine") == made
    (tmp_path / "engine" / engine.STAMP).write_text("[]")
    with pytest.raises(engine.EngineError, match="cannot be read"):
        engine.find(tmp_path / "engine")
    with pytest.raises(engine.EngineError, match=r"is not installed in .*; run: peerwatt engine"):
        engine.find(tmp_path / "elsewhere")


def test_the_folder_follows_the_environment(tmp_path: Path) -> None:
    end = Path("engine") / f"cometbft-{engine.VERSION}"
    data, home = str(tmp_path / "data"), str(tmp_path / "home")
    assert engine.folder({"XDG_DATA_HOME": data}) == tmp_path / "data" / "peerwatt" / end
    assert engine.folder({"XDG_DATA_HOME": data, engine.HOME: home}) == tmp_path / "home" / end
    assert engine.folder({}) == Path.home() / ".local" / "share" / "peerwatt" / end
