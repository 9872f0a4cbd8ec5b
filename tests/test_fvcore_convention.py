"""``--convention fvcore`` against fvcore itself, and conventions from one trace."""

import logging

import pytest
import torch
import torchvision
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

import modelcmp
from modelcmp.profiling.profile import under_convention

CNNS = (
    "alexnet", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3", "mnasnet1_0",
    "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18",
    "resnet34", "resnet50", "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1", "vgg11_bn", "wide_resnet50_2",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


#: fvcore takes seconds for each of these.
SLOW = {
    "densenet121", "efficientnet_v2_s", "inception_v3", "mobilenet_v3_small", "regnet_x_400mf", "resnet34", "vgg11_bn",
    "wide_resnet50_2",
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CNNS])
def test_within_one_percent_of_fvcore(name):
    ours = modelcmp.profile(name, convention="fvcore", input_size=(96, 96) if name != "inception_v3" else None)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, **options).eval()
    x = torch.empty(ours.input_shape[0])
    with torch.no_grad():
        flops = FlopCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
        activations = (
            ActivationCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
        )
    assert ours.flops == pytest.approx(flops, rel=0.01)
    assert ours.activations == pytest.approx(activations, rel=0.01)


def test_one_trace_serves_every_convention():
    total = modelcmp.profile("resnet18")
    for convention in ("contraction", "fvcore"):
        assert under_convention(total, convention).values == modelcmp.profile("resnet18", convention=convention).values
    assert under_convention(total, "contraction").flops == 2 * total.macs
    # MACs, 2 an element of batch norm, one an input element of the average pool
    norm = sum(torch.Size(op.output_shapes[0]).numel() for op in total.ops if op.kind == "norm")
    assert under_convention(total, "fvcore").flops == total.macs + 2 * norm + 512 * 7 * 7
