"""What a training run is told: every key, its default and its meaning.

Loaded without torch, so that a mistyped key is refused at once. What only torch can judge (the keywords of an
optimizer, the shape that a model takes) is judged in :mod:`~modelcmp.training.plan`, before training starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ..dumps.options import DumpOptions, Format, Part, dump_options
from ..dumps.options import Precision as DumpPrecision
from ..errors import BadInput
from ..registry import suggest
from ..tracking.exporters import EXPORTERS
from ..tracking.names import LONGEST
from ..units import parse_bytes
from .names import folder_name

#: Older names of keys.
ALIASES = {"batch_comparison_interval": "dump_interval"}


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("input should be a number")
    return value


def _text(value: Any) -> Any:
    """A path is text, too."""
    return str(value) if isinstance(value, PurePath) else value


Whole = Annotated[int, Field(strict=True)]
Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
Place = Annotated[str, BeforeValidator(_text)]
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
        value = _text(value)
        if isinstance(value, Mapping) and value and not set(map(str, value)) & set(cls.model_fields):
            raise ValueError(f"write {cls._form(*next(iter(value.items())))}")
        if not isinstance(value, Mapping | str | cls):
            raise ValueError("write a name, or {name: ..., and its keywords}")
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def _form(cls, name: Any, keywords: Any) -> str:
        """How ``{mlp: {hidden: 3}}`` is to be written."""
        given = _inline(keywords) if isinstance(keywords, Mapping) else ""
        return f"{{name: {name}, kwargs: {{{given}}}}}" if given else f"{{name: {name}}}"


def _inline(keywords: Mapping[Any, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in keywords.items())


class _WithKeywords(_Named):
    """Any further key is a keyword of the thing that is named."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def keywords(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})

    @classmethod
    def _form(cls, name: Any, keywords: Any) -> str:
        given = _inline(keywords) if isinstance(keywords, Mapping) else ""
        return f"{{name: {name}, {given}}}" if given else f"{{name: {name}}}"


class ModelChoice(_Named):
    """One architecture."""

    name: str = Field(description="a built-in model, or any model that `compare-models` can profile")
    kwargs: dict[str, Any] = Field({}, description="keywords for its constructor")
    label: str | None = Field(None, description="what to call it; needed to tell two of one architecture apart")

    @field_validator("label")
    @classmethod
    def _file_name(cls, label: str | None) -> str | None:
        if label is not None and not re.fullmatch(r"[\w+][\w.+-]*", label):
            raise ValueError("a label becomes a file name: use letters, digits, '.', '_', '+' and '-'")
        if label is not None and len(label.encode()) > _LONGEST_LABEL:
            raise ValueError(f"a label becomes a file name: give {_LONGEST_LABEL} bytes at most")
        return label


class DataChoice(_Named):
    """The data that all are trained on."""

    name: str = Field(description="a built-in data set, or `path.py:factory`")
    root: Place | None = Field(None, description="the folder where its files are")
    split_seed: Whole = Field(0, description="how examples are dealt to train, validation and test")
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

    lr: Real | None = Field(None, gt=0, description="learning rate; torch's default where it is left out")


class SchedulerChoice(_WithKeywords):
    """`cosine`, `linear`, `onecycle`, `constant`, or a class of `torch.optim.lr_scheduler`."""

    interval: Literal["step", "epoch"] | None = Field(None, description="when it moves on: each step or each epoch")
    warmup_steps: Whole = Field(0, ge=0, description="steps over which the rate first rises to its start")


class LossChoice(_WithKeywords):
    """`auto`, `cross_entropy`, `bce`, or `MultiMarginLoss`: losses of logits."""


class Augmentation(_WithKeywords):
    """One change of the training batches."""


class TrackerChoice(_WithKeywords):
    """Where else the session goes."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in EXPORTERS:
            raise ValueError(f"no tracker {name!r}: {suggest(name, EXPORTERS)}")
        return name


class EarlyStopping(_Strict):
    """Stop a model that has not improved for a while; a number is short for ``{patience: N}``."""

    metric: Selector = Field("val_loss", description="what must improve")
    patience: Whole = Field(5, ge=1, description="epochs without improvement after which training stops")
    min_delta: Real = Field(0.0, ge=0, description="what counts as an improvement")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if not isinstance(value, Mapping | cls | int) or isinstance(value, bool):
            raise ValueError("write a number of epochs, or {metric: val_loss, patience: 5, min_delta: 0}")
        return {"patience": value} if isinstance(value, int) else value


def _amount(value: Any) -> Any:
    """An amount of memory, as text."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("write an amount such as 10GB")
    try:
        parse_bytes(str(value))
    except BadInput as error:
        raise ValueError(str(error)) from error
    return str(value)


def _listed(value: Any) -> Any:
    """One thing is short for a list of it."""
    return list(value) if isinstance(value, list | tuple) else value if value is None else [value]


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", value):
        raise ValueError("write auto, cpu, cuda, cuda:1 or mps")
    return value


Many = BeforeValidator(_listed)


class DumpChoice(_Strict):
    """What a dump holds and how many there are; `dump_interval` says how often."""

    epochs: Whole | None = Field(None, ge=1, description="only the first epochs")
    include: Annotated[list[Part], Many] = Field(["weights", "optimizer"], min_length=1, description="its parts")
    dtype: DumpPrecision | None = Field(None, description="type of stored floating-point tensors")
    format: Format = Field("pt", description="of the files")
    keep_last: Whole | None = Field(None, ge=1, description="how many full dumps stay")
    disk_budget: Annotated[str, BeforeValidator(_amount)] | None = Field(
        None, description="bytes of all dumps of the run, dealt evenly to its models"
    )
    stats_interval: Whole = Field(1, ge=1, description="steps between two statistics")
    initial: Switch = Field(True, description="dump the state before the first step")


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
    epochs: Whole = Field(10, ge=1, description="passes over the training split")
    batch_size: Whole = Field(128, ge=1, description="samples of a step, over all processes together")
    optimizer: OptimizerChoice = Field(
        OptimizerChoice(name="adam", lr=0.001),
        description="an optimizer of `torch.optim`, and its keywords: `{name: sgd, lr: 0.1, momentum: 0.9}`",
    )
    lr: Real | None = Field(None, gt=0, description="short for the optimizer's `lr`")
    scheduler: SchedulerChoice | None = Field(
        None,
        description="how the learning rate changes: `cosine`, `linear`, `onecycle`, `constant`, or a class of "
        "`torch.optim.lr_scheduler` with its keywords; `interval` step or epoch, `warmup_steps`",
    )
    loss: LossChoice = Field(
        LossChoice(name="auto"),
        description="`cross_entropy`, `bce` or `MultiMarginLoss`, and its keywords; `auto` takes `bce` "
        "where the data have two classes and a positive one, else `cross_entropy`",
    )
    seed: Whole = Field(123, ge=0, lt=2**63, description="of initial weights, order of batches, dropout, augmentation")
    precision: Precision = Field("fp32", description="`fp32`, `tf32` (CUDA), `bf16` or `fp16` (mixed, weights in fp32)")
    device: Annotated[str, AfterValidator(_device)] = Field(
        "auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`"
    )
    threads: Whole | None = Field(
        None, ge=1, le=1024, description="CPU threads of torch; as many as it takes by itself"
    )
    workers: Whole = Field(
        0, ge=0, le=1024, description="processes that read and decode files; unused for data in memory"
    )
    augment: Annotated[list[Augmentation], Many] = Field(
        [], description="changes of training batches, in order: `[flip, {name: crop, padding: 4}]`"
    )
    clip_norm: Real | None = Field(None, gt=0, description="largest norm of all gradients together")
    early_stopping: EarlyStopping | None = Field(
        None, description="`{metric: val_loss, patience: 5, min_delta: 0}`, or the patience alone"
    )
    select_by: Selector = Field(
        "val_accuracy", description="which epoch's weights are kept and tested: the best `val_accuracy` or `val_loss`"
    )
    max_steps: Whole | None = Field(None, ge=1, description="most steps of a model, over all epochs")
    max_minutes: Real | None = Field(None, gt=0, description="most minutes of training of a model")
    dump_interval: Whole | None = Field(
        None, ge=1, description="steps of an epoch between two dumps; also `batch_comparison_interval`"
    )
    dump: DumpChoice | None = Field(
        None,
        description="what dumps hold: `{epochs, include: [weights, optimizer, grads, stats], dtype, "
        "format: pt or safetensors, keep_last, disk_budget: 10GB, stats_interval, initial: true}`; every 10 steps "
        "where `dump_interval` is left out",
    )
    checkpoint_interval: Whole | None = Field(
        None, ge=1, description="steps between two checkpoints; one is made after each epoch in any case"
    )
    deterministic: Switch = Field(True, description="have CUDA compute the same way each time")
    strategy: Literal["ddp", "fsdp"] = Field("ddp", description="how several processes share one model")
    workspace: Place | None = Field(
        None, min_length=1, description="the folder of all that is written; `comparison-YYYYMMDDTHHMMSS` by default"
    )
    description: str = Field("", description="what the run is about, kept with each session")
    tags: Annotated[list[str], Many] = Field([], description="words to find the sessions by")
    trackers: Annotated[list[TrackerChoice], Many] = Field(
        [], description=f"where else sessions go: {', '.join(f'`{name}`' for name in EXPORTERS)}"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        """Older keys under their new names, and the rate at the top moved to the optimizer."""
        if not isinstance(value, Mapping):
            return value
        data = dict(value)
        for old, new in ALIASES.items():
            if old in data and new in data:
                raise _fault(f"{old!r} is the older name of {new!r}: give one of them", old)
            if old in data:
                data[new] = data.pop(old)
        return _with_rate(data)

    @field_validator("models")
    @classmethod
    def _told_apart(cls, models: list[ModelChoice]) -> list[ModelChoice]:
        seen: set[str] = set()
        for label in (m.label for m in models if m.label is not None):
            if label.lower() in seen:
                raise ValueError(f"two models have the label {label!r}: give each its own")
            seen.add(label.lower())
        return models

    @property
    def dumping(self) -> DumpOptions | None:
        """What is dumped of each model, or None.

        >>> Config(models=["cnn", "mlp"], dump={"disk_budget": "1GB"}).dumping.disk_budget_bytes
        500000000
        """
        if self.dump_interval is None and self.dump is None:
            return None
        chosen = self.dump or DumpChoice()
        budget = None if chosen.disk_budget is None else max(1, parse_bytes(chosen.disk_budget) // len(self.models))
        return dump_options(
            interval=self.dump_interval or DumpOptions().interval, epochs=chosen.epochs, include=chosen.include,
            dtype=chosen.dtype, format=chosen.format, keep_last=chosen.keep_last, disk_budget_bytes=budget,
            stats_interval=chosen.stats_interval,
        )  # fmt: skip

    @property
    def labels(self) -> tuple[str, ...]:
        """What each model is called: its label, else the last part of its name, told apart by a number.

        >>> Config(models=["mlp", "mlp", "timm:vit_tiny_patch16_224", "nets/my.py:build"]).labels
        ('mlp', 'mlp-2', 'vit_tiny_patch16_224', 'my-build')
        """
        taken = {m.label.lower() for m in self.models if m.label is not None}
        return tuple(m.label if m.label is not None else _free(short_label(m.name), taken) for m in self.models)


#: In bytes: a session's name holds the label.
_LONGEST_LABEL = LONGEST - len(folder_name(""))
#: What a number can be added to.
_LONGEST_STEM = 120


def _free(stem: str, taken: set[str]) -> str:
    """A name that no other model has; it is taken from now on."""
    name, n = stem, 1
    while name.lower() in taken:
        n += 1
        name = f"{stem}-{n}"
    taken.add(name.lower())
    return name


def _fault(message: str, key: str) -> PydanticCustomError:
    """What is wrong with a key, found while all of them are looked at."""
    return PydanticCustomError("given_twice", "{message}", {"message": message, "key": key})


def _with_rate(data: dict[str, Any]) -> dict[str, Any]:
    """``lr`` at the top moved to the optimizer."""
    rate = data.pop("lr", None)
    if rate is None:
        return data
    chosen = data.get("optimizer", Config.model_fields["optimizer"].default.name)
    chosen = chosen.model_dump(exclude_unset=True) if isinstance(chosen, BaseModel) else chosen
    chosen = {"name": chosen} if isinstance(chosen, str) else chosen
    if isinstance(chosen, Mapping):
        if chosen.get("lr") not in (None, rate):
            raise _fault(f"lr is {rate} here and {chosen['lr']} in the optimizer: give one", "lr")
        data["optimizer"] = {**chosen, "lr": rate}
    return data


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
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.")
    return plain.encode()[:_LONGEST_STEM].decode(errors="ignore").strip("-.") or "model"
