"""What a training run is told: every key, its default and its meaning.

Loaded without torch, so that a mistyped key is refused at once. What only torch can judge (the keywords of an
optimizer, the shape that a model takes) is judged in :mod:`~modelcmp.training.setup`, before training starts.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ..errors import BadInput
from ..registry import suggest
from ..tracking.exporters import EXPORTERS

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
#: What the best epoch can be chosen by.
SELECTORS = ("val_accuracy", "val_loss")
Selector = Literal["val_accuracy", "val_loss"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _Named(_Strict):
    """``adam`` is short for ``{name: adam}``."""

    name: str = Field(description="its name")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class _WithKeywords(_Named):
    """Any further key is a keyword of the thing that is named."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def keywords(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})


class ModelChoice(_Named):
    """One architecture."""

    name: str = Field(description="a built-in model, or any model that `compare-models` can profile")
    kwargs: dict[str, Any] = Field({}, description="keywords for its constructor")
    label: str | None = Field(None, description="what to call it; needed to tell two of one architecture apart")


class DataChoice(_Named):
    """The data that all are trained on."""

    name: str = Field(description="a built-in data set, or `path.py:factory`")
    root: str | None = Field(None, description="the folder where its files are")
    split_seed: int = Field(0, description="how examples are dealt to train, validation and test")
    kwargs: dict[str, Any] = Field({}, description="keywords of the data set")

    @field_validator("kwargs")
    @classmethod
    def _own_keys(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        for key in ("root", "split_seed"):
            if key in kwargs:
                raise ValueError(f"{key} stands beside kwargs, not in it")
        return kwargs


class OptimizerChoice(_WithKeywords):
    """A class of `torch.optim` by its name, in any case."""

    lr: float | None = Field(None, gt=0, description="learning rate; torch's default where it is left out")


class SchedulerChoice(_WithKeywords):
    """`cosine`, `linear`, `onecycle`, `constant`, or a class of `torch.optim.lr_scheduler`."""

    interval: Literal["step", "epoch"] | None = Field(None, description="when it moves on: each step or each epoch")
    warmup_steps: int = Field(0, ge=0, description="steps over which the rate first rises to its start")


class LossChoice(_WithKeywords):
    """`auto`, `cross_entropy`, `bce`, or a loss class of `torch.nn` that takes logits."""


class Augmentation(_WithKeywords):
    """One change of the training batches."""


class TrackerChoice(_WithKeywords):
    """Where else the session goes."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in EXPORTERS:
            raise ValueError(f"no such tracker: {suggest(name, EXPORTERS)}")
        return name


class EarlyStopping(_Strict):
    """Stop a model that has not improved for a while; a number is short for ``{patience: N}``."""

    metric: Selector = Field("val_loss", description="what must improve")
    patience: int = Field(5, ge=1, description="epochs without improvement after which training stops")
    min_delta: float = Field(0.0, ge=0, description="what counts as an improvement")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"patience": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    """One thing is short for a list of it."""
    return value if isinstance(value, list) or value is None else [value]


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", value):
        raise ValueError("write auto, cpu, cuda, cuda:1 or mps")
    return value


Many = BeforeValidator(_listed)


class Config(_Strict):
    """A training run: architectures, data and the settings that are the same for all of them."""

    models: Annotated[list[ModelChoice], Many] = Field(
        min_length=1,
        description="the architectures: built-in names, any model of the profiler, `path.py:factory`, or "
        "`{name, kwargs, label}`; the number of classes (and channels, where it can be told) is fitted to the data",
    )
    data: DataChoice = Field(
        DataChoice(name="digits"), description="the data set: a name, or `{name, root, split_seed, kwargs}`"
    )
    epochs: int = Field(10, ge=1, description="passes over the training split")
    batch_size: int = Field(128, ge=1, description="samples of a step, over all processes together")
    optimizer: OptimizerChoice = Field(
        OptimizerChoice(name="adam", lr=0.001),
        description="an optimizer of `torch.optim`, and its keywords: `{name: sgd, lr: 0.1, momentum: 0.9}`",
    )
    lr: float | None = Field(None, gt=0, description="short for the optimizer's `lr`")
    scheduler: SchedulerChoice | None = Field(
        None,
        description="how the learning rate changes: `cosine`, `linear`, `onecycle`, `constant`, or a class of "
        "`torch.optim.lr_scheduler` with its keywords; `interval` step or epoch, `warmup_steps`",
    )
    loss: LossChoice = Field(
        LossChoice(name="auto"),
        description="`cross_entropy`, `bce`, or a loss of `torch.nn` with its keywords; `auto` takes `bce` "
        "where the data have two classes and a positive one, else `cross_entropy`",
    )
    seed: int = Field(123, ge=0, lt=2**63, description="of initial weights, order of batches, dropout, augmentation")
    precision: Precision = Field("fp32", description="`fp32`, `tf32` (CUDA), `bf16` or `fp16` (mixed, weights in fp32)")
    device: Annotated[str, AfterValidator(_device)] = Field(
        "auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of torch; as many as it takes by itself")
    workers: int = Field(0, ge=0, description="processes that read and decode files; unused for data in memory")
    augment: Annotated[list[Augmentation], Many] = Field(
        [], description="changes of training batches, in order: `[flip, {name: crop, padding: 4}]`"
    )
    clip_norm: float | None = Field(None, gt=0, description="largest norm of all gradients together")
    early_stopping: EarlyStopping | None = Field(
        None, description="`{metric: val_loss, patience: 5, min_delta: 0}`, or the patience alone"
    )
    select_by: Selector = Field(
        "val_accuracy", description="which epoch's weights are kept and tested: the best `val_accuracy` or `val_loss`"
    )
    max_steps: int | None = Field(None, ge=1, description="most steps of a model, over all epochs")
    max_minutes: float | None = Field(None, gt=0, description="most minutes of training of a model")
    dump_interval: int | None = Field(
        None, ge=1, description="steps between two dumps of weights and optimizer; also `batch_comparison_interval`"
    )
    checkpoint_interval: int | None = Field(
        None, ge=1, description="steps between two checkpoints; one is made after each epoch in any case"
    )
    deterministic: bool = Field(True, description="have CUDA compute the same way each time")
    strategy: Literal["ddp", "fsdp"] = Field("ddp", description="how several processes share one model")
    workspace: str | None = Field(
        None, min_length=1, description="the folder of all that is written; `comparison-YYYYMMDDTHHMMSS` by default"
    )
    description: str = Field("", description="what the run is about, kept with each session")
    tags: Annotated[list[str], Many] = Field([], description="words to find the sessions by")
    trackers: Annotated[list[TrackerChoice], Many] = Field(
        [], description=f"where else sessions go: {', '.join(f'`{name}`' for name in EXPORTERS)}"
    )

    @property
    def labels(self) -> tuple[str, ...]:
        """What each model is called: its label, else the last part of its name, told apart by a number.

        >>> Config(models=["mlp", "mlp", "timm:vit_tiny_patch16_224", "nets/my.py:build"]).labels
        ('mlp', 'mlp-2', 'vit_tiny_patch16_224', 'my-build')
        """
        made: list[str] = []
        for model in self.models:
            stem = model.label or short_label(model.name)
            name, n = stem, 1
            while name.lower() in {m.lower() for m in made}:
                n += 1
                name = f"{stem}-{n}"
            made.append(name)
        return tuple(made)


def short_label(spec: str) -> str:
    """A name for files and tables out of a spec.

    >>> short_label("timm:resnet18.a1_in1k"), short_label("nets/my.py:build"), short_label("CNN")
    ('resnet18.a1_in1k', 'my-build', 'CNN')
    """
    place, colon, name = spec.rpartition(":")
    if place.endswith(".py"):
        name = f"{PurePath(place).stem}-{name}"
    elif colon and "." in place:
        name = f"{place.rpartition('.')[2]}-{name}"
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "model"


def check_labels(config: Config) -> None:
    """Refuse labels that make no file name, and labels given twice; raises BadInput."""
    seen: set[str] = set()
    for label in (m.label for m in config.models if m.label is not None):
        if not re.fullmatch(r"[\w+][\w.+-]*", label):
            raise BadInput(f"the label {label!r} makes no file name: use letters, digits, '.', '_', '+' and '-'")
        if label.lower() in seen:
            raise BadInput(f"two models have the label {label!r}: give each its own")
        seen.add(label.lower())
