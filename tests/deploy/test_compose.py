"""The container files: valid by the compose schema, and every command, setting and variable in them is a real one."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dotenv import dotenv_values
from jsonschema import Draft7Validator

from fleet.cli import cli
from fleet.settings import CONFIG_VARIABLE, PREFIX, Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("${IMAGE")}
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
VARIABLE = re.compile(r"\$\{(\w+)(?:(:?[-?+])((?:[^{}]|\$\{[^}]*\})*))?\}")


def filled(text: str, values: dict[str, str] | None = None) -> str:
    """`text` with its variables replaced by `values`, else by their defaults."""
    return VARIABLE.sub(lambda m: (values or {}).get(m[1]) or (m[3] or "" if m[2] in ("-", ":-") else "x"), text)


def commands(service: dict[str, Any]) -> list[list[str]]:
    """The command lines that a service runs, shell lines taken apart."""
    words = [filled(str(word)) for word in [*service.get("entrypoint", ["platefleet"]), *service["command"]]]
    if words[:2] != ["sh", "-c"]:
        return [words]
    parts = re.split(r"&&|\|\|", words[2])
    return [[word for word in shlex.split(part) if word != "exec"] for part in parts]


ALL_COMMANDS = [(name, words) for name, one in OURS.items() for words in commands(one)]
PLATEFLEET = [(name, words[1:]) for name, words in ALL_COMMANDS if words[0] == "platefleet"]


def test_the_file_fits_the_compose_schema() -> None:
    found = importlib.util.find_spec("check_jsonschema")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder = Path(found.submodule_search_locations[0]) / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text("utf-8"))
    problems = [
        f"{'/'.join(map(str, p.absolute_path))}: {p.message}" for p in Draft7Validator(schema).iter_errors(COMPOSE)
    ]
    assert problems == []
    broken = {"services": {"a": {"image": 3, "comand": "x"}}}
    assert list(Draft7Validator(schema).iter_errors(broken)), "the schema does check something"


def test_all_the_parts_are_there() -> None:
    assert {"kafka", "clickhouse", "ray-head", "ray-worker", "workers", "topics", "migrate", "simulator"} <= set(
        SERVICES
    )
    profiles = {profile for one in SERVICES.values() for profile in one.get("profiles", [])}
    assert profiles == {"cluster", "deliver", "gpu", "demo", "live"}
    assert {name for name, one in SERVICES.items() if "cluster" in one.get("profiles", [])} == {"kafka-2", "kafka-3"}
    roles = {SERVICES[name]["environment"]["PLATEFLEET_STREAM_ROLES"] for name in ("tracker", "vehicles", "sink")}
    assert roles == {"tracker", "vehicles", "sink"}
    assert {words[0] for _, words in PLATEFLEET} == {
        "topics", "migrate", "workers", "streams", "deliver", "simulate", "publish",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("service", "arguments"), PLATEFLEET, ids=lambda value: value if isinstance(value, str) else ""
)
def test_commands_are_real_and_their_options_valid(service: str, arguments: list[str]) -> None:
    command = cli.get_command(click.Context(cli), arguments[0])
    assert command is not None
    # parses as the command line does, and runs nothing
    command.make_context(arguments[0], list(arguments[1:]))


def test_the_commands_start() -> None:
    for name in sorted({words[0] for _, words in PLATEFLEET}):
        done = subprocess.run(
            [sys.executable, "-m", "fleet", name, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert "Usage: " in done.stdout


def test_ray_nodes_are_started_with_options_that_ray_knows() -> None:
    from ray.scripts.scripts import cli as ray_cli

    lines = [words[1:] for _, words in ALL_COMMANDS if words[0] == "ray"]
    lines += [
        one["healthcheck"]["test"][2:] for one in OURS.values() if one["healthcheck"].get("test", [""])[1:2] == ["ray"]
    ]
    assert len(lines) >= 5
    for words in lines:
        command = ray_cli.get_command(click.Context(ray_cli), words[0])
        assert command is not None
        command.make_context(words[0], [str(word) for word in words[1:]])


def test_other_commands_are_no_surprise() -> None:
    assert {words[0] for _, words in ALL_COMMANDS} <= {"platefleet", "ray", "test"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_is_known_and_goes_together(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment = {key: filled(str(value)) for key, value in OURS[name].get("environment", {}).items()}
    ours = {key: value for key, value in environment.items() if key.startswith(PREFIX)}
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {CONFIG_VARIABLE}
    assert set(ours) <= known
    assert all(key.startswith(("PLATEFLEET_", "RAY_")) for key in environment)
    monkeypatch.chdir(tmp_path)
    for key in known:
        monkeypatch.delenv(key, raising=False)
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    load_settings()


def test_no_password_is_written_down() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET|STORE_URL", key):
                assert re.search(r"\$\{(CLICKHOUSE_PASSWORD|RAY_AUTH_TOKEN):\?set ", str(value)), f"{name}: {key}"
    example = dotenv_values(ROOT / ".env.example")
    assert {key: value for key, value in example.items() if value} == {}, "secrets are left for the user to fill in"
    assert set(example) == {"CLICKHOUSE_PASSWORD", "RAY_AUTH_TOKEN"}


def test_every_variable_is_in_the_example_with_its_default() -> None:
    used = {match[1]: (match[2] or "", match[3] or "") for match in VARIABLE.finditer(TEXT)}
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    told = dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_0-9]+=", line))
    assert set(told) == set(used)
    for name, (kind, default) in used.items():
        if kind.endswith("-") and name != "CAMERA_ADDRESS":
            assert told[name] == default, name
    cluster = dotenv_values(ROOT / "deploy" / "cluster.env")
    assert set(cluster) <= set(used)
    assert str(cluster["KAFKA_BROKERS"]).count(",") == 2
    assert cluster["KAFKA_REPLICATION"] == "3"


def test_the_whole_example_is_no_obstacle_to_commands_on_the_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    (tmp_path / ".env").write_text("\n".join(re.sub(r"^#(?=[A-Z_0-9]+=)", "", line) for line in lines))
    assert len(dotenv_values(tmp_path / ".env")) > 10
    monkeypatch.chdir(tmp_path)
    for key in [key for key in os.environ if key.startswith(PREFIX)]:
        monkeypatch.delenv(key)
    load_settings()


def test_every_service_of_ours_takes_further_settings_from_one_file() -> None:
    for name, service in OURS.items():
        assert service["env_file"] == [{"path": "platefleet.env", "required": False}], name
    assert "platefleet.env" in (ROOT / ".gitignore").read_text("utf-8").splitlines(), "it holds passwords"
    # what `environment` lists wins over the file, so that it may hold no more than each service needs
    listed = {key for one in OURS.values() for key in one.get("environment", {})}
    assert not [key for key in listed if key.startswith(("PLATEFLEET_KAFKA_", "PLATEFLEET_KEEP_"))]


def test_dependencies_are_services_with_the_right_condition() -> None:
    jobs = {"topics", "migrate", "simulator"}
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in jobs else "service_healthy"
            assert how["condition"] == wanted, f"{name} on {other}"
            assert "healthcheck" in SERVICES[other]
            hidden = set(SERVICES[other].get("profiles", [])) - set(service.get("profiles", []))
            assert not hidden or how.get("required") is False, f"{name} would not start without {other}'s profile"


def test_volumes_are_declared_and_used() -> None:
    used = {volume.split(":")[0] for one in SERVICES.values() for volume in one.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_are_bounded_and_closed(name: str) -> None:
    service = SERVICES[name]
    assert "memory" in service["deploy"]["resources"]["limits"]
    assert "healthcheck" in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "privileged" not in service
    assert not service["image"].endswith(("latest", "latest}"))
    if name in OURS:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service, "the image's own user, which is not root"
        ready = "--ready-file" in " ".join(str(word) for word in service.get("command", []))
        assert ready == (service["healthcheck"].get("test") == ["CMD", "test", "-e", "/tmp/ready"])


def test_the_gpu_is_reserved_in_its_profile_only() -> None:
    for name, service in SERVICES.items():
        devices = service["deploy"]["resources"].get("reservations", {}).get("devices", [])
        assert bool(devices) == ("gpu" in service.get("profiles", [])), name


def test_three_brokers_know_each_other() -> None:
    brokers = [SERVICES[name] for name in ("kafka", "kafka-2", "kafka-3")]
    assert [one["environment"]["KAFKA_NODE_ID"] for one in brokers] == ["1", "2", "3"]
    values = {key: str(value) for key, value in dotenv_values(ROOT / "deploy" / "cluster.env").items()}
    voters = filled(brokers[0]["environment"]["KAFKA_CONTROLLER_QUORUM_VOTERS"], values)
    assert voters == "1@kafka:9093,2@kafka-2:9093,3@kafka-3:9093"
    assert filled(brokers[0]["environment"]["KAFKA_CONTROLLER_QUORUM_VOTERS"]) == "1@kafka:9093"


def test_the_host_reaches_each_broker_where_that_says_it_is() -> None:
    ports = set()
    for name in ("kafka", "kafka-2", "kafka-3"):
        environment = SERVICES[name]["environment"]
        assert environment["KAFKA_LISTENERS"].endswith(",HOST://:19092")
        assert "HOST:PLAINTEXT" in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]
        told = filled(environment["KAFKA_ADVERTISED_LISTENERS"]).partition("HOST://")[2]
        (published,) = map(filled, SERVICES[name]["ports"])
        assert published == f"127.0.0.1:{told.removeprefix('localhost:')}:19092"
        ports.add(told)
    assert len(ports) == 3


def test_the_image_is_locked_and_not_root() -> None:
    lines = [line.strip() for line in DOCKERFILE.splitlines()]
    assert [line for line in lines if line.startswith("FROM")] == [
        "FROM python:3.11-slim AS build",
        "FROM python:3.11-slim",
    ]
    last = DOCKERFILE.split("FROM python:3.11-slim\n")[1]
    assert "USER 10001:10001" in last
    assert last.index("USER") > last.index("COPY --from=build")
    assert "--require-hashes --only-binary :all: -r requirements.lock" in DOCKERFILE
    assert 'ENTRYPOINT ["platefleet"]' in last
    assert "HEALTHCHECK" in last
    for name in re.findall(r"(PLATEFLEET_\w+)=", last):
        assert name.removeprefix(PREFIX).lower() in Settings.model_fields


def test_the_image_gets_all_rooms_and_no_more() -> None:
    kept = {line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "bench")}
    assert kept == packages | {"pyproject.toml", "requirements.lock", "README.md", "LICENSE"}
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
