"""The container files are valid and safe.

https://docs.docker.com/reference/dockerfile/ and https://docs.docker.com/reference/compose-file/
"""

import os
import re
import shutil
import subprocess

import jsonschema
import pytest
import yaml

from tests.repository.sources import ROOT

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"

STRINGS = {"type": "array", "items": {"type": "string"}}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"}
SERVICE = {
    "type": "object",
    "anyOf": [{"required": ["image"]}, {"required": ["build"]}],
    "additionalProperties": False,
    "properties": {
        "build": {"type": "string"},
        "cap_drop": STRINGS,
        "command": STRINGS,
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["condition"],
                "additionalProperties": False,
                "properties": {
                    "condition": {"enum": ["service_started", "service_healthy", "service_completed_successfully"]}
                },
            },
        },
        "entrypoint": STRINGS,
        "environment": TEXTS,
        "healthcheck": {
            "type": "object",
            "required": ["test"],
            "additionalProperties": False,
            "properties": {
                "test": STRINGS,
                "interval": DURATION,
                "timeout": DURATION,
                "start_period": DURATION,
                "retries": {"type": "integer"},
            },
        },
        "image": {"type": "string", "pattern": r"^[a-z0-9./-]+:[\w.-]+$"},
        "init": {"type": "boolean"},
        "network_mode": {"type": "string"},
        "ports": STRINGS,
        "read_only": {"type": "boolean"},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "security_opt": STRINGS,
        "shm_size": {"type": "string"},
        "stop_grace_period": DURATION,
        "tmpfs": STRINGS,
        "user": {"type": "string"},
        "volumes": STRINGS,
    },
}
SCHEMA = {
    "type": "object",
    "required": ["name", "services", "volumes"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "services": {"type": "object", "additionalProperties": SERVICE},
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
    },
}


def compose():
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


def instructions():
    """The instructions of the Dockerfile, continuation lines joined, as (name, rest) pairs."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def last_stage():
    found = instructions()
    begin = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    return found[begin:]


def compose_plugin():
    docker = shutil.which("docker")
    return docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0


def test_docker_itself_accepts_the_compose_file():
    if not compose_plugin():
        pytest.skip("the docker client with its compose plugin is not installed; the structure is checked below")
    command = ["docker", "compose", "--file", str(COMPOSE), "config", "--quiet"]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "DOCKER_HOST": "unix:///none"})
    assert found.returncode == 0, found.stderr


def test_the_compose_file_has_the_structure_compose_wants():
    jsonschema.validate(compose(), SCHEMA)


def test_what_the_compose_file_names_exists_in_it():
    services, volumes = compose()["services"], compose()["volumes"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        named = {mount.split(":")[0] for mount in service.get("volumes", [])}
        assert named <= set(volumes)


def test_each_service_that_is_waited_for_can_become_healthy():
    services = compose()["services"]
    waited = [
        name
        for service in services.values()
        for name, wait in service.get("depends_on", {}).items()
        if wait["condition"] == "service_healthy"
    ]
    assert waited == ["database"]
    assert all("healthcheck" in services[name] for name in waited)


def test_ports_are_published_to_this_machine_only():
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8080:8080"]


def test_the_data_of_postgresql_18_lies_in_a_volume():
    database = compose()["services"]["database"]
    assert database["image"] == "postgres:18"
    assert "database:/var/lib/postgresql" in database["volumes"]


def test_no_secret_stands_in_the_container_files():
    for service in compose()["services"].values():
        environment = service.get("environment", {})
        assert not [name for name in environment if re.search(r"PASSWORD$|SECRET|TOKEN", name)]
        assert not [value for value in environment.values() if re.search(r"://[^/@:]+:[^/@]+@", value)]
    assert not [rest for name, rest in instructions() if name in {"ARG", "ENV"} and re.search("PASSWORD|SECRET", rest)]


def test_the_script_that_makes_the_secret_makes_it_once(tmp_path):
    script = compose()["services"]["secret"]["command"][0].replace("$$", "$")
    script = re.sub(r"chown \w+ \S+", "true", script).replace("/secret", str(tmp_path))
    made = []
    for _ in range(2):
        subprocess.run(["bash", "-ceu", script], check=True, capture_output=True)
        made.append([(tmp_path / name).read_text() for name in ("database", "server")])
    assert made[0] == made[1]
    password, line = made[0]
    assert re.fullmatch(r"[0-9a-f]{64}", password)
    assert line == f"*:*:*:*:{password}\n"
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("database", "server")} == {0o400}


def test_the_image_is_built_on_a_pinned_base():
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base) for base in bases)


def test_the_image_does_not_run_as_root():
    users = [rest for name, rest in last_stage() if name == "USER"]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


def test_the_image_says_whether_it_is_ready_where_it_listens_and_where_its_data_is():
    found = last_stage()
    assert any(name == "HEALTHCHECK" and "/health/ready" in rest for name, rest in found)
    assert ("EXPOSE", "8080") in found
    assert ("VOLUME", "/data") in found
    assert any(name == "ENV" and "MEDICONNECT_HOST=0.0.0.0" in rest for name, rest in found)


def test_the_image_installs_nothing_without_its_hash():
    installs = [
        part
        for name, rest in instructions()
        if name == "RUN"
        for part in rest.split("&&")
        if re.search(r"\bpip\b.* install\b", part)
    ]
    assert len(installs) == 3
    assert all("--require-hashes" in part or "--no-deps --no-index" in part for part in installs)


def test_all_the_image_copies_reaches_the_builder():
    passed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == passed
