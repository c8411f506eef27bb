"""Working folders of nights: what is finished stays finished, a killed run is taken up, a failed one is not."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portraits.errors import AnotherRunning
from serving.runs import KEEP_RUNS, RESUME_WITHIN, Question, forget_old_runs, only_night, open_run

NOW = datetime(2026, 11, 20, 3, tzinfo=UTC)


def test_a_killed_run_is_taken_up_with_its_as_of_and_its_finished_steps(tmp_path: Path) -> None:
    first = open_run(tmp_path, "shop", Question(), NOW)
    first.finish("drain", {"events": 3}, 1.5)
    again = open_run(tmp_path, "shop", Question(), NOW + timedelta(hours=1))
    assert (again.run_id, again.as_of, again.resumed) == (first.run_id, NOW, True)
    assert again.result("drain") == {"events": 3}
    assert again.seconds("drain") == 1.5
    assert again.result("portraits") is None


@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_run_that_ended_by_itself_is_not_taken_up(tmp_path: Path, status: str) -> None:
    first = open_run(tmp_path, "shop", Question(), NOW)
    first.end(status)
    again = open_run(tmp_path, "shop", Question(), NOW + timedelta(seconds=1))
    assert not again.resumed
    assert again.run_id > first.run_id


def test_a_killed_run_is_too_old_after_its_time(tmp_path: Path) -> None:
    open_run(tmp_path, "shop", Question(), NOW)
    late = NOW + RESUME_WITHIN + timedelta(seconds=1)
    assert open_run(tmp_path, "shop", Question(), late).as_of == late


def test_another_question_is_another_run(tmp_path: Path) -> None:
    past = NOW - timedelta(days=30)
    open_run(tmp_path, "shop", Question(), NOW)
    asked = open_run(tmp_path, "shop", Question(past), NOW + timedelta(seconds=1))
    assert (asked.as_of, asked.resumed) == (past, False)
    assert open_run(tmp_path, "shop", Question(past), NOW + timedelta(seconds=2)).resumed
    assert not open_run(tmp_path, "shop", Question(past, publish=True), NOW + timedelta(seconds=3)).resumed


def test_the_killed_run_of_another_app_is_not_taken_up(tmp_path: Path) -> None:
    open_run(tmp_path, "shop-a", Question(), NOW)
    assert not open_run(tmp_path, "shop-b", Question(), NOW).resumed


def test_a_step_that_was_being_written_is_not_finished(tmp_path: Path) -> None:
    run = open_run(tmp_path, "shop", Question(), NOW)
    (run.folder / ".drain.json.tmp").write_text('{"resu')
    assert run.result("drain") is None


def test_only_the_last_folders_are_kept(tmp_path: Path) -> None:
    for day in range(KEEP_RUNS + 2):
        open_run(tmp_path, "shop", Question(), NOW + timedelta(days=day)).end("done")
    assert forget_old_runs(tmp_path, "shop") == 2
    assert len(list((tmp_path / "shop").iterdir())) == KEEP_RUNS


def test_one_night_at_a_time_for_an_app_and_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from serving.runs import only_night\n"
        "with only_night(pathlib.Path(sys.argv[1]), 'shop'): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(AnotherRunning, match="another night of app 'shop' is running"),
            only_night(tmp_path, "shop"),
        ):
            pass
        with only_night(tmp_path, "other"):
            pass
        holder.kill()
        holder.wait()
    with only_night(tmp_path, "shop"):
        pass


def test_a_killed_run_is_not_taken_up_after_another_has_passed(tmp_path: Path) -> None:
    open_run(tmp_path, "shop", Question(), NOW)
    open_run(tmp_path, "shop", Question(NOW - timedelta(days=30)), NOW + timedelta(seconds=1)).end("done")
    assert not open_run(tmp_path, "shop", Question(), NOW + timedelta(seconds=2)).resumed
