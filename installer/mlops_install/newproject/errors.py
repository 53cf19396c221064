"""What a check of a project ends with."""

from mlops_install.errors import MlopsError


class CheckError(MlopsError):
    """A check of a project failed, or could not be made."""
