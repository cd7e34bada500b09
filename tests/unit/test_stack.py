"""The local stack's own reasoning: ports, folders, templates, and which processes are ours. No server is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import psutil
import pytest

from flink_jobs.errors import UserError
from flink_jobs.settings import ROOT, Settings
from flink_jobs.stack import cgroup, control, instance, processes, ready, servers
from flink_jobs.stack.instance import BLOCKS, Instance, block

DEMO = Settings.load(ROOT / "conf" / "samewater.toml")
TEMPLATES = [
    file
    for folder in ("stack", "realtime", "batch")
    for file in sorted((ROOT / "conf" / folder).rglob("*"))
    if file.is_file() and file.name != "program.conf"
]


def test_the_demo_uses_the_block_of_ports_that_its_settings_begin():
    assert Instance(DEMO, Path("/x")).ports == block(19_000)


def test_no_two_servers_share_a_port():
    assert len(set(block(19_000).values())) == len(block(19_000)) == 18
    assert set(block(19_000).values()).isdisjoint(block(19_100).values())


def test_a_port_that_the_settings_move_is_the_one_that_is_used():
    moved = DEMO.model_copy(update={"redis": DEMO.redis.model_copy(update={"port": 7})})
    assert Instance(moved, Path("/x")).ports == block(19_000) | {"redis": 7}


def test_a_new_instance_avoids_ports_remembered_and_ports_in_use(monkeypatch):
    first, second, third = BLOCKS[:3]
    in_use = block(second)["kafka"]
    monkeypatch.setattr(instance, "is_free", lambda port: port != in_use)
    assert instance.free_block([block(first)["redis"]]) == third


def test_a_new_instance_remembers_its_ports_and_keeps_the_rules_of_time(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMEWATER_HOME", str(tmp_path))
    monkeypatch.setattr(instance, "is_free", lambda port: True)
    one, two = instance.create_instance("one"), instance.create_instance("two")
    assert one.ports == block(BLOCKS[0])
    assert two.ports == block(BLOCKS[1])
    assert instance.create_instance("one") == one
    assert one.folder == tmp_path / "one"
    assert one.settings.time == DEMO.time
    assert one.settings.instance == "one"


def test_written_settings_read_back_as_they_were():
    assert Settings.model_validate(tomllib.loads(instance.to_toml(DEMO.model_dump()))) == DEMO


@pytest.mark.parametrize("name", ["A", "a b", "../x", "", "x" * 33, "client"])
def test_an_instance_name_that_cannot_be_a_folder_is_refused(name, monkeypatch, tmp_path):
    monkeypatch.setenv("SAMEWATER_HOME", str(tmp_path))
    with pytest.raises(UserError, match="no instance name"):
        instance.create_instance(name)


def test_servers_of_the_users_own_are_not_ours_to_start():
    own = DEMO.model_copy(update={"flink": DEMO.flink.model_copy(update={"batch": DEMO.flink.realtime.model_copy()})})
    assert instance.open_instance(own).name == "demo"
    cluster = DEMO.flink.realtime.model_copy(update={"conf_dir": ""})
    own = DEMO.model_copy(update={"flink": DEMO.flink.model_copy(update={"realtime": cluster})})
    with pytest.raises(UserError, match="of your own"):
        instance.open_instance(own)
    assert servers.flink_env(own, "realtime") == dict(os.environ)


@pytest.mark.parametrize(("cluster", "nice"), [("batch", 10), ("realtime", 0)])
def test_a_client_of_the_batch_cluster_runs_behind_live_work(cluster, nice):
    command = [*servers.behind_live_work(DEMO, cluster), "nice"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(said.stdout) == min(os.nice(0) + nice, 19)


def test_a_client_of_a_cluster_of_the_users_own_runs_as_it_is():
    cluster = DEMO.flink.batch.model_copy(update={"conf_dir": ""})
    own = DEMO.model_copy(update={"flink": DEMO.flink.model_copy(update={"batch": cluster})})
    assert servers.behind_live_work(own, "batch") == ()


def test_the_cpu_group_stands_back_once_its_processes_have_started(tmp_path):
    place = Instance(DEMO, tmp_path)
    if cgroup.make(place) is not None:
        pytest.skip("no CPU cgroup is permitted here")
    group = cgroup.folder(place)
    switches = [group / name for name in ("cpu.idle", "cpu.weight", "cpu.shares")]
    usual = {file: file.read_text() for file in switches if file.exists()}
    cgroup.lower(place)
    if (group / "cpu.idle").exists():
        assert int((group / "cpu.idle").read_text()) == 1
    assert {file: file.read_text() for file in usual} != usual
    assert cgroup.make(place) is None, "as after a supervisord that was killed"
    assert {file: file.read_text() for file in usual} == usual
    cgroup.remove(place)


@pytest.mark.parametrize(
    ("files", "back", "usual"),
    [
        ({"cpu.idle": "0", "cpu.shares": "1024"}, {"cpu.idle": "1", "cpu.shares": "1024"}, "0"),
        ({"cpu.weight": "100"}, {"cpu.weight": "1"}, "100"),
        ({"cpu.shares": "1024"}, {"cpu.shares": "10"}, "1024"),
    ],
    ids=["idle", "version 2 of an older kernel", "version 1 of an older kernel"],
)
def test_a_kernel_without_cpu_idle_gives_the_group_the_least_share(files, back, usual, tmp_path, monkeypatch):
    root = tmp_path / "cgroup"
    monkeypatch.setattr(cgroup, "ROOT", root)
    controllers = root if "cpu.weight" in files else root / "cpu"
    controllers.mkdir(parents=True)
    (controllers / ("cgroup.controllers" if controllers == root else "cpu.shares")).write_text("cpu")
    (root / "cgroup.subtree_control").write_text("cpu")
    place = Instance(DEMO, tmp_path)
    group = cgroup.folder(place)
    group.mkdir()
    for name, value in files.items():
        (group / name).write_text(value)
    cgroup.lower(place)
    assert {name: (group / name).read_text() for name in files} == back
    assert cgroup.make(place) is None
    assert (group / next(iter(files))).read_text() == usual


def test_a_client_that_is_still_open_does_not_keep_the_cpu_group(tmp_path):
    place = Instance(DEMO, tmp_path)
    if cgroup.make(place) is not None:
        pytest.skip("no CPU cgroup is permitted here")
    group = cgroup.folder(place)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as client:
        (group / "cgroup.procs").write_text(str(client.pid))
        cgroup.remove(place)
        assert not group.exists()
        assert client.poll() is None
        client.stdin.close()
    assert client.returncode == 0


def test_a_folder_that_the_servers_configuration_cannot_name_is_refused(monkeypatch):
    monkeypatch.setenv("SAMEWATER_HOME", "/tmp/with space")
    with pytest.raises(UserError, match="with space"):
        instance.open_instance(DEMO)


def test_the_control_socket_stays_short_and_its_own_in_a_deep_folder():
    deep, deeper = Instance(DEMO, Path("/x" * 60)), Instance(DEMO, Path("/x" * 61))
    assert Instance(DEMO, Path("/x")).socket == Path("/x/supervisord.sock")
    assert len(str(deep.socket)) < 95
    assert deep.socket != deeper.socket


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_template_can_be_filled_in(template):
    text = servers.fill(template.read_text(), servers.template_values(Instance(DEMO, Path("/x"))))
    assert text.strip()
    assert not re.search(r"\{\{\w", text)


def test_a_template_with_an_unknown_name_is_not_filled_in():
    with pytest.raises(KeyError, match="nonsense"):
        servers.fill("a {{nonsense}}", {"folder": "/x"})


@pytest.mark.parametrize("cluster", servers.CLUSTERS)
def test_readiness_expects_the_slots_that_the_cluster_is_given(cluster):
    config = (ROOT / "conf" / cluster / "config.yaml").read_text()
    assert re.findall(r"^taskmanager.numberOfTaskSlots: (\d+)$", config, re.M) == [str(ready.SLOTS)]


def test_a_worker_whose_taskmanager_is_gone_is_an_orphan_and_one_whose_lives_is_not():
    supervisord, taskmanager, shell, worker, lost, lost_child = 10, 11, 12, 13, 14, 15
    parents = {supervisord: 1, taskmanager: supervisord, shell: taskmanager, worker: shell, lost: 1, lost_child: lost}
    assert processes.orphans(parents, supervisord) == {lost, lost_child}


def test_without_supervisord_every_process_of_ours_is_an_orphan():
    assert processes.orphans({11: 10, 12: 11}, None) == {11, 12}


def test_only_processes_with_the_instances_mark_are_found_and_ended(tmp_path):
    wait = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]

    def start(folder: Path) -> subprocess.Popen[bytes]:
        environment = dict(os.environ) | {processes.MARK: str(folder)}
        child = subprocess.Popen(wait, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()
        return child

    with start(tmp_path / "a") as ours, start(tmp_path / "ab") as other:
        found = processes.marked(tmp_path / "a")
        assert list(found) == [ours.pid]
        processes.end(list(found.values()))
        assert not psutil.pid_exists(ours.pid)
        assert other.poll() is None
        other.kill()


def test_the_end_of_a_log_is_its_last_lines(tmp_path):
    file = tmp_path / "log"
    file.write_text("".join(f"{n} {'x' * 500}\n" for n in range(1000)))
    assert [line.split()[0] for line in control.tail(file, 3).splitlines()] == ["997", "998", "999"]
    assert "nothing" in control.tail(tmp_path / "none", 3)
