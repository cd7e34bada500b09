"""At which offsets of the log does a savepoint or checkpoint go on?

Reads its metadata in HDFS by Flink's own classes, in the JVM of the program that `flink run` started, and asks Kafka
what the log still holds; writes nothing. Flink itself does not ask: where the log has lost what the state would go on
with, its source begins at the log's first record, and where the topic was made again, in the middle of another log.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from pyflink.java_gateway import get_gateway

from flink_jobs import order_log, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import Settings

_SPLITS = "SourceReaderState"  # Flink's name of the list of what each reader of a source reads


def offsets_in(state: str, topic: str) -> dict[int, int]:
    """Partition -> offset of the first record that a savepoint or checkpoint (a path as Flink takes it) has not read.

    A partition that nobody had begun to read is left out.
    """
    found: dict[int, int] = {}
    jvm = get_gateway().jvm
    serializer = jvm.org.apache.flink.connector.kafka.source.split.KafkaPartitionSplitSerializer()
    for version, data in _splits(jvm, state):
        split = serializer.deserialize(version, data)
        if split.getTopic() == topic and split.getStartingOffset() >= 0:
            found[split.getPartition()] = split.getStartingOffset()
    return found


def _splits(jvm: Any, state: str) -> Iterator[tuple[int, bytes]]:
    """What the readers of all sources hold: the version of the form, and the bytes."""
    path = jvm.org.apache.flink.core.fs.Path(f"{state}/_metadata")
    stream = jvm.java.io.DataInputStream(path.getFileSystem().open(path))
    try:
        loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
        metadata = jvm.org.apache.flink.runtime.checkpoint.Checkpoints.loadCheckpointMetadata(stream, loader, state)
    finally:
        stream.close()
    for operator in _each(metadata.getOperatorStates()):
        for subtask in _each(operator.getStates()):
            for handle in _each(subtask.getManagedOperatorState()):
                splits = handle.getStateNameToPartitionOffsets().get(_SPLITS)
                if splits is not None:
                    yield from _listed(jvm, handle, [int(at) for at in splits.getOffsets()])


def _listed(jvm: Any, handle: Any, offsets: list[int]) -> Iterator[tuple[int, bytes]]:
    stream = handle.openInputStream()
    try:
        for offset in offsets:
            stream.seek(offset)
            # An array of bytes: its length, then, as Flink writes what has versions, version, length and data.
            (length,) = struct.unpack(">i", _read(jvm, stream, 4))
            entry = _read(jvm, stream, length)
            version, size = struct.unpack(">ii", entry[:8])
            yield version, entry[8 : 8 + size]
    finally:
        stream.close()


def _read(jvm: Any, stream: Any, length: int) -> bytes:
    return bytes(jvm.java.io.DataInputStream(stream).readNBytes(length))


def _each(collection: Any) -> Iterator[Any]:
    iterator = collection.iterator()
    while iterator.hasNext():
        yield iterator.next()


def lost(settings: Settings, run: runs.Run, offsets: Mapping[int, int]) -> list[stores.Gap]:
    """What the log has lost of what lies behind these offsets.

    Raises `UserError` if the topic is not the one that the run began to read, or ends before them.
    """
    now = order_log.topic_id(settings, run.topic)
    if run.topic_id and now != run.topic_id:
        raise UserError(
            f"topic {run.topic} was deleted and made again (its id was {run.topic_id} and is {now}): what run "
            f"{run.run_id} has counted is of another log; begin a new run"
        )
    starts, ends = order_log.topic_start_offsets(settings, run.topic), order_log.topic_end_offsets(settings, run.topic)
    for partition, offset in offsets.items():
        if offset > ends.get(partition, 0):
            raise UserError(
                f"topic {run.topic} partition {partition} ends at offset {ends.get(partition, 0)}, and run "
                f"{run.run_id} has read up to {offset}: this is not the log that it began to read; begin a new run"
            )
    return [
        stores.Gap(partition, offset, starts[partition], 0, 0)
        for partition, offset in sorted(offsets.items())
        if offset < starts.get(partition, 0)
    ]
