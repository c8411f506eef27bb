"""The largest entries of each row of a sparse matrix, found without sorting the rest."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recommender.history.dataset import Float32, Int32


def largest(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """`matrix` with the k largest entries of each row, ties by the smaller column, in the order of the columns."""
    matrix = matrix.sorted_indices()
    sizes = np.diff(matrix.indptr)
    if sizes.max(initial=0) <= k:
        return matrix
    least = np.full(len(sizes), -np.inf, matrix.dtype)
    for row in np.flatnonzero(sizes > k).tolist():  # a row alone stays in the processor's cache
        values = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        least[row] = np.partition(values, len(values) - k)[len(values) - k]
    bound = np.repeat(least, sizes)
    above, equal = matrix.data > bound, matrix.data == bound
    beyond, ties = (np.concatenate([[0], np.cumsum(mask)]) for mask in (above, equal))
    room = k - np.diff(beyond[matrix.indptr])
    turn = ties[1:] - np.repeat(ties[matrix.indptr[:-1]], sizes)
    kept = above | (equal & (turn <= np.repeat(room, sizes)))
    indptr = np.concatenate([[0], np.cumsum(np.minimum(sizes, k))])
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)


def listed(matrix: sp.csr_matrix, k: int) -> tuple[Int32, Float32]:
    """The k largest entries above 0 of each row, best first, ties by the smaller column: their columns, int32[R, k]
    padded with -1, and their values, float32[R, k] padded with 0."""
    few = largest(matrix, k)
    row = np.repeat(np.arange(few.shape[0]), np.diff(few.indptr))
    order = np.lexsort((few.indices, -few.data, row))
    place = np.arange(len(row)) - few.indptr[row]
    kept = few.data[order] > 0
    columns = np.full((few.shape[0], k), -1, np.int32)
    values = np.zeros((few.shape[0], k), np.float32)
    columns[row[kept], place[kept]] = few.indices[order][kept]
    values[row[kept], place[kept]] = few.data[order][kept]
    return columns, values
