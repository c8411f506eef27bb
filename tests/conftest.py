"""Fixtures that more than one room uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("huaxiang", deadline=None, derandomize=True)
settings.load_profile("huaxiang")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets: `HUAXIANG_DATA`, or `../shared/data` beside the checkout. Skips without it."""
    folder = Path(os.environ.get("HUAXIANG_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HUAXIANG_DATA to run this test")
    return folder
