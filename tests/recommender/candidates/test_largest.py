"""The largest of each row are those that a full sort finds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.candidates.largest import largest, listed


def sorted_rows(matrix: sp.csr_matrix, k: int) -> list[list[tuple[int, float]]]:
    """Of each row the k largest (column, value), best first, ties by the smaller column."""
    rows = []
    for start, end in zip(matrix.indptr, matrix.indptr[1:], strict=False):
        pairs = zip(matrix.indices[start:end].tolist(), matrix.data[start:end].tolist(), strict=True)
        rows.append(sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:k])
    return rows


def planted(seed: int) -> sp.csr_matrix:
    """Rows of all lengths, with ties."""
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 6, (40, 60)) * (rng.random((40, 60)) < rng.random((40, 1)))
    return sp.csr_matrix(dense.astype(np.float32))


@pytest.mark.parametrize("k", [1, 3, 10, 100])
def test_the_largest_of_each_row(k: int) -> None:
    for seed in range(3):
        matrix = planted(seed)
        found = largest(matrix, k)
        wanted = [sorted(row) for row in sorted_rows(matrix, k)]
        assert wanted == [sorted(row) for row in sorted_rows(found, matrix.shape[1])]
        assert found.has_sorted_indices
        columns, values = listed(matrix, k)
        for row, wanted in enumerate(sorted_rows(matrix, k)):
            assert [(int(c), float(v)) for c, v in zip(columns[row], values[row], strict=True) if c >= 0] == wanted
        assert columns.shape == values.shape == (40, k)


def test_nothing_below_zero_is_listed() -> None:
    matrix = sp.csr_matrix(np.array([[-1.0, 2.0, 0.0], [0.0, 0.0, -3.0]], np.float32))
    columns, values = listed(matrix, 2)
    assert columns.tolist() == [[1, -1], [-1, -1]]
    assert values.tolist() == [[2, 0], [0, 0]]
    assert largest(sp.csr_matrix((0, 5), dtype=np.float32), 2).shape == (0, 5)
