"""The object store for large results of tasks: `s3://CONNECTION@BUCKET/…` in Airflow.

s3fs is installed when the config asks for it. Airflow's Amazon provider would bring 26 packages.
"""

from typing import Any

schemes = ["s3"]
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"  # those of the server, not botocore's own
CLIENT = ("endpoint_url", "region_name")


def get_fs(conn_id: str | None, storage_options: dict[str, Any] | None = None) -> Any:
    """The file system of fsspec for a connection of type aws. Without one: as botocore finds it."""
    from s3fs import S3FileSystem

    return S3FileSystem(**(_options(conn_id) if conn_id else {}), **(storage_options or {}))


def _options(conn_id: str) -> dict[str, Any]:
    from airflow.sdk import BaseHook

    found = BaseHook.get_connection(conn_id)
    extra = found.extra_dejson
    client = {name: extra[name] for name in CLIENT if extra.get(name)}
    return {
        "key": found.login,
        "secret": found.password,
        "token": extra.get("aws_session_token"),
        "client_kwargs": {**client, "verify": AUTHORITIES},
    }
