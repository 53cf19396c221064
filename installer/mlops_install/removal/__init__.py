"""Taking off what the journal says that the installer brought onto a server.

`found` asks the server, `plan` decides what goes and what stays (pure), `parts` are the changes.
"""
