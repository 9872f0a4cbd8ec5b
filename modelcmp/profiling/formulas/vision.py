"""torchvision's own operators."""

from __future__ import annotations

from math import prod
from typing import Any

from .base import Cost, Shape, formula

Out = tuple[Shape, ...]


@formula("torchvision.deform_conv2d")
def deform_conv2d(
    x: Shape, w: Shape, offset: Shape, mask: Shape, bias: Shape, *geometry: Any, out: Out, **__: Any
) -> Cost:
    """The convolution's products, plus a bilinear sample for each tap and input channel (Dai et al., 2017).

    A sample is 7 FLOPs, 8 with a mask (the last of the geometry says whether there is one).
    """
    macs = prod(out[0]) * prod(w[1:])
    samples = out[0][0] * prod(out[0][2:]) * x[1] * prod(w[2:])
    each = 8 if geometry and geometry[-1] is True else 7
    return Cost(macs, each * samples + prod(out[0]), activations=prod(out[0]), width=max(x[1], w[0]))


@formula("torchvision.roi_align", "torchvision.ps_roi_align", kind="resample", outputs=1)
def roi_align(
    x: Shape, rois: Shape, scale: float, height: int, width: int, sampling: int, *_: Any, out: Out, **__: Any
) -> Cost:
    """A bilinear sample (7 FLOPs) at each of sampling^2 points of each output bin (He et al., 2017)."""
    return Cost(other=8 * prod(out[0]) * max(sampling, 1) ** 2)


@formula("torchvision.roi_pool", "torchvision.ps_roi_pool", kind="pool", outputs=1)
def roi_pool(x: Shape, rois: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """One comparison an output element (bins of unknown size, counted once)."""
    return Cost(other=prod(out[0]))


@formula("torchvision.nms", kind="reduction")
def nms(boxes: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Intersection over union of every pair at worst: 12 FLOPs for each of n(n-1)/2 pairs."""
    n = boxes[0]
    return Cost(other=12 * n * (n - 1) // 2)
