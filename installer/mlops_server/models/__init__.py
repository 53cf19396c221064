"""The models of a project, as both sides read them: the one that locks and the one that builds."""

from mlops_server.errors import EnvError


class ProjectError(EnvError):
    """A model, or the project, is not as it has to be."""
