"""What begins in a process that stays, so that tests do not wait for the same start again: `flink` and `samewater`."""
