"""The README's image and Kubernetes example, held against the code: nothing builds or runs them here."""

from __future__ import annotations

import re
import shlex
from typing import Any

import yaml

from serving.cli import VERBS
from serving.leaving import LEAVE_S
from serving.server import ANSWER_WITHIN_S
from serving.settings import DEFAULT_PORT, ProcessSettings
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")
PROBES = {"/healthz", "/readyz"}


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return str(found)


def resources() -> dict[str, dict[str, Any]]:
    documents = list(yaml.safe_load_all(block("yaml")))
    return {document["kind"]: document for document in documents}


def pods() -> dict[str, dict[str, Any]]:
    """The pod of the service and that of the night."""
    found = resources()
    night = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]
    return {"serve": found["Deployment"]["spec"]["template"], "night": night}


def test_the_image_has_what_it_copies_runs_our_command_and_is_nobody_s_root() -> None:
    lines = [line for line in block("dockerfile").splitlines() if line and not line.startswith("#")]
    for line in lines:
        word, *rest = shlex.split(line)
        if word == "COPY" and not rest[0].startswith("--from"):
            assert all((ROOT / name).exists() for name in rest[:-1])
    (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD")]
    name, verb, *options = yaml.safe_load(command)
    assert (name, verb in VERBS, options) == ("huaxiang", True, ["--host", "0.0.0.0"])  # noqa: S104 - of a container
    (user,) = [line.split()[1] for line in lines if line.startswith("USER")]
    assert int(user) > 0
    assert f"EXPOSE {DEFAULT_PORT}" in lines
    assert "LIGHTFM_NO_CFLAGS=1" in block("dockerfile")
    for pod in pods().values():
        assert pod["spec"]["securityContext"] == {"runAsUser": int(user), "runAsNonRoot": True, "fsGroup": int(user)}


def test_kinds_and_names_agree() -> None:
    found = resources()
    assert set(found) == {"Secret", "PersistentVolumeClaim", "Service", "Deployment", "CronJob"}
    assert all({"apiVersion", "kind", "metadata"} <= set(one) for one in found.values())
    deployment, labels = found["Deployment"]["spec"], pods()["serve"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == found["Service"]["spec"]["selector"] == labels
    images = set()
    for pod in pods().values():
        (container,) = pod["spec"]["containers"]
        images.add(container["image"])
        assert container["envFrom"] == [{"secretRef": {"name": found["Secret"]["metadata"]["name"]}}]
        (volume,) = pod["spec"]["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == found["PersistentVolumeClaim"]["metadata"]["name"]
        (mount,) = container["volumeMounts"]
        assert mount["name"] == volume["name"]
        assert f"HUAXIANG_HOME={mount['mountPath']}" in block("dockerfile")
    assert len(images) == 1


def test_no_variable_of_kubernetes_is_taken_for_a_setting() -> None:
    """For each Service of the namespace a pod would get NAME_PORT: for one named huaxiang our own HUAXIANG_PORT."""
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in pods().values())


def test_a_night_of_many_apps_is_not_begun_again_for_one_that_failed() -> None:
    job = resources()["CronJob"]["spec"]["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")


def test_what_is_set_is_a_setting() -> None:
    known = set(ProcessSettings().environment())
    (container,) = pods()["serve"]["spec"]["containers"]
    assert set(resources()["Secret"]["stringData"]) <= known
    assert {variable["name"] for variable in container["env"]} <= known


def test_ports_and_probes_are_the_service_s() -> None:
    (container,) = pods()["serve"]["spec"]["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == DEFAULT_PORT
    assert resources()["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    probes = {name: container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {probe["path"] for probe in probes.values()} == PROBES
    assert probes["livenessProbe"]["path"] == "/healthz"
    assert {probe["port"] for probe in probes.values()} == {port["name"]}


def test_a_pod_has_the_time_to_end() -> None:
    spec = pods()["serve"]["spec"]
    command = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert spec["terminationGracePeriodSeconds"] > int(command[-1]) + LEAVE_S + ANSWER_WITHIN_S


def test_the_night_is_one_command_and_held_back_is_no_failure() -> None:
    (container,) = pods()["night"]["spec"]["containers"]
    shell, flag, line = container["command"]
    assert (shell, flag) == ("sh", "-c")
    words = shlex.split(line.partition("||")[0])
    assert (words[0], words[1] in VERBS, "--all" in words) == ("huaxiang", True, True)
    assert "[ $? -eq 3 ]" in line
