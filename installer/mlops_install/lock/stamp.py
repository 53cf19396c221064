"""The head of conda-lock.yml: the server reads it too."""

from mlops_server.models.stamp import Head, head, line

__all__ = ["Head", "head", "line"]
