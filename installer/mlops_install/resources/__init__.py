"""The kinds of resources, one file per tool of the server."""
