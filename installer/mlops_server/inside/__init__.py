"""What runs behind walls (`mlops_server.confined`): as nobody, with one new folder to write."""
