"""Dense linear algebra: leading-order FLOP counts (Golub and Van Loan, Matrix Computations, 4th ed.)."""

from __future__ import annotations

from math import prod
from typing import Any

from .base import Cost, Shape, formula

Out = tuple[Shape, ...]


def _cubic(factor: float, a: Shape) -> Cost:
    """``factor`` x n^3 for each matrix of the batch."""
    return Cost(other=round(factor * prod(a[:-2]) * a[-1] ** 3))


@formula("aten.linalg_cholesky_ex", "aten.cholesky", kind="reduction", outputs=1)
def cholesky(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """n^3/3.

    >>> cholesky((2, 30, 30), out=((2, 30, 30),)).other
    18000
    """
    return _cubic(1 / 3, a)


@formula(
    "aten.linalg_lu_factor_ex",
    "aten._linalg_det",
    "aten._linalg_slogdet",
    "aten.linalg_lu",
    kind="reduction",
    outputs=1,
)
def lu(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """2n^3/3."""
    return _cubic(2 / 3, a)


@formula("aten.linalg_inv_ex", "aten.inverse", kind="reduction", outputs=1)
def inverse(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """2n^3."""
    return _cubic(2, a)


@formula("aten._linalg_solve_ex", "aten.linalg_lu_solve", kind="reduction", outputs=1)
def solve(a: Shape, b: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """LU, 2n^3/3, then two triangular solves, 2n^2 for each right-hand side."""
    n = a[-1]
    return Cost(other=round(prod(a[:-2]) * 2 / 3 * n**3) + 2 * n * prod(out[0]))


@formula("aten.linalg_solve_triangular", "aten.triangular_solve", "aten.cholesky_solve", kind="reduction", outputs=1)
def solve_triangular(a: Shape, b: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """n^2 for each right-hand side."""
    return Cost(other=a[-1] * prod(out[0]))


@formula("aten.linalg_qr", kind="reduction")
def qr(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Householder QR with Q formed: 4(m^2 n - m n^2 + n^3/3), m >= n."""
    m, n = max(a[-2:]), min(a[-2:])
    return Cost(other=round(prod(a[:-2]) * 4 * (m * m * n - m * n * n + n**3 / 3)))


def svd_flops(a: Shape) -> int:
    """All matrices of the batch."""
    m, n = max(a[-2:]), min(a[-2:])
    return prod(a[:-2]) * (4 * m * m * n + 8 * m * n * n + 9 * n**3)


@formula("aten._linalg_svd", "aten.linalg_svdvals", kind="reduction")
def svd(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Golub-Reinsch SVD with U and V: 4 m^2 n + 8 m n^2 + 9 n^3, m >= n."""
    return Cost(other=svd_flops(a))


@formula("aten.linalg_pinv", kind="reduction")
def pinv(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """The SVD, then V S^-1 U^T: 2 m n^2 more, m >= n."""
    m, n = max(a[-2:]), min(a[-2:])
    return Cost(other=svd_flops(a) + 2 * prod(a[:-2]) * m * n * n)


@formula("aten._linalg_eigh", kind="reduction")
def eigh(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Symmetric QR algorithm with vectors: 9n^3."""
    return _cubic(9, a)


@formula("aten.linalg_eig", "aten.linalg_eigvals", kind="reduction")
def eig(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Nonsymmetric QR algorithm with vectors: 25n^3."""
    return _cubic(25, a)


@formula("aten.linalg_matrix_exp", kind="reduction")
def matrix_exp(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Scaling and squaring: about seven products and one solve, 2(7 + 1/3) n^3."""
    return _cubic(2 * (7 + 1 / 3), a)
