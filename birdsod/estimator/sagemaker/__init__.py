"""The engine on Amazon SageMaker: training, hosting and clean-up in one's own account, over boto3 alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.estimator.sagemaker.hosting import Hosting
    from birdsod.estimator.sagemaker.ledger import Ledger, Resource
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["Cloud", "Hosting", "Ledger", "Resource"]

_HOME = {"Cloud": "session", "Hosting": "hosting", "Ledger": "ledger", "Resource": "ledger"}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
