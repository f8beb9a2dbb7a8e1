"""A run's folder appears whole and signed or not at all, and equal runs have equal bytes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure

from peerwatt.records.signing import derive_key
from peerwatt.reporting.manifest import check_manifest
from peerwatt.reporting.run_folder import RunFolder, RunFolderError

CHAIN = "sim-test"
KEY = derive_key(1, "operator", CHAIN)
TABLE = pl.DataFrame({"slot_start_s": range(1000), "port": [f"p{i % 7}" for i in range(1000)]})


def _figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0], label="a")
    return figure


def _write(path: Path) -> None:
    with RunFolder(path) as run:
        run.write_json("summary.json", {"b": 1, "a": ["ä", None, 0.5]})
        run.write_text("report.html", "<p>one\r\ntwo\n")
        run.write_bytes("ledger/blocks.bin", b"\x00\xff")
        run.write_table("orders.parquet", TABLE)
        run.write_figure("plots/a.png", _figure())
        run.write_figure("plots/a.svg", _figure())
        run.write_json("timings.json", {"total_s": 1.5}, signed=False)
        run.finish(KEY, CHAIN)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_finished_folder_holds_what_was_written_and_is_sealed(tmp_path: Path) -> None:
    _write(tmp_path / "out")
    assert check_manifest(tmp_path / "out") == []
    files = _bytes(tmp_path / "out")
    assert files["summary.json"] == (
        '{\n  "a": [\n    "ä",\n    null,\n    0.5\n  ],\n  "b": 1\n}\n'.encode()
    )
    assert files["report.html"] == b"<p>one\r\ntwo\n"
    assert pl.read_parquet(tmp_path / "out/orders.parquet").equals(TABLE)
    assert files["plots/a.png"].startswith(b"\x89PNG")
    manifest = json.loads(files["manifest.json"])
    assert manifest["unsigned"] == ["timings.json"]
    assert sorted([*manifest["files"], "timings.json", "manifest.json"]) == sorted(files)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_equal_runs_have_equal_bytes(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    _write(tmp_path / "two")
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_a_table_has_the_same_bytes_however_it_is_chunked(tmp_path: Path) -> None:
    chunked = pl.concat([TABLE[:300], TABLE[300:]], rechunk=False)
    with RunFolder(tmp_path / "out") as run:
        run.write_table("whole.parquet", TABLE)
        run.write_table("chunked.parquet", chunked)
        manifest = run.finish(KEY, CHAIN)
    assert manifest.files["whole.parquet"] == manifest.files["chunked.parquet"]


def test_files_written_by_others_are_sealed_too(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "out") as run:
        folder = run.path_of("ledger")
        folder.mkdir()
        (folder / "blocks.db").write_bytes(b"x")
        manifest = run.finish(KEY, CHAIN)
    assert list(manifest.files) == ["ledger/blocks.db"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    def run_and_fail() -> None:
        with RunFolder(tmp_path / "deep/er/out") as run:
            run.write_text("a/b.txt", "x")
            raise error

    with pytest.raises(error):
        run_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_what_others_put_there_meanwhile(tmp_path: Path) -> None:
    def run_and_fail() -> None:
        with RunFolder(tmp_path / "deep/er/out"):
            (tmp_path / "deep/theirs").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        run_and_fail()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["theirs"]


def test_a_folder_that_was_not_finished_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="was not finished"), RunFolder(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_empty_target_is_taken_and_a_stale_neighbour_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / ".out.partial-0").mkdir()
    _write(tmp_path / "out")
    assert check_manifest(tmp_path / "out") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.partial-0", "out"]


def test_a_link_to_an_empty_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    _write(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert check_manifest(tmp_path / "real") == []


def test_targets_that_cannot_be_replaced_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/theirs").write_text("x")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for path, why in (
        (tmp_path / "file", "exists and is not a folder"),
        (tmp_path / "full", "exists and is not empty"),
        (tmp_path / "file/out", "cannot be written: Not a directory"),
        (Path("."), "is in use as a mount or the current folder"),
    ):
        with pytest.raises(RunFolderError) as caught, RunFolder(path):
            pytest.fail("entered")
        assert str(caught.value).startswith(f"{path}: {why}")
        assert "\n" not in str(caught.value)
    assert (tmp_path / "full/theirs").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "here"]


def test_a_parent_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(RunFolderError, match=r"out: cannot be written: Permission denied"):
        RunFolder(tmp_path / "out").__enter__()


def test_a_target_filled_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def fill_and_finish() -> None:
        with RunFolder(tmp_path / "out") as run:
            (tmp_path / "out").mkdir()
            (tmp_path / "out/theirs").write_text("x")
            run.finish(KEY, CHAIN)

    with pytest.raises(RunFolderError, match="cannot be put in place: Directory not empty"):
        fill_and_finish()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]


@pytest.mark.parametrize(
    "name", ["", ".hidden", "../up", "a//b", "/abs", "a/", "a\n", "a b", "manifest.json"]
)
def test_names_that_would_leave_or_hide_in_the_folder_are_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(RunFolderError, match="cannot hold"), RunFolder(tmp_path / "out") as run:
        run.write_text(name, "x")


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "out") as run:
        run.write_text("a", "first")
        run.path_of("later", signed=False)
        for name, why in (
            ("a", "already holds a"),
            ("later", "already holds later"),
            ("a/b", "cannot hold a/b: a file has its folder's name"),
        ):
            with pytest.raises(RunFolderError, match=why):
                run.write_text(name, "second")
        run.finish(KEY, CHAIN)
    assert (tmp_path / "out/a").read_text() == "first"


def test_values_without_a_place_in_a_file_are_refused_by_name(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "out") as run:
        for value in (math.nan, math.inf, {1: 2, "a": 3}, b"bytes"):
            with pytest.raises(RunFolderError, match=r"cannot hold s\.json: "):
                run.write_json("s.json", value)
        with pytest.raises(RunFolderError, match=r"cannot hold a\.pdf"):
            run.write_figure("a.pdf", _figure())
        run.finish(KEY, CHAIN)


def test_nothing_is_written_outside_the_block(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "out") as run:
        run.finish(KEY, CHAIN)
        with pytest.raises(RunFolderError, match="is not open"):
            run.write_text("late", "x")
    with pytest.raises(RunFolderError, match="is not open"):
        run.finish(KEY, CHAIN)


def test_what_cannot_be_sealed_is_refused(tmp_path: Path) -> None:
    def link_and_finish() -> None:
        with RunFolder(tmp_path / "out") as run:
            run.path_of("link").symlink_to(tmp_path)
            run.finish(KEY, CHAIN)

    with pytest.raises(RunFolderError, match="cannot be sealed: link: is not a regular file"):
        link_and_finish()
    assert list(tmp_path.iterdir()) == []


def test_a_described_folder_says_what_it_is_and_lists_its_files(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "out") as run:
        run.write_json("summary.json", {"a": 1})
        assert run.written("summary.json") == (b'{\n  "a": 1\n}\n')
        run.write_json("timings.json", {"total_s": 1.5}, signed=False)
        run.finish_described({"seed": 3})
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["about"], list(manifest["files"])) == ({"seed": 3}, ["summary.json"])
    assert manifest["unlisted"] == ["timings.json"]
    (problem,) = check_manifest(tmp_path / "out")
    assert problem.startswith("manifest.json: malformed"), "nobody signed it"
