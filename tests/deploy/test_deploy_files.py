"""The files in ``deploy/``, by the tools of their field and by what they promise each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import program
from promql_parser import parse

from guard.gunicorn import graceful_timeout_s
from guard.metrics import ALL
from guard.settings import load
from guard.settings.check import check

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
NO_RESOURCES = ("kustomization.yaml", "prometheus-adapter.yaml")
MARGIN_S = 5


def run(*command: object) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((KUBERNETES / name).read_text())
    return found


@pytest.fixture
def pod() -> dict[str, Any]:
    found: dict[str, Any] = document("deployment.yaml")["spec"]["template"]["spec"]
    return found


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    file = tmp_path / "guard.env"
    file.write_text(document("configmap.yaml")["data"]["guard.env"])
    environment = {
        "GUARD_CONFIG_FILE": str(file),
        "GUARD_DATABASE_URL": "postgresql://warriors@database/warriors",
        "GUARD_ADMIN_TOKEN": "x" * 32,
        "PORT": "8000",
    }
    return load(environment).settings


def test_the_manifests_fit_their_schemas() -> None:
    files = [file for file in KUBERNETES.glob("*.yaml") if file.name not in NO_RESOURCES]
    run(tool("kubernetes-validate"), "--strict", *files)
    named = set(document("kustomization.yaml")["resources"])
    assert named == {file.name for file in files}


def test_the_unit_is_clean_and_hardened(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    text = (DEPLOY / "systemd" / "warriors.service").read_text()
    # Only what is there can be verified as executable.
    command = tmp_path / "gunicorn"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / "warriors.service"
    unit.write_text(text.replace("/opt/warriors/bin/gunicorn", str(command)))
    # An unknown key is no error to it, only a line; it also has lines about other units.
    assert unit.name not in run(analyze, "verify", "--man=no", unit)
    run(analyze, "security", "--offline=yes", "--threshold=20", unit)


def test_every_locked_version_becomes_a_constraint() -> None:
    locked = [
        line for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line
    ]
    done = subprocess.run(
        ["sh", DEPLOY / "constraints.sh", ROOT / "requirements.lock"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == len(locked)
    assert not [line for line in lines if "[" in line or "\\" in line or "hash" in line]


def test_the_settings_are_good_and_the_guard_can_fire(settings: Any) -> None:
    report = check(settings, memory_mib=512, ask=None)
    assert not report.problems, report.problems


def test_the_connections_fit_what_the_comment_says(settings: Any) -> None:
    text = (KUBERNETES / "autoscaler.yaml").read_text()
    most = document("autoscaler.yaml")["spec"]["maxReplicas"]
    pools = settings.read_pool_size + settings.write_pool_size
    need = most * settings.workers * pools * 2
    said = (
        f"{most} x {settings.workers} x ({settings.read_pool_size} + {settings.write_pool_size}) "
        f"x 2 = {need}"
    )
    assert said in text


def test_the_probes_ask_the_admin_port(container: dict[str, Any], settings: Any) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["admin"] == int(settings.admin_bind.rpartition(":")[2])
    assert ports["http"] == settings.port
    for probe, path in (("liveness", "/livez"), ("readiness", "/readyz"), ("startup", "/livez")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "admin"}


def test_there_is_time_to_drain(
    pod: dict[str, Any], container: dict[str, Any], settings: Any
) -> None:
    before_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    readiness = container["readinessProbe"]
    assert before_s > readiness["periodSeconds"] * readiness["failureThreshold"]
    need_s = before_s + graceful_timeout_s(settings) + MARGIN_S
    assert pod["terminationGracePeriodSeconds"] >= need_s
    unit = (DEPLOY / "systemd" / "warriors.service").read_text()
    (stop_s,) = [line for line in unit.splitlines() if line.startswith("TimeoutStopSec=")]
    assert int(stop_s.partition("=")[2]) >= graceful_timeout_s(settings) + MARGIN_S


def test_the_pod_may_do_little(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["automountServiceAccountToken"] is False
    rights = container["securityContext"]
    assert rights["readOnlyRootFilesystem"]
    assert not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]
    # What is written goes to memory; the user is the image's.
    writable = [each["name"] for each in container["volumeMounts"] if not each.get("readOnly")]
    assert writable == ["tmp"]
    assert f"USER {pod['securityContext']['runAsUser']}" in (DEPLOY / "Dockerfile").read_text()


def test_an_eviction_leaves_somebody_to_serve() -> None:
    least = document("autoscaler.yaml")["spec"]["minReplicas"]
    assert least > document("disruption.yaml")["spec"]["maxUnavailable"]
    rollout = document("deployment.yaml")["spec"]["strategy"]["rollingUpdate"]
    assert rollout["maxUnavailable"] == 0


def test_everything_selects_the_deployment_s_pods() -> None:
    labels = document("deployment.yaml")["spec"]["template"]["metadata"]["labels"]
    assert document("service.yaml")["spec"]["selector"] == labels
    assert document("disruption.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert document("networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"] == labels
    target = document("autoscaler.yaml")["spec"]["scaleTargetRef"]
    assert target["name"] == document("deployment.yaml")["metadata"]["name"]


def test_the_autoscaler_s_metric_is_one_that_the_guard_exports() -> None:
    (rule,) = document("prometheus-adapter.yaml")["rules"]["custom"]
    (metric,) = document("autoscaler.yaml")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod")
    query = query.replace("<<.LabelMatchers>>", 'namespace="x",pod=~"a|b"')
    parse(query)
    known = {each.name for each in ALL}
    asked = {
        word for word in query.replace("{", " ").replace("(", " ").split() if word[:6] == "guard_"
    }
    assert asked
    assert asked <= known
    parse(rule["seriesQuery"])
