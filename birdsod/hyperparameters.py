"""The hyperparameters of the built-in object detection algorithm, typed and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from birdsod._arguments import check_packed
from birdsod._hyperparameter_rules import RULES, checked, step_epochs
from birdsod.errors import HyperparameterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from birdsod.dataset import ImageChannels
    from birdsod.recordio import Packed

__all__ = ["HyperparameterValues", "Hyperparameters"]

LEAST_LABEL_WIDTH = 350
GIVEN = "_birdsod_given"
"""Beside the hyperparameters of a job: names of those that were set, separated by commas."""


class HyperparameterValues(TypedDict, total=False):
    """What :class:`Hyperparameters` takes, all by keyword."""

    num_classes: int
    num_training_samples: int
    base_network: Literal["vgg-16", "resnet-50", "efficientnet-lite0"]
    use_pretrained_model: int
    epochs: int
    learning_rate: float
    lr_scheduler_factor: float
    lr_scheduler_step: str
    optimizer: Literal["sgd", "adam", "rmsprop", "adadelta"]
    momentum: float
    weight_decay: float
    mini_batch_size: int
    image_shape: int
    label_width: int
    nms_threshold: float
    overlap_threshold: float
    freeze_layer_pattern: str | None
    kv_store: Literal["dist_sync", "dist_async"] | None
    early_stopping: bool
    early_stopping_min_epochs: int
    early_stopping_patience: int
    early_stopping_tolerance: float


@dataclass(frozen=True, kw_only=True, init=False)
class Hyperparameters:
    """The 22 hyperparameters of SageMaker's built-in object detection, with its defaults and ranges.

    The base network ``"efficientnet-lite0"`` is an addition: the local engine has it, the built-in
    algorithm does not.

    Parameters
    ----------
    **given
        The attributes below, by name. ``num_classes`` and ``num_training_samples`` must be given;
        :meth:`for_data` derives them.

    Attributes
    ----------
    num_classes : int
        Number of classes, without the background.
    num_training_samples : int
        Number of training images; the schedule counts its updates by it.
    base_network : {"vgg-16", "resnet-50", "efficientnet-lite0"}
        The network that looks at the image. Default ``"vgg-16"``.
    use_pretrained_model : {1, 0}
        Whether the base network starts from ImageNet weights. Default 1.
    epochs : int
        Default 30.
    learning_rate : float
        In (0, 1]. Default 0.001.
    lr_scheduler_factor : float
        In (0, 1): what the learning rate is multiplied by at each step. Default 0.1.
    lr_scheduler_step : str
        The epochs at which it is, such as ``"10,20"``. Default ``""``: never.
    optimizer : {"sgd", "adam", "rmsprop", "adadelta"}
        Default ``"sgd"``.
    momentum : float
        In (0, 1], for ``sgd`` only. Default 0.9.
    weight_decay : float
        In (0, 1). Default 0.0005.
    mini_batch_size : int
        Images an update. Default 32.
    image_shape : int
        Side of the square that every image is resized to, at least 300. Default 300.
    label_width : int
        Numbers that the longest label of any channel takes. Default 350.
    nms_threshold : float
        In (0, 1]: overlap from which of two boxes of a class only the better is kept. Default 0.45.
    overlap_threshold : float
        In (0, 1]: overlap from which a detection counts as right in the validation mAP. Default 0.5.
    freeze_layer_pattern : str or None
        Regular expression; layers whose names match are not trained. Default none.
    kv_store : {"dist_sync", "dist_async"} or None
        How several machines exchange weights. Default none.
    early_stopping : bool
        Whether training ends when the validation mAP stops rising. Default False.
    early_stopping_min_epochs : int
        Epochs before that may happen. Default 10.
    early_stopping_patience : int
        Epochs to wait for a better one. Default 5.
    early_stopping_tolerance : float
        In [0, 1]: by how much, relatively, it must be better. Default 0.0.
    given : frozenset of str
        Names that were set explicitly; what is not set, a local recipe may fill in.

    Raises
    ------
    HyperparameterError
        If a name is unknown, a value out of range, or two values do not fit together.

    Examples
    --------
    >>> params = Hyperparameters(num_classes=5, num_training_samples=150, epochs=24)
    >>> params.learning_rate, params.evolve(learning_rate=0.01).learning_rate
    (0.001, 0.01)
    >>> sorted(params.given)
    ['epochs', 'num_classes', 'num_training_samples']
    """

    num_classes: int
    num_training_samples: int
    base_network: str
    use_pretrained_model: int
    epochs: int
    learning_rate: float
    lr_scheduler_factor: float
    lr_scheduler_step: str
    optimizer: str
    momentum: float
    weight_decay: float
    mini_batch_size: int
    image_shape: int
    label_width: int
    nms_threshold: float
    overlap_threshold: float
    freeze_layer_pattern: str | None
    kv_store: str | None
    early_stopping: bool
    early_stopping_min_epochs: int
    early_stopping_patience: int
    early_stopping_tolerance: float
    given: frozenset[str] = field(compare=False, repr=False)

    def __init__(self, **given: Unpack[HyperparameterValues]) -> None:
        self._fill(given, frozenset(given))

    def _fill(self, values: Mapping[str, object], given: frozenset[str]) -> None:
        for name, value in checked(values).items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "given", given)

    @classmethod
    def _from(cls, values: Mapping[str, object], given: frozenset[str]) -> Hyperparameters:
        made = cls.__new__(cls)
        made._fill(values, given)  # noqa: SLF001 - an instance of this very class
        return made

    @classmethod
    def for_data(cls, packed: Packed | ImageChannels, **given: Unpack[HyperparameterValues]) -> Hyperparameters:
        """Return hyperparameters that fit packed data, or images that were written with their annotations.

        ``num_classes``, ``num_training_samples`` and ``label_width`` are derived; the default
        ``mini_batch_size`` is lowered to the number of training images where there are fewer.

        Parameters
        ----------
        packed : Packed or ImageChannels
            What :func:`birdsod.pack` or :func:`birdsod.dataset.write_images` returned; it needs a ``train`` channel.
        **given
            Any other hyperparameter.

        Returns
        -------
        Hyperparameters

        Raises
        ------
        HyperparameterError
            If these are no packed data, or a given value contradicts them, is unknown or out of range.
        """
        check_packed(packed, HyperparameterError)
        derived = _derived(packed)
        made = cls._from({**derived, **given}, frozenset(given))
        for name in ("num_classes", "num_training_samples"):
            if getattr(made, name) != derived[name]:
                message = f"{name} contradicts the data, which have {derived[name]}"
                raise HyperparameterError(
                    message, path=packed.directory, value=getattr(made, name), cure="leave it out"
                )
        if made.label_width < packed.longest_label:
            message = f"label_width is below the longest label, {packed.longest_label} numbers"
            raise HyperparameterError(message, path=packed.directory, value=made.label_width, cure="leave it out")
        return made

    def evolve(self, **changes: Unpack[HyperparameterValues]) -> Hyperparameters:
        """Return a copy with some values changed; these count as given.

        Parameters
        ----------
        **changes
            Hyperparameters by name.

        Returns
        -------
        Hyperparameters

        Raises
        ------
        HyperparameterError
            As the constructor.
        """
        return self._from({**self._values(), **changes}, self.given | frozenset(changes))

    @property
    def scheduler_epochs(self) -> tuple[int, ...]:
        """The epochs of ``lr_scheduler_step`` as numbers."""
        return step_epochs(self.lr_scheduler_step)

    def to_request(self) -> dict[str, str]:
        """Return all values as the strings that a training job is created with; what is not set is left out.

        Returns
        -------
        dict of str to str

        Source
        ------
        The algorithm's hyperparameters in Amazon SageMaker's developer guide: every value is sent as text.

        Examples
        --------
        >>> Hyperparameters(num_classes=5, num_training_samples=150).to_request()["learning_rate"]
        '0.001'
        """
        return {name: str(value) for name, value in self._values().items() if value is not None and value != ""}

    @classmethod
    def from_request(cls, mapping: Mapping[str, str], *, given: Iterable[str] | None = None) -> Hyperparameters:
        """Read what :meth:`to_request` returns, or the ``hyperparams.json`` of a model archive.

        Names that the algorithm adds by itself (``nms_topk`` and those with a leading underscore) and
        empty values are passed over.

        Parameters
        ----------
        mapping : mapping of str to str
            Name to text.
        given : iterable of str, optional
            Which of them count as given. Where it is left out: those that the mapping names under
            ``_birdsod_given``, as a job of an own container is told them, else all of them.

        Returns
        -------
        Hyperparameters

        Raises
        ------
        HyperparameterError
            If a name is unknown, a value out of range, or a required one missing.

        Examples
        --------
        >>> Hyperparameters.from_request({"num_classes": "5", "num_training_samples": "150"}).num_classes
        5
        """
        known = {name: value for name, value in mapping.items() if name != "nms_topk" and not name.startswith("_")}
        values = {name: value for name, value in known.items() if name not in RULES or value not in RULES[name].absent}
        if given is None:
            given = str(mapping[GIVEN]).split(",") if GIVEN in mapping else values
        return cls._from(values, frozenset(given) & frozenset(RULES))

    def _values(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in RULES}


def _derived(packed: Packed | ImageChannels) -> dict[str, int]:
    if "train" not in packed.channels:
        cure = 'pack one: pack({"train": ..., "validation": ...}, ...)'
        raise HyperparameterError("the packed data have no train channel", path=packed.directory, cure=cure)
    samples = packed.channels["train"].records
    return {
        "num_classes": len(packed.class_table),
        "num_training_samples": samples,
        "label_width": max(LEAST_LABEL_WIDTH, packed.longest_label),
        "mini_batch_size": min(32, max(1, samples)),
    }
