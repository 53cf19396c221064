"""What a server says about itself, for tests without one."""

FACTS = """\
os_id=debian
os_version=12
os_codename=bookworm
machine=x86_64
hostname=ml
cpus=4
memory_mb=8000
disk_mb=50000
var_mb=50000
init=systemd
server_name=
installed=
time_daemon=
last_run=
"""
