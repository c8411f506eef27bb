"""Every notebook runs from its first cell to its last, in a kernel of its own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ENDS_WITH = {"1_from_file_to_recommendation": "reason", "2_portraits_and_segments": "came true"}
"""What stands in the table that a notebook's last cell shows."""


def test_every_notebook_is_known() -> None:
    assert {path.stem for path in NOTEBOOKS} == ENDS_WITH.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    done = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    last = [cell for cell in done.cells if cell.cell_type == "code"][-1]
    assert ENDS_WITH[path.stem] in str(last["outputs"][0]["data"]["text/html"])
