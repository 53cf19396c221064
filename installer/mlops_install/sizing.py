"""Numbers that follow from the size of the server. Measured: docs/performance.md."""

from dataclasses import dataclass

from mlops_install.facts import Facts
from mlops_install.settings import Config

WORKER_MB = 60
"""Memory of a task that does nothing, rounded up (30 to 42 MiB measured)."""


@dataclass(frozen=True)
class Sizing:
    """parallelism is per scheduler; memory in MiB."""

    parallelism: int
    api_workers: int
    parsing_processes: int
    max_connections: int
    shared_buffers_mb: int
    effective_cache_mb: int
    work_mem_mb: int
    maintenance_mem_mb: int


def size(config: Config, facts: Facts) -> Sizing:
    """Choose for this server; a number in the config wins."""
    airflow, postgres = config.airflow, config.postgres
    workers = airflow.api_workers or _clamp(facts.cpus, 2, 4)
    buffers = postgres.shared_buffers_mb or _clamp(facts.memory_mb // 8, 128, 4096)
    connections = postgres.max_connections or _connections(airflow.schedulers, workers)
    return Sizing(
        parallelism=airflow.parallelism or _parallelism(airflow.schedulers, facts),
        api_workers=workers,
        parsing_processes=_clamp(facts.cpus // 2, 1, 4),
        max_connections=connections,
        shared_buffers_mb=buffers,
        effective_cache_mb=max(facts.memory_mb // 3, buffers),
        work_mem_mb=_clamp(facts.memory_mb // 16 // connections, 4, 64),
        maintenance_mem_mb=_clamp(facts.memory_mb // 32, 64, 1024),
    )


def _parallelism(schedulers: int, facts: Facts) -> int:
    fits = facts.memory_mb // 4 // WORKER_MB // schedulers
    return max(4, min(_clamp(4 * facts.cpus, 8, 32), fits))


def _connections(schedulers: int, api_workers: int) -> int:
    """15 per scheduler, 30 per API process, dag-processor, triggerer (sync and async pools).

    With room for two more schedulers and three API workers, in hundreds: another number restarts
    PostgreSQL, and with it everything.
    """
    most = 15 * (schedulers + 2) + 30 * (max(api_workers, 3) + 1) + 30 + 30 + 20
    return -(-most // 100) * 100


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
