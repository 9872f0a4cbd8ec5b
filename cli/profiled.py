"""Profiling with a progress bar, for every command that needs profiles of specs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import screen

if TYPE_CHECKING:
    from modelcmp.comparison import Comparison
    from modelcmp.profiling.many import Means
    from modelcmp.sources import Request


def check_profiling(
    batch_size: int, input_size: str | None, dtype: str, kwargs: dict[str, Any], reparam: bool, mode: str,
    convention: str,
) -> Request:  # fmt: skip
    """The request that the options make; raises UsageError."""
    from modelcmp.profiling.options import check_options, make_request

    request = make_request(batch_size, input_size, dtype, kwargs, reparam)
    check_options(mode, convention, dtype, reparam)
    return request


def profiled(
    pairs: list[tuple[str, Request]], mode: str, convention: str, means: Means, kernels: bool = False
) -> Comparison:
    """Profile specs, each as its request says, with ``kernels`` for predictions; raises UsageError if nothing could."""
    from modelcmp.comparison import Comparison
    from modelcmp.profiling.many import Work, profile_many, sorted_out

    work = [Work(spec, request, mode, kernels) for spec, request in pairs]
    with screen.progress(len(work)) as progress:
        results = profile_many(work, convention, means, progress)
    if means.cache is not None:
        means.cache.close()
    return Comparison(*sorted_out(results))
