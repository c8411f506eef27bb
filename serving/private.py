"""Folders and files for the user of this process only: what is kept of people is nobody else's on the machine."""

from __future__ import annotations

import os
from pathlib import Path

PRIVATE = 0o600


def private_folder(path: Path) -> None:
    """Makes the folder where it is not there yet, with those above it; one that is there stays as it is."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)


def private(path: str, flags: int) -> int:
    """As `opener` of `open`: a file that is made is for this user only."""
    return os.open(path, flags, PRIVATE)
