"""The local stack: real servers as plain processes, watched by supervisord.

`instance` says where it stands, `servers` what it consists of, `ready` when it is of use; `control` starts and
stops it. `container` starts one server alone, in a container of its own.
"""

from flink_jobs.stack.cli import stack_commands
from flink_jobs.stack.instance import Instance, create_instance, find_instance, open_instance, settings_file, to_toml
from flink_jobs.stack.servers import behind_live_work, flink_bin, flink_env, sql_client

__all__ = [
    "Instance",
    "behind_live_work",
    "create_instance",
    "find_instance",
    "flink_bin",
    "flink_env",
    "open_instance",
    "settings_file",
    "sql_client",
    "stack_commands",
    "to_toml",
]
