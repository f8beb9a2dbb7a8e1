"""Tasks come to the same wherever they are worked on."""

from __future__ import annotations

import json

import pytest

from peerwatt.studies.catalogue import opened, run_task
from peerwatt.studies.files import Task, plan
from peerwatt.studies.study import StudyError
from peerwatt.studies.workers import here, on_cluster


@pytest.fixture(scope="module")
def tasks() -> tuple[Task, ...]:
    study, file = opened("proof-of-work")
    settings = {"blocks": 4, "draws_per_task": 2, "members": 4, "fault": "none", "race_s": 1}
    return plan(study, file, "quick", settings).tasks


def as_text(outcomes: object) -> dict[tuple[float, int], str]:
    return {
        (task.point["race_s"], task.first): json.dumps(tables)
        for task, tables in outcomes  # type: ignore[attr-defined]
    }


def test_several_processes_come_to_the_same(tasks: tuple[Task, ...]) -> None:
    assert len(tasks) == 2
    alone = as_text(here(tasks, 1))
    assert alone == as_text((task, run_task(task)) for task in tasks)
    assert as_text(here(tasks, 2)) == alone


def test_a_cluster_of_two_workers_comes_to_the_same(tasks: tuple[Task, ...]) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        host="127.0.0.1",
        protocol="tcp",
    ) as cluster:
        assert as_text(on_cluster(tasks, cluster.scheduler_address)) == as_text(here(tasks, 1))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x"])
def test_a_cluster_that_does_not_answer_is_one_line(
    tasks: tuple[Task, ...], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peerwatt.studies.workers.CONNECT_S", 0.5)
    with pytest.raises(StudyError) as refused:
        list(on_cluster(tasks, address))
    assert str(refused.value).startswith(f"--cluster {address}: ")
    assert "\n" not in str(refused.value)


def test_without_dask_it_says_how_to_get_it(
    tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(StudyError, match="--cluster: needs Dask: pip install"):
        list(on_cluster(tasks, "tcp://127.0.0.1:9"))
