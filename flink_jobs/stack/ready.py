"""Is this server of use already? One question per server, asked as a client of ours would ask it.

Reads and writes only what the question needs (a key, a file), and removes it. Each question is bounded: it returns
when the server did its work, and raises whatever went wrong when it did not. An open port is no answer.
"""

from __future__ import annotations

import socket
from typing import Any

import happybase
import psutil
import redis
import requests
from kafka import KafkaAdminClient

from flink_jobs.settings import Settings

SECONDS = 5  # the longest a server may take to answer one question
SLOTS = 4  # taskmanager.numberOfTaskSlots in conf/{realtime,batch}/config.yaml


class NotReady(Exception):
    """The server answered, but not yet as one that can work."""


def _get(url: str) -> Any:
    answer = requests.get(url, timeout=SECONDS)
    answer.raise_for_status()
    return answer.json()


def kafka(settings: Settings) -> None:
    """Kafka tells who is in the cluster and which topics there are."""
    host, _, port = settings.kafka.bootstrap.rpartition(":")
    socket.create_connection((host, int(port)), timeout=SECONDS).close()  # the admin client would leave a thread behind
    admin = KafkaAdminClient(
        bootstrap_servers=settings.kafka.bootstrap,
        request_timeout_ms=SECONDS * 1000,
        bootstrap_timeout_ms=SECONDS * 1000,
    )
    try:
        admin.list_topics()
        if not admin.describe_cluster()["brokers"]:
            raise NotReady("no broker has registered")
    finally:
        admin.close()


def redis_server(settings: Settings) -> None:
    """Redis takes a write (it refuses while it loads its log)."""
    with redis.Redis(
        settings.redis.host,
        settings.redis.port,
        settings.redis.db,
        socket_timeout=SECONDS,
        socket_connect_timeout=SECONDS,
    ) as client:
        client.set(f"{settings.redis.prefix}:ready", 1, px=1)


def namenode(settings: Settings) -> None:
    """The NameNode answers for the root folder."""
    _get(f"http://{settings.hdfs.webhdfs}/webhdfs/v1/?op=GETFILESTATUS")


def datanode(settings: Settings) -> None:
    """HDFS is out of safe mode, and a file can be written, read back and removed."""
    jmx = f"http://{settings.hdfs.webhdfs}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
    state = _get(jmx)["beans"][0]
    if state["NumLiveDataNodes"] < 1:
        raise NotReady("no DataNode has reported")
    if state["FSState"] != "Operational":
        raise NotReady(f"the NameNode is in state {state['FSState']}")
    file = f"http://{settings.hdfs.webhdfs}/webhdfs/v1{settings.hdfs.root}/.ready"
    user = {"user.name": settings.hdfs.user}
    text = b"ready?"
    requests.put(
        file, params={"op": "CREATE", "overwrite": "true", **user}, data=text, timeout=SECONDS
    ).raise_for_status()
    read = requests.get(file, params={"op": "OPEN", **user}, timeout=SECONDS)
    read.raise_for_status()
    requests.delete(file, params={"op": "DELETE", **user}, timeout=SECONDS).raise_for_status()
    if read.content != text:
        raise NotReady(f"wrote {text!r} and read {read.content!r}")


def hbase_master(address: str) -> None:
    """HBase's master is the active one and has finished its start."""
    beans = _get(f"http://{address}/jmx?qry=Hadoop:service=HBase,name=Master,sub=Server")["beans"]
    if not beans or beans[0].get("tag.isActiveMaster") != "true":
        raise NotReady("the master is not active")
    if beans[0].get("masterFinishedInitializationTime", 0) <= 0:
        raise NotReady("the master is still starting")


def hbase_regions(master: str) -> None:
    """The master knows a region server that is alive."""
    beans = _get(f"http://{master}/jmx?qry=Hadoop:service=HBase,name=Master,sub=Server")["beans"]
    if not beans or beans[0].get("numRegionServers", 0) < 1:
        raise NotReady("no region server has reported")


def zookeeper(host: str, port: int) -> None:
    """ZooKeeper says that it serves."""
    with socket.create_connection((host, port), timeout=SECONDS) as connection:
        connection.settimeout(SECONDS)
        connection.sendall(b"ruok")
        if connection.recv(4) != b"imok":
            raise NotReady("it does not serve yet")


def hbase_thrift(settings: Settings) -> None:
    """The Thrift server lists the tables, which it must ask the master for."""
    connection = happybase.Connection(settings.hbase.host, settings.hbase.port, timeout=SECONDS * 1000)
    try:
        connection.tables()
    finally:
        connection.close()


def screen(address: str) -> None:
    """The screen answers; whether the stores do is for it to tell."""
    _get(f"{address}/alive")


def jobmanager(rest: str) -> None:
    """The JobManager's REST interface tells what runs."""
    _get(f"http://{rest}/overview")


def taskmanager(rest: str, pid: int) -> None:
    """All slots are there, and they are this process's: a killed TaskManager counts until its heartbeat times out."""
    slots = _get(f"http://{rest}/overview")["slots-total"]
    if slots != SLOTS:
        raise NotReady(f"the cluster has {slots} slots instead of {SLOTS}")
    known = {manager["dataPort"] for manager in _get(f"http://{rest}/taskmanagers")["taskmanagers"]}
    listening = {connection.laddr.port for connection in psutil.Process(pid).net_connections("tcp")}
    if known.isdisjoint(listening):
        raise NotReady("the JobManager knows only an earlier TaskManager")
