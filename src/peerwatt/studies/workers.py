"""Where tasks are worked on: in this process, in several on this machine, or on a Dask cluster.

Knows joblib and, where it is asked for, Dask. Knows nothing of what a task does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from peerwatt.studies.catalogue import run_task
from peerwatt.studies.files import Task
from peerwatt.studies.study import StudyError, Tables

CONNECT_S = 10
Outcomes = Iterator[tuple[Task, Tables]]


def here(tasks: Sequence[Task], jobs: int) -> Outcomes:
    """Each task as it ends; with several jobs in any order."""
    if jobs == 1 or len(tasks) < 2:
        yield from map(_worked, tasks)
        return
    from joblib import Parallel, delayed  # type: ignore[import-untyped]

    parallel = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
    # Closing ends the workers where the caller stops half-way.
    with closing(parallel(delayed(_worked)(task) for task in tasks)) as ended:
        yield from ended


def on_cluster(tasks: Sequence[Task], address: str) -> Outcomes:
    """Each task as it ends on the workers of a Dask scheduler, in any order.

    Raises StudyError where Dask is not installed, nothing answers, or a worker cannot do it.
    """
    try:
        import distributed
    except ImportError:
        raise StudyError("--cluster: needs Dask: pip install 'peerwatt[cluster]'") from None
    # Dask's functions are not typed.
    connect: Any = distributed.Client
    as_they_end: Any = distributed.as_completed
    try:
        client = connect(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        why = "nothing answers" if isinstance(error, OSError) else str(error)
        raise StudyError(f"--cluster {address}: {why}") from None
    with client:
        futures = client.map(_worked, tasks, pure=False)
        try:
            for _, outcome in as_they_end(futures, loop=client.loop, with_results=True):
                yield outcome
        except ImportError as error:
            raise StudyError(f"--cluster {address}: a worker lacks peerwatt: {error}") from None
        finally:
            client.cancel(futures)


def _worked(task: Task) -> tuple[Task, Tables]:
    """Raises StudyError, naming the draws, for parameters that make no market."""
    try:
        return task, run_task(task)
    except ValueError as error:
        last = task.first + task.count - 1
        raise StudyError(f"{task.study}: draws {task.first} to {last}: {error}") from error
