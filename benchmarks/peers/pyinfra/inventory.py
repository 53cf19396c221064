"""One server; what the deploy needs to know of it is in the environment."""

import os

servers = [
    (
        os.environ["SERVER"],
        {"ssh_config_file": os.environ["SSH_CONFIG"], "given": os.environ["GIVEN"]},
    )
]
