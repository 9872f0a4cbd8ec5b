"""torchvision's models, each built as its first published weights have it, without those weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from .images import fit_size, sample
from .installed import package_folder
from .subject import Dims, Inputs, Request, Subject

if TYPE_CHECKING:
    from torch import nn

_REGISTERED = re.compile(
    rb"@register_model\((?:name=\"(\w+)\")?\)\s*(?:@\w+.*(?:\n\s.*)*\n\))?\s*(?:@[^\n]*\n)*def (\w+)"
)
_CLIP_FRAMES = 16

#: Detectors resize images themselves, to 800 on the shorter side unless stated here.
_DETECTION_SIZE = {
    "ssd300_vgg16": 300,
    "ssdlite320_mobilenet_v3_large": 320,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 320,
}
#: The published operation counts of optical flow are for this size; the metadata hold none.
_FLOW_SIZE = 512

#: Heads that the published parameter counts include although torchvision drops them by default.
_PUBLISHED_WITH = {"quantized_inception_v3": {"aux_logits": True}}


class TorchvisionSource:
    """Classification, segmentation, detection, video, optical flow and quantisable models."""

    name = "torchvision"

    def names(self) -> list[str]:
        """All models of ``torchvision.models.list_models()``, read off the installed files."""
        return list(_names())

    def has(self, name: str) -> bool:
        """Whether torchvision registers this name."""
        return name in _names()

    def subject(self, name: str, request: Request) -> Subject:
        """The subject of a registered name."""
        weights = _first_weights(name)
        for key in ("weights", "weights_backbone", "pretrained"):
            if request.kwargs.get(key):
                raise BadInput(f"{name}: weights are never loaded, and no figure depends on them: leave {key!r} out")

        def build(**extra: Any) -> nn.Module:
            import torchvision

            if request.kwargs or extra:  # what the weights fix could contradict these
                options = {"weights": None, **_without_backbone(weights), **request.kwargs, **extra}
                return torchvision.models.get_model(name, **options)  # type: ignore[no-any-return]
            with without_download():
                entry = weights.meta.get("unquantized", weights)
                return torchvision.models.get_model(name, weights=entry, **_PUBLISHED_WITH.get(name, {}))  # type: ignore[no-any-return]

        def inputs(request: Request, device: str) -> Inputs:
            return _inputs(name, weights, request, device)

        def resized(size: Dims) -> Callable[[], nn.Module]:
            if len(size) > 1 and size[-1] != size[-2]:
                raise TypeError("square inputs only")
            return lambda: build(image_size=size[-1])

        quantised = "unquantized" in weights.meta
        note = ("the float model before quantisation",) if quantised else ()
        given = {} if request.kwargs else _accuracy(name, fit_size(_sample_shape(name, weights), request.input_size))
        return Subject(name, self.name, build, inputs, resized, note, given)


@cache
def _names() -> tuple[str, ...]:
    found = set()
    for path in package_folder("torchvision").joinpath("models").rglob("*.py"):
        for match in _REGISTERED.finditer(path.read_bytes()):
            found.add((match[1] or match[2]).decode())
    return tuple(sorted(found))


def _first_weights(name: str) -> Any:
    import torchvision

    return next(iter(torchvision.models.get_model_weights(name)))


def _accuracy(name: str, shape: Dims) -> dict[str, float]:
    """The best ImageNet-1K accuracy published for a model, percent, among the weights of this input size."""
    import torchvision

    found = [
        (figures["acc@1"], figures["acc@5"])
        for weights in torchvision.models.get_model_weights(name)
        if (figures := weights.meta["_metrics"].get("ImageNet-1K")) and _sample_shape(name, weights) == shape
    ]
    return dict(zip(("top1", "top5"), max(found), strict=True)) if found else {}


def _without_backbone(weights: Any) -> dict[str, Any]:
    """Detectors and segmenters would fetch their backbone's weights when they get none of their own."""
    preset = getattr(weights.transforms, "func", weights.transforms).__name__
    return {"weights_backbone": None} if preset in ("ObjectDetection", "SemanticSegmentation") else {}


@contextmanager
def without_download() -> Iterator[None]:
    """Asking for weights gives the architecture that they belong to, and nothing is loaded."""
    from unittest import mock

    from torch import nn
    from torchvision.models import WeightsEnum

    with (
        mock.patch.object(WeightsEnum, "get_state_dict", return_value={}),
        mock.patch.object(nn.Module, "load_state_dict", return_value=None),
    ):
        yield


def _sample_shape(name: str, weights: Any) -> Dims:
    """Shape of one sample that the weights' pre-processing gives."""
    preset = weights.transforms.func.__name__ if hasattr(weights.transforms, "func") else weights.transforms.__name__
    options = getattr(weights.transforms, "keywords", {})
    if preset == "ImageClassification":
        return (3, options["crop_size"], options["crop_size"])
    if preset == "SemanticSegmentation":
        return (3, options["resize_size"], options["resize_size"])
    if preset == "VideoClassification":
        return (3, _CLIP_FRAMES, *options["crop_size"])
    if preset == "OpticalFlow":
        return (3, _FLOW_SIZE, _FLOW_SIZE)
    size = _DETECTION_SIZE.get(name, 800)
    return (3, size, size)


def _inputs(name: str, weights: Any, request: Request, device: str) -> Inputs:
    shape = fit_size(_sample_shape(name, weights), request.input_size)
    transforms = weights.transforms
    preset = getattr(transforms, "func", transforms).__name__
    if preset == "ObjectDetection":
        return Inputs(([sample(shape, request.dtype, device) for _ in range(request.batch_size)],))
    batch = (request.batch_size, *shape)
    if preset == "OpticalFlow":
        return Inputs((sample(batch, request.dtype, device), sample(batch, request.dtype, device)))
    return Inputs((sample(batch, request.dtype, device),))
