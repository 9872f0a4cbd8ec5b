"""The audit names each op or module where fvcore and FlopCounterMode differ from us, and why."""

from __future__ import annotations

import json
import logging
import warnings

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from modelcmp.profiling.audit import OURS, ModelAudit, audit_module, audit_subject
from modelcmp.profiling.peers import FVCORE, TORCH
from modelcmp.records import ModelFailure
from modelcmp.reports.audit_table import audit_csv_rows, audit_json, audit_markdown, audit_tables, grouped
from modelcmp.reports.export import csv_text
from modelcmp.sources import Inputs, Request, Subject, resolve


class Attention(nn.Module):
    """Nothing but a functional attention."""

    def forward(self, q: Tensor) -> Tensor:
        """q (B, heads, T, d)."""
        return F.scaled_dot_product_attention(q, q, q)


class Product(nn.Module):
    """a @ b."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Any shapes that broadcast."""
        return a @ b


class ByName(nn.Module):
    """Takes its input by keyword alone."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 5)

    def forward(self, *, x: Tensor) -> Tensor:
        """x (B, 4)."""
        print("a chatty model")
        warnings.warn("a warning", stacklevel=1)
        logging.getLogger("model").warning("a log line")
        return self.fc(x)


def causes(audit: ModelAudit, engine: str) -> dict[tuple[str, str], str]:
    """Cause of each difference by (module, op), conventions left out."""
    return {(r.module, r.op): r.cause for r in audit.rows_of(engine) if r.cause != "convention"}


def rendered(audit: ModelAudit, width: int = 80) -> str:
    """What a terminal of that width shows."""
    console = Console(width=width, no_color=True, markup=False)
    with console.capture() as capture:
        for item in audit_tables(audit):
            console.print(item)
    return capture.get()


@pytest.fixture(scope="module")
def resnet18() -> ModelAudit:
    return audit_subject(resolve("resnet18", Request()), Request())


@pytest.fixture(scope="module")
def vit() -> ModelAudit:
    return audit_subject(resolve("vit_b_32", Request()), Request())


def test_all_agree_on_a_convolutional_network(resnet18: ModelAudit) -> None:
    assert {t.macs for t in resnet18.totals} == {1_814_073_344}
    assert resnet18.total(TORCH).reported == 2 * 1_814_073_344
    assert resnet18.rows_of(TORCH) == ()
    assert {r.cause for r in resnet18.rows_of(FVCORE)} == {"convention"}
    assert resnet18.device == "cpu"


def test_fvcores_norms_and_pooling_are_kept_apart(resnet18: ModelAudit) -> None:
    by_op = {g.op: g for g in grouped(resnet18.rows_of(FVCORE))}
    # Two an element: stem, then 4, 4, 4, 4 maps a stage and the three downsampling ones.
    elements = 64 * 112**2 + 4 * 64 * 56**2 + 5 * (128 * 28**2 + 256 * 14**2 + 512 * 7**2)
    assert (by_op["batch_norm"].theirs_macs, by_op["batch_norm"].times) == (2 * elements, 20)
    assert by_op["adaptive_avg_pool2d"].theirs_macs == 512 * 7 * 7
    fvcore = resnet18.total(FVCORE)
    assert fvcore.extra_flops == resnet18.total(OURS).extra_flops == 2 * elements + 512 * 7 * 7
    assert fvcore.reported == 1_814_073_344 + fvcore.extra_flops


def test_conv_and_norm_in_closed_form() -> None:
    audit = audit_module(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)), torch.rand(2, 3, 10, 10))
    assert {t.macs for t in audit.totals} == {2 * 8 * 8 * 8 * 27}
    assert [(r.module, r.op, r.theirs_macs) for r in audit.rows] == [("1", "batch_norm", 2 * 2 * 8 * 8 * 8)]


def test_fast_path_of_multihead_attention(vit: ModelAudit) -> None:
    tokens, width = 50, 768
    attention = 4 * tokens * width**2 + 2 * tokens**2 * width
    for engine in (FVCORE, TORCH):
        rows = [r for r in vit.rows_of(engine) if r.cause != "convention"]
        assert len(rows) == 12
        assert {(r.op, r.cause, r.ours_macs, r.theirs_macs) for r in rows} == {
            ("_native_multi_head_attention", "fast path", attention, 0)
        }
        assert vit.total(engine).macs == vit.total(OURS).macs - 12 * attention  # type: ignore[operator]


def test_fast_path_of_the_encoder_layer() -> None:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    audit = audit_module(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.rand(2, 5, 32))
    attention, mlp = 10 * 4 * 32**2 + 2 * 2 * 5**2 * 32, 2 * 10 * 32 * 64
    assert audit.total(OURS).macs == 2 * (attention + mlp)
    assert [(r.module, r.op, r.ours_macs) for r in audit.rows_of(TORCH)] == [
        (f"layers.{i}", "_transformer_encoder_layer_fwd", attention + mlp) for i in range(2)
    ]
    # fvcore hooks the submodules, and that alone switches the layer's own fast path off.
    kernel = "_native_multi_head_attention"
    assert causes(audit, FVCORE) == {(f"layers.{i}.self_attn", kernel): "fast path" for i in range(2)}


def test_without_the_fast_path_the_reason_is_attention_itself() -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        audit = audit_module(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.rand(1, 5, 8))
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert causes(audit, FVCORE) == {("self_attn", "scaled_dot_product_attention"): "no formula"}
    assert audit.total(OURS).macs == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8 + 2 * 5 * 8 * 16
    assert audit.total(FVCORE).macs == audit.total(OURS).macs - 2 * 5 * 5 * 8  # type: ignore[operator]


def test_functional_attention() -> None:
    audit = audit_module(Attention(), torch.rand(1, 2, 5, 8))
    assert audit.total(OURS).macs == 2 * 5 * 5 * (8 + 8)
    assert causes(audit, FVCORE) == {("", "scaled_dot_product_attention"): "no formula"}
    uncounted = causes(audit, TORCH)  # the CPU kernel has a formula from torch 2.15 on
    assert uncounted in ({}, {("", "_scaled_dot_product_flash_attention_for_cpu"): "no formula"})


def test_recurrent_layers_are_opaque() -> None:
    audit = audit_module(nn.LSTM(10, 20), torch.rand(3, 2, 10))
    assert audit.total(OURS).macs == 3 * 2 * 4 * 20 * (10 + 20)
    assert causes(audit, FVCORE) == {("", "lstm"): "no formula"}
    assert causes(audit, TORCH) == {("", "mkldnn_rnn_layer"): "no formula"}


def test_convolution_with_string_padding_is_lost_by_fvcore() -> None:
    audit = audit_module(nn.Conv2d(3, 4, 3, padding="same"), torch.rand(1, 3, 8, 8))
    assert causes(audit, FVCORE) == {("", "_convolution_mode"): "no formula"}
    assert audit.total(TORCH).macs == audit.total(OURS).macs == 8 * 8 * 4 * 27


def test_broadcast_matmul_is_undercounted_by_fvcore() -> None:
    audit = audit_module(Product(), (torch.rand(5, 6), torch.rand(4, 6, 7)))
    (row,) = audit.rows
    assert (row.engine, row.cause, row.ours_macs, row.theirs_macs) == (FVCORE, "counted differently", 840, 210)


def test_transposed_convolution_and_shared_modules_agree() -> None:
    assert audit_module(nn.ConvTranspose2d(3, 4, 3, stride=2), torch.rand(1, 3, 8, 8)).rows == ()
    shared = nn.Linear(4, 4)
    audit = audit_module(nn.Sequential(nn.Sequential(shared), nn.Sequential(shared)), torch.rand(2, 4))
    assert audit.rows == ()
    assert {t.macs for t in audit.totals} == {2 * 2 * 4 * 4}


def test_a_tools_own_error_is_a_row() -> None:
    audit = audit_module(Product(), (torch.rand(5, 6), torch.rand(6)), name="vector")
    (row,) = audit.rows_of(FVCORE)
    assert (row.cause, row.theirs_macs, row.ours_macs) == ("tool failed", None, 30)
    assert row.reason == audit.total(FVCORE).error == "IndexError: list index out of range"
    assert causes(audit, TORCH) == {("", "mv"): "no formula"}
    assert "fvcore failed: IndexError" in rendered(audit)


def test_the_module_is_left_as_it_was_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    model = ByName().train()
    flag, level = torch.backends.mha.get_fastpath_enabled(), logging.root.manager.disable
    state = torch.get_rng_state()
    failing = audit_module(Product(), (torch.ones(5, 6), torch.ones(6)))
    with warnings.catch_warnings(record=True) as caught:
        audit = audit_module(model, {"x": torch.zeros(2, 4)})
    assert failing.total(FVCORE).error
    assert audit.total(TORCH).macs == 2 * 4 * 5
    assert "by name" in (audit.total(FVCORE).error or "")
    assert all(m.training and not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert torch.backends.mha.get_fastpath_enabled() is flag
    assert logging.root.manager.disable == level
    assert torch.equal(torch.get_rng_state(), state)
    assert not caught
    assert "log line" not in capfd.readouterr().err


def test_large_models_run_without_data_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcmp.profiling.audit.LARGE_MACS", 10)

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 5))

    subject = Subject("big", "file", build, lambda _request, device: Inputs((torch.rand(2, 4, device=device),)))
    audit = audit_subject(subject, Request())
    assert audit.device == "meta"
    assert any("meta" in note for note in audit.notes)
    assert audit.total(TORCH).macs == 2 * 4 * 5


def test_input_size_batch_and_dtype_reach_every_tool() -> None:
    request = Request(batch_size=2, input_size=(64,), dtype="bf16")
    audit = audit_subject(resolve("vit_b_32", request), request)
    assert (audit.input_shape, audit.batch_size, audit.dtype) == (((2, 3, 64, 64),), 2, "bf16")
    assert {r.ours_macs for r in audit.rows_of(TORCH)} == {2 * (4 * 5 * 768**2 + 2 * 5**2 * 768)}


def test_tables_fit_80_columns_and_keep_names(vit: ModelAudit, resnet18: ModelAudit) -> None:
    shown = rendered(vit)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert "vit_b_32" in shown
    assert "".join(shown.split()).count("×12") == 2
    assert "FlopCounterMode agrees everywhere." in rendered(resnet18)


def test_names_with_markup_print_literally() -> None:
    name = "net[bold]" + "x" * 90
    model = nn.Module()
    model.add_module("[red]", nn.Conv2d(1, 1, 1, padding="same"))
    model.forward = lambda x: model._modules["[red]"](x)  # type: ignore[method-assign,misc,assignment]
    shown = rendered(audit_module(model, torch.rand(1, 1, 2, 2), name=name))
    assert "[red]" in shown
    assert name in "".join(shown.split())


def test_files_hold_every_row_unrounded(vit: ModelAudit) -> None:
    failure = ModelFailure("broken", "BuildError", "no")
    made = json.loads(json.dumps(audit_json([vit], [failure])))
    assert (made["schema"], made["errors"][0]["name"]) == (1, "broken")
    (model,) = made["models"]
    assert model["name"] == "vit_b_32"
    assert model["input_shape"] == [1, 3, 224, 224]
    assert [t["engine"] for t in model["totals"]] == [OURS, FVCORE, TORCH]
    assert len(model["rows"]) == len(vit.rows) == 12 + 25 + 12
    rows = audit_csv_rows([vit])
    assert len(rows) == 3 + len(vit.rows)
    assert csv_text(rows).startswith("name,engine,module,module_type,op,ours_macs,theirs_macs,cause,reason\n")
    assert r"| fvcore | encoder.layers.encoder_layer\_\*.self_attention ×12 |" in audit_markdown([vit])


def test_groups_sum_to_the_rows(vit: ModelAudit) -> None:
    rows, groups = vit.rows_of(TORCH), grouped(vit.rows_of(TORCH))
    assert sum(g.ours_macs for g in groups) == sum(r.ours_macs for r in rows)
    assert [(g.modules, g.times) for g in groups] == [("encoder.layers.encoder_layer_*.self_attention", 12)]
