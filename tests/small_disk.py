"""A disk of a few megabytes that only chosen processes see: a tmpfs in a mount namespace of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

UNSHARE = (["unshare", "--user", "--map-root-user", "--mount"], ["unshare", "--mount"])
"""As anybody where the machine lets anybody, else as root."""
MOUNT = 'mount -t tmpfs -o size={size} huaxiang "$0" && echo mounted && exec sleep infinity'
BALLAST = "ballast"


@dataclass(frozen=True)
class SmallDisk:
    """`folder` is the disk for a process that is started with `prefix`; `outside` is the same for everybody else."""

    folder: Path
    prefix: Sequence[str]
    outside: Path

    def fill(self, leaving: int = 0) -> None:
        """At most so many bytes are left."""
        with (self.outside / BALLAST).open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(1 << 16))
            except OSError:
                size = (self.outside / BALLAST).stat().st_size
                ballast.truncate(max(size - leaving, 0))

    def make_space(self) -> None:
        (self.outside / BALLAST).unlink()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """Skips the test where the machine forbids to mount anything."""
    folder.mkdir(parents=True)
    for unshare in UNSHARE:
        command = [*unshare, "sh", "-c", MOUNT.format(size=size), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as holder:
            try:
                if holder.stdout is not None and holder.stdout.readline() == "mounted\n":
                    own_users = ["--user", "--preserve-credentials"] if "--user" in unshare else []
                    root = Path(__file__).parents[1]
                    enter = ["nsenter", "--target", str(holder.pid), *own_users, "--mount", f"--wd={root}"]
                    yield SmallDisk(folder, enter, Path(f"/proc/{holder.pid}/root") / folder.relative_to("/"))
                    return
            finally:
                holder.kill()
    pytest.skip("this machine lets nobody mount a small disk (unshare --mount)")
