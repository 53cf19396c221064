"""Workflow releases: from a commit to the DAGs in force."""
