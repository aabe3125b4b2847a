"""What starts a stack in containers and what starts it as processes: that both are told the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCKER = Path(__file__).parents[1] / "docker"
EXAMPLE = DOCKER / "stack.env.example"


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def settings() -> dict[str, str]:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secrets that the script makes, and the environment file beside them."""
    folder = tmp_path_factory.mktemp("stack")
    shutil.copy(EXAMPLE, folder / "stack.env")
    subprocess.run([DOCKER / "secrets.sh", folder / "stack.env"], check=True)
    return folder / "secrets"


def test_containers_are_told_what_the_environment_file_says() -> None:
    """Every variable of compose.yaml is in the example, and has no other default; every port is on the address that the
    file names; only the database's own image is another one.
    """
    text = (DOCKER / "compose.yaml").read_text()
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", text)) <= settings().keys()
    assert not re.search(r"(?<!\$)\$\{\w+:?-", text)
    services = compose()["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) == 4
    assert all(port.startswith("${BIND:?}:") for port in ports)
    assert settings()["BIND"] == "127.0.0.1"
    assert {name for name, service in services.items() if "build" not in service} == {"database"}
    assert all("healthcheck" in service for name, service in services.items() if name != "deepcolor")


def test_containers_are_given_no_secret_but_their_own(secrets: Path) -> None:
    """Each secret is a file that the script makes; workers get the certificate alone, and nothing is in plain text."""
    made = {file.name for file in secrets.iterdir()}
    assert {Path(each["file"]).name for each in compose()["secrets"].values()} <= made
    given = {name: set(service["secrets"]) for name, service in compose()["services"].items()}
    certificate = {"ca.pem", "team.pem", "team.key"}
    assert given["worker"] == given["worker-gpu"] == given["scheduler"] == certificate
    assert "database-owner" not in set().union(*(names for name, names in given.items() if name != "database"))
    for service in compose()["services"].values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or value.startswith("/run/secrets/"), name


def test_secrets_are_made_once_and_kept_from_others(secrets: Path) -> None:
    """A second start leaves them as they are; their folder is closed to others, and no two passwords are the same."""
    before = {file.name: file.read_bytes() for file in secrets.iterdir()}
    subprocess.run([DOCKER / "secrets.sh", secrets.parent / "stack.env"], check=True)
    assert {file.name: file.read_bytes() for file in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o077 == 0
    words = [before[name] for name in before if name.startswith(("database-", "mlflow-")) or name == "service-token"]
    assert len(set(words)) == len(words) == 6
    assert all(len(word.strip()) == 48 for word in words)


def test_a_command_gets_its_passwords_from_files(secrets: Path, tmp_path: Path) -> None:
    """In a container a variable that names a file becomes the password in it; a file that is missing is one line."""
    script, show = DOCKER / "with-secrets.sh", 'echo "$PGPASSWORD ${PGPASSWORD_FILE:-gone}"'
    command = [str(script), "sh", "-c", show]
    environment = {"PATH": "/usr/bin:/bin", "PGPASSWORD_FILE": str(secrets / "database-studies")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [(secrets / "database-studies").read_text().strip(), "gone"]
    environment["PGPASSWORD_FILE"] = str(tmp_path / "none")
    failed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "PGPASSWORD_FILE: must be a file that can be read; got" in failed.stderr


def test_docker_reads_the_file(secrets: Path) -> None:
    """Where Docker's compose plugin is installed, it takes compose.yaml with the example's settings, GPUs included."""
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        return  # The tests above hold without it.
    words = ["--env-file", str(secrets.parent / "stack.env"), "--file", str(DOCKER / "compose.yaml")]
    subprocess.run(["docker", "compose", *words, "--profile", "gpu", "config", "--quiet"], check=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("MLFLOW_PORT=none", "MLFLOW_PORT: must be a whole number from 1 to 65535; got 'none'"),
        ("MLFLOW_PROT=1", "MLFLOW_PROT: must be one of BIND, DATABASE_PORT"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, change: str, said: str) -> None:
    """It names the key, what was given, and the file; nothing has been made."""
    (tmp_path / "env").write_text(f"{change}\n")
    command = [sys.executable, str(DOCKER / "stack.py"), "up", "--env", str(tmp_path / "env")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert str(tmp_path / "env") in done.stderr
    assert done.stderr.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["env"]
