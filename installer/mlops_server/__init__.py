"""What runs on the server between installs: model environments and workflow releases."""
