"""One account in one region, as one boto3 session sees it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.faults import asking, boto3_module

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_iam.client import IAMClient
    from mypy_boto3_logs.client import CloudWatchLogsClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient
    from mypy_boto3_service_quotas.client import ServiceQuotasClient
    from mypy_boto3_sts.client import STSClient

__all__ = ["Cloud"]

_CONNECT_SECONDS = 10
_READ_SECONDS = 60
# A model may take 60 seconds to answer; the service then says so itself.
_ANSWER_SECONDS = 70
_ATTEMPTS = 6
_POOL = 50

# boto3 makes clients one at a time; a client itself is safe to share between threads.
_LOCK = threading.RLock()
_CLIENTS: WeakKeyDictionary[boto3.Session, dict[str, Any]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Cloud:
    """One account in one region, as one boto3 session sees it.

    Clients are made when first asked for, and shared by all that use the same session.

    Parameters
    ----------
    session : boto3.Session
        Whose credentials and region are used.

    Examples
    --------
    >>> import boto3
    >>> Cloud.of(boto3.Session(region_name="eu-west-1")).region
    'eu-west-1'
    """

    session: boto3.Session

    @classmethod
    def of(cls, session: boto3.Session | None = None) -> Cloud:
        """Return the cloud of a session.

        Parameters
        ----------
        session : boto3.Session, optional
            By default the one that boto3 itself uses by default.

        Returns
        -------
        Cloud

        Raises
        ------
        CloudError
            If the session has no region, or its profile does not exist.
        MissingDependencyError
            If boto3 is not installed.
        """
        module = boto3_module()
        with asking("open a session"):
            found = cast("boto3.Session", session or module.DEFAULT_SESSION or module.Session())
        if not found.region_name:
            cure = "set AWS_DEFAULT_REGION, or pass session=boto3.Session(region_name='us-east-1')"
            raise CloudError("the session has no region", cure=cure)
        return cls(found)

    @property
    def region(self) -> str:
        """Name of the region."""
        return self.session.region_name

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn``, ``aws-us-gov``, ..., as ARNs of the region begin."""
        return self.session.get_partition_for_region(self.region)

    @property
    def sagemaker(self) -> SageMakerClient:
        """Client that creates, describes and deletes."""
        return cast("SageMakerClient", self._client("sagemaker"))

    @property
    def runtime(self) -> SageMakerRuntimeClient:
        """Client that asks endpoints."""
        return cast("SageMakerRuntimeClient", self._client("sagemaker-runtime"))

    @property
    def s3(self) -> S3Client:
        """Client of the object store."""
        return cast("S3Client", self._client("s3"))

    @property
    def logs(self) -> CloudWatchLogsClient:
        """Client of the logs."""
        return cast("CloudWatchLogsClient", self._client("logs"))

    @property
    def sts(self) -> STSClient:
        """Client that tells who one is."""
        return cast("STSClient", self._client("sts"))

    @property
    def iam(self) -> IAMClient:
        """Client of roles."""
        return cast("IAMClient", self._client("iam"))

    @property
    def quotas(self) -> ServiceQuotasClient:
        """Client that tells what the account may use."""
        return cast("ServiceQuotasClient", self._client("service-quotas"))

    @property
    def account(self) -> str:
        """Number of the account."""
        return self._identity()["Account"]

    @property
    def caller(self) -> str:
        """ARN of who asks."""
        return self._identity()["Arn"]

    def renewed(self) -> Cloud:
        """Return the same cloud with fresh clients and, where the session finds its credentials itself, fresh ones.

        Credentials that were handed to the session are its owner's to replace; what is found in files, the
        environment or by signing in is looked up again.

        Returns
        -------
        Cloud
        """
        with _LOCK:
            # boto3 has no public way to look credentials up again.
            inner: Any = self.session._session  # noqa: SLF001 - see above
            known = inner.get_credentials()
            if known is not None and known.method != "explicit":
                inner._credentials = None  # noqa: SLF001 - see above
            _CLIENTS.pop(self.session, None)
        return Cloud(self.session)

    def find_bucket(self, given: str | None, *, create: bool = True) -> str:
        """Return the bucket that data and models are kept in.

        Parameters
        ----------
        given : str or None
            A bucket's name, or None for the default one, ``sagemaker-<region>-<account>``.
        create : bool, default True
            Whether the default one is created where it does not exist yet.

        Returns
        -------
        str

        Raises
        ------
        CloudError
            If the name is no bucket's, or the default one cannot be used.
        """
        from birdsod.estimator.sagemaker.buckets import find_bucket

        return find_bucket(self, given, create=create)

    def find_role(self, given: str | None) -> str:
        """Return the ARN of the role that jobs run as.

        Parameters
        ----------
        given : str or None
            An ARN, a role's name, or None: then it is the role of the notebook or Studio space that this runs
            in, else the one that the caller has assumed.

        Returns
        -------
        str

        Raises
        ------
        CloudError
            If there is none; the error says what to pass.
        """
        from birdsod.estimator.sagemaker.roles import find_role

        return find_role(self, given)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.region!r})"

    def _identity(self) -> dict[str, str]:
        known = _known(self.session)
        if "identity" not in known:
            with asking("find out who is asking"):
                told = self.sts.get_caller_identity()
            known["identity"] = {"Account": told["Account"], "Arn": told["Arn"]}
        return cast("dict[str, str]", known["identity"])

    def _client(self, service: str) -> object:
        with _LOCK:
            known = _known(self.session)
            if service not in known:
                with asking(f"open a client of {service}"):
                    known[service] = self.session.client(cast("Any", service), config=self._config(service))
            return known[service]

    def _config(self, service: str) -> Any:  # noqa: ANN401 - botocore has no types of its own
        from botocore.config import Config

        runtime = service == "sagemaker-runtime"
        options: dict[str, Any] = {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _ANSWER_SECONDS if runtime else _READ_SECONDS,
            "max_pool_connections": _POOL,
        }
        inner: Any = self.session._session  # noqa: SLF001 - a choice of retries made there is kept
        own = inner.get_default_client_config()
        if own is None or own.retries is None:
            options["retries"] = {"mode": "adaptive", "total_max_attempts": _ATTEMPTS}
        return Config(**options)


def _known(session: boto3.Session) -> dict[str, Any]:
    with _LOCK:
        return _CLIENTS.setdefault(session, {})
