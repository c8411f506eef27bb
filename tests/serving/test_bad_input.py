"""Whatever is sent, on every route: never a 500, an answer that nobody told, or a byte of another app's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bad_input import BadInput
from marked_apps import open_marked

from serving.routes import ROUTES

CASES = 15
"""Valid, and as many that are not, a route; `tests/benchmarks/bench_bad_input.py` sends as many as one likes."""


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BadInput]:
    context = open_marked(tmp_path_factory.mktemp("marked") / "home")
    opened = BadInput(context)
    yield opened
    opened.close()
    context.close()


@pytest.mark.law
@pytest.mark.parametrize("path", ROUTES)
def test_every_answer_is_one_that_was_told(bad: BadInput, path: str) -> None:
    """Law 4, too."""
    bad.run(path, CASES)
    assert bad.seen[path][422], "some of it was wrong"
    assert bad.seen[path][200], "some of it was right"
