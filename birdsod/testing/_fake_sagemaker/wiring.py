"""Sessions that are wired to a fake, by a configuration of their own."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from birdsod.errors import MissingDependencyError

if TYPE_CHECKING:
    import boto3
    from botocore.loaders import Loader

__all__ = ["SERVICES", "loader", "wired"]

SERVICES = ("SAGEMAKER", "SAGEMAKER_RUNTIME", "CLOUDWATCH_LOGS", "S3", "IAM", "STS", "SERVICE_QUOTAS")
"""The services of the fake, as environment variables name them."""


def wired(url: str, region: str, key: str, secret: str, token: str | None = None) -> boto3.Session:
    """Return a session all of whose clients speak to one address.

    Parameters
    ----------
    url : str
        The address.
    region : str
        Region of the session.
    key, secret, token : str
        Credentials.

    Returns
    -------
    boto3.Session

    Raises
    ------
    MissingDependencyError
        If boto3 is not installed.
    """
    try:
        import boto3
        import botocore.session
        from botocore.config import Config
    except ImportError as error:
        raise MissingDependencyError("boto3 is not installed", cure='pip install "birdsod[testing]"') from error

    class WiredSession(botocore.session.Session):
        """Gives every client the address, which nothing in the environment or a configuration file overrules."""

        def create_client(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the base class
            # Proxies of the environment would be asked for the loopback address.
            config = Config(proxies={})
            given = options.get("config")
            options["config"] = config if given is None else config.merge(given)
            if options.get("endpoint_url") is None:
                options["endpoint_url"] = url
            return super().create_client(*args, **options)

    models = loader()
    # Neither the user's profile nor the user's files have a say.
    inner = WiredSession(session_vars={"profile": (None, None, None, None)})
    inner.set_config_variable("config_file", os.devnull)
    inner.set_config_variable("credentials_file", os.devnull)
    inner.register_component("data_loader", models)
    session = boto3.Session(
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        region_name=region,
        botocore_session=inner,
    )
    # Each session would append the same folder once more.
    models.search_paths[:] = dict.fromkeys(models.search_paths)
    return session


@cache
def loader() -> Loader:
    """Return what reads the models of the services, once: they are large, and sessions of tests are many.

    Returns
    -------
    botocore.loaders.Loader
    """
    from botocore.loaders import Loader

    return Loader(include_default_search_paths=True)
