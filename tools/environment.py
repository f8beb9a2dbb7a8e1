"""Makes or renews the environment that `run` uses: .venv in the checkout.

Knows pip and the standard library alone. The recipe (what the install depends on) comes on
standard input and is stored last, as .venv/installed-EXTRA: an environment without it is not
ready. An install that was cut off leaves .venv/incomplete, and the next one starts afresh.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / ".venv"
PYTHON = ENV / "bin" / "python"
INCOMPLETE = ENV / "incomplete"
EXTRAS = {"base": "", "dev": "[dev]"}


def main() -> int:
    extra, recipe = sys.argv[1], sys.stdin.buffer.read()
    try:
        with one_at_a_time():
            if not is_ready(extra, recipe):
                prepare(extra, recipe)
    except subprocess.CalledProcessError:
        say("the install failed (see above); the next ./run tries again")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next ./run starts afresh")
        return 130
    return 0


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Holds a lock that the system itself releases if this process dies."""
    checkout = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(checkout, fcntl.LOCK_EX)
        yield
    finally:
        os.close(checkout)


def is_ready(extra: str, recipe: bytes) -> bool:
    stamp = ENV / f"installed-{extra}"
    return PYTHON.exists() and stamp.exists() and stamp.read_bytes() == recipe


def prepare(extra: str, recipe: bytes) -> None:
    started = time.monotonic()
    if INCOMPLETE.exists() or not runs():
        version = sys.version.split()[0]
        say(f"first use: making .venv with Python {version} and its packages (some 100 MB) …")
        venv.EnvBuilder(clear=True, symlinks=True).create(ENV)
    else:
        say("adding to .venv what has changed or is missing …")
    INCOMPLETE.touch()
    for stamp in ENV.glob("installed-*"):
        stamp.unlink()
    install(extra)
    for name in {"base", extra}:
        (ENV / f"installed-{name}").write_bytes(recipe)
    INCOMPLETE.unlink()
    say(f"ready after {time.monotonic() - started:.0f} s")


def runs() -> bool:
    """Whether .venv has a Python that runs and is new enough, whoever made it."""
    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", probe]).returncode == 0


def install(extra: str) -> None:
    """Installs the checkout, editable, with the pinned versions of all that it needs.

    Pip comes from the wheel beside this file, the way the standard ensurepip brings its own:
    Debian keeps ensurepip in a package apart, and then nothing else on a machine has a pip.
    """
    (wheel,) = Path(__file__).parent.glob("pip-*.whl")
    pip(wheel / "pip", "--no-index", wheel)
    pins = ROOT / "constraints.txt"
    project = f"{ROOT}{EXTRAS[extra]}"
    pip("-m", "pip", "-c", pins, "--build-constraint", pins, "--editable", project)


def pip(*words: str | Path) -> None:
    at = 2 if words[0] == "-m" else 1
    options = ("install", "--quiet", "--no-user", "--disable-pip-version-check")
    subprocess.run([PYTHON, *words[:at], *options, *words[at:]], check=True)


def say(text: str) -> None:
    print(f"peerwatt: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
