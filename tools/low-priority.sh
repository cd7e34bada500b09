#!/bin/sh
# low-priority.sh CGROUP COMMAND...: run COMMAND behind the live work. nice 10 always; the CPU cgroup only where `up` could make one.
if [ -w "$1/cgroup.procs" ]; then
    echo $$ > "$1/cgroup.procs"
fi
shift
exec nice -n 10 "$@"
