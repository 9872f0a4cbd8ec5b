"""Names that are needed before torch is."""

from __future__ import annotations

#: The built-in models; a test holds them to the registry.
MODEL_NAMES = ("mlp", "cnn", "simple_cnn", "resnet", "vit", "simple_cnn3d", "se_resnet3d")
#: The built-in data sets, likewise.
DATA_NAMES = (
    "digits", "mnist_5k", "image_folder", "spots3d", "mnist", "mnist_or_5k", "fashion_mnist", "cifar10", "fake",
)  # fmt: skip
#: The file of a workspace, or a sweep's folder, that says what it is of.
CONFIG = "config.yaml"


def folder_name(label: str) -> str:
    """The folder of a model's session in its workspace.

    >>> folder_name("cnn")
    'comparison-cnn'
    """
    return f"comparison-{label}"
