"""`run`, its environment and the wheel, without the network.

`run` is tried on a toy project whose build backend lies inside it and needs nothing, so that
every install here is a real one by pip, and offline.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import pytest

import peerwatt

ROOT = Path(__file__).resolve().parents[2]
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "peerwatt"
version = "1"
optional-dependencies = { dev = [] }

[tool.backend]
pause_s = 0
"""

BACKEND = """\
import time, tomllib, zipfile
from pathlib import Path

INFO = "peerwatt-1.dist-info"
SETTINGS = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["backend"]


def build_editable(directory, config_settings=None, metadata_directory=None):
    Path("building").touch()
    time.sleep(SETTINGS["pause_s"])
    name = "peerwatt-1-py3-none-any.whl"
    with zipfile.ZipFile(Path(directory, name), "w") as wheel:
        wheel.writestr("peerwatt.pth", str(Path.cwd()))
        wheel.writestr(f"{INFO}/METADATA", "Metadata-Version: 2.1\\nName: peerwatt\\nVersion: 1\\n"
                       "Provides-Extra: dev\\n")
        wheel.writestr(f"{INFO}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
                       "Tag: py3-none-any\\n")
        wheel.writestr(f"{INFO}/entry_points.txt", "[console_scripts]\\npeerwatt = toy:main\\n")
        wheel.writestr(f"{INFO}/RECORD", "")
    return name
"""

TOY = """\
import os, sys

def main():
    print("toy", sys.argv[1:], os.getcwd(), sys.prefix)
"""

HIDING = """\
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        hidden = {"ensurepip"} if sys.prefix != sys.base_prefix else {"ensurepip", "pip"}
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    place = tmp_path / "a check out"
    (place / "tools").mkdir(parents=True)
    for name in ("run", "tools/environment.py", *_wheels()):
        shutil.copy(ROOT / name, place / name)
    (place / "constraints.txt").write_text("# none\n")
    (place / "pyproject.toml").write_text(PYPROJECT)
    (place / "backend.py").write_text(BACKEND)
    (place / "toy.py").write_text(TOY)
    return place


def _wheels() -> list[str]:
    return [f"tools/{wheel.name}" for wheel in (ROOT / "tools").glob("pip-*.whl")]


def _run(checkout: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "run", *words],
        env=_environment(**env),
        cwd=checkout.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _environment(**env: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "VIRTUAL"))}
    return kept | {"PIP_NO_INDEX": "1", "PEERWATT_PYTHON": sys.executable} | env


def _edit(checkout: Path, old: str, new: str) -> None:
    path = checkout / "pyproject.toml"
    path.write_text(path.read_text().replace(old, new))


def test_first_use_installs_and_later_uses_do_not(checkout: Path) -> None:
    first = _run(checkout, "demo", "--seed", "1")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"toy ['demo', '--seed', '1'] {checkout.parent} ")
    assert "ready after" in first.stderr

    again = _run(checkout, "demo")
    assert (again.returncode, again.stderr) == (0, "")

    _edit(checkout, "pause_s = 0", "pause_s = 0.0")
    assert _run(checkout, "demo").stderr == "", "a tool's setting is no reason to install"

    (checkout / "constraints.txt").write_text("# other\n")
    renewed = _run(checkout, "demo")
    assert "what has changed" in renewed.stderr
    assert "making .venv" not in renewed.stderr
    assert _run(checkout, "demo").stderr == ""


def test_python_without_ensurepip_and_pip(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "sitecustomize.py").write_text(HIDING)
    base = Path(sys.base_prefix, "bin", "python3")
    bare = tmp_path / "python-bare"
    bare.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}/hiding" exec "{base}" "$@"\n')
    bare.chmod(0o755)
    for module in ("ensurepip", "pip"):
        assert subprocess.run([bare, "-m", module], capture_output=True).returncode != 0

    env = {"PEERWATT_PYTHON": str(bare), "PYTHONPATH": str(tmp_path / "hiding")}
    outcome = _run(checkout, "demo", **env)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith("toy ['demo']")


@pytest.mark.parametrize("name", ["/nowhere/python3", "/bin/false", "old"])
def test_unusable_python_is_one_line_and_exit_2(checkout: Path, tmp_path: Path, name: str) -> None:
    old = tmp_path / "old"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "raise SystemExit(1)"\n')
    old.chmod(0o755)
    outcome = _run(checkout, "demo", PEERWATT_PYTHON=str(old) if name == "old" else name)
    assert outcome.returncode == 2
    assert len(outcome.stderr.splitlines()) == 1
    assert "Python 3.11 or newer" in outcome.stderr
    assert not (checkout / ".venv").exists()


def test_finds_a_python_behind_names_that_do_not_run(checkout: Path, tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("python3.13", "python3.12", "python3.11"):
        (shims / name).write_text("#!/bin/sh\nexit 127\n")
    (shims / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for shim in shims.iterdir():
        shim.chmod(0o755)
    path = f"{shims}:{os.environ['PATH']}"
    assert _run(checkout, "demo", PEERWATT_PYTHON="", PATH=path).returncode == 0


def test_interrupted_install_starts_afresh(checkout: Path) -> None:
    _edit(checkout, "pause_s = 0", "pause_s = 60")
    install = subprocess.Popen([checkout / "run", "demo"], env=_environment(), process_group=0)
    try:
        _wait_for(checkout / "building")
    finally:
        os.killpg(install.pid, signal.SIGKILL)
        install.wait()
    leftover = checkout / ".venv" / "leftover"
    leftover.touch()

    _edit(checkout, "pause_s = 60", "pause_s = 0")
    outcome = _run(checkout, "demo")
    assert outcome.returncode == 0, outcome.stderr
    assert not leftover.exists()


def test_failed_install_says_so(checkout: Path) -> None:
    (checkout / "backend.py").write_text("raise SystemExit('the backend is broken')\n")
    outcome = _run(checkout, "demo")
    assert outcome.returncode == 1
    assert outcome.stdout == ""
    assert "the install failed" in outcome.stderr


def test_two_first_uses_at_once_install_once(checkout: Path) -> None:
    _edit(checkout, "pause_s = 0", "pause_s = 1")
    command = [checkout / "run", "demo"]
    both = [
        subprocess.Popen(command, env=_environment(), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert sum("ready after" in error for error in errors) == 1


def test_bundled_pip_is_the_published_file() -> None:
    (wheel,) = _wheels()
    assert hashlib.sha256((ROOT / wheel).read_bytes()).hexdigest() == PIP_SHA256


def test_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    source = ROOT / "src"
    ours = {
        path.relative_to(source).as_posix()
        for path in (source / "peerwatt").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "peerwatt/py.typed" in ours
    assert "peerwatt/data/hub-day.yaml" in ours
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == ours

    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = textwrap.dedent("""
        import sys
        from importlib.resources import files
        assert files("peerwatt").joinpath("data", "hub-day.yaml").is_file()
        assert files("peerwatt").joinpath("data").parent.as_posix().startswith(sys.argv[1])
        sys.argv = ["peerwatt", "--version"]
        from peerwatt.cli.main import main
        main()
    """)
    outcome = subprocess.run(
        [sys.executable, "-c", program, str(site)],
        cwd=tmp_path,
        env=_environment(PYTHONPATH=str(site)),
        capture_output=True,
        text=True,
    )
    assert outcome.stdout == f"peerwatt {peerwatt.__version__}\n", outcome.stderr


def test_the_version_is_the_same_wherever_it_is_said() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.+)$", citation, re.M) == [peerwatt.__version__]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(peerwatt.__version__)}\]", changelog, re.M)


def _wait_for(path: Path, limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)
