"""Checks the manifests of deploy/ against schemas, and prints a line for each: as they are written, and
as `kubectl kustomize` builds them, which is what a cluster is given.

Needs PyYAML and kubernetes-validate, and kubectl for what is built. The last line is `sound`, or the
exit code is 1.
"""

import pathlib
import shutil
import subprocess
import sys

import kubernetes_validate
import yaml

# A version that operators run and the schemas have.
KUBERNETES = "1.29"
deploy = pathlib.Path(__file__).resolve().parent.parent / "deploy"
kubernetes = deploy / "kubernetes"


def documents(path):
    with path.open() as file:
        return [document for document in yaml.safe_load_all(file) if document]


def check(holds, sentence):
    if not holds:
        sys.exit(f"not so: {sentence}")


kustomization = documents(kubernetes / "kustomization.yaml")[0]
check(kustomization["kind"] == "Kustomization", "kustomization.yaml is one")
listed = set(kustomization["resources"])
there = {path.name for path in kubernetes.glob("*.yaml")} - {"kustomization.yaml", "setup.yaml"}
check(listed == there, f"the kustomization lists what is there: {listed ^ there}")

objects = []
for name in sorted(listed | {"setup.yaml"}):
    for document in documents(kubernetes / name):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        print(f"{name}: {document['kind']} {document['metadata']['name']}")
        objects.append((name, document))

by_kind = {}
for name, document in objects:
    if name != "setup.yaml":
        by_kind.setdefault(document["kind"], []).append(document)

(node,) = by_kind["StatefulSet"]
pod = node["spec"]["template"]["spec"]
(container,) = pod["containers"]
check(node["spec"]["replicas"] == 1, "a member has one node")
check(container["image"] in {image["name"] for image in kustomization["images"]}, "the image is set")
own = node["spec"]["template"]["metadata"]["labels"]
for service in by_kind["Service"]:
    check(service["spec"]["selector"].items() <= own.items(), "services select the pod")
    ports = {port["name"] for port in container["ports"]}
    check(all(port["targetPort"] in ports for port in service["spec"]["ports"]), "at its ports")
names = {service["metadata"]["name"] for service in by_kind["Service"]}
check(node["spec"]["serviceName"] in names, "its name is a service's")
budget = by_kind["PodDisruptionBudget"][0]["spec"]["selector"]["matchLabels"]
policy = by_kind["NetworkPolicy"][0]["spec"]["podSelector"]["matchLabels"]
check(budget.items() <= own.items() and policy.items() <= own.items(), "and so do the others")
volumes = {it["name"] for it in pod["volumes"]}
volumes |= {it["metadata"]["name"] for it in node["spec"]["volumeClaimTemplates"]}
check({it["name"] for it in container["volumeMounts"]} == volumes, "every volume is mounted")
maps = {it["metadata"]["name"] for it in by_kind["ConfigMap"]}
check({it["configMap"]["name"] for it in pod["volumes"] if "configMap" in it} <= maps, "from a map")


def built():
    build = ["kubectl", "kustomize", str(kubernetes)]
    text = subprocess.run(build, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def check_built(made):
    def key(document):
        return document["kind"], document["metadata"]["name"]

    written = {key(document) for name, document in objects if name != "setup.yaml"}
    check({key(document) for document in made} == written, "everything is built")
    for document in made:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        print(f"built: {document['kind']} {document['metadata']['name']}")
        meta = document["metadata"]
        check(meta["namespace"] == kustomization["namespace"], "all in one namespace")
        check(meta["labels"].items() >= kustomization["labels"][0]["pairs"].items(), "labelled")
    (image,) = kustomization["images"]
    for document in made:
        if document["kind"] == "StatefulSet":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            want = f"{image['newName']}:{image['newTag']}"
            check(container["image"] == want, f"the image is {want}")


if shutil.which("kubectl"):
    check_built(built())
else:
    print("skipped: the manifests as a cluster is given them: needs kubectl")

compose = documents(deploy / "container" / "compose.yaml")[0]
services = compose["services"]
members = [name for name in services if name not in ("found", "votes")]
check(len(members) == 4, "four members")
for name in members:
    service = services[name]
    check(service["image"] == "vitrail:0.1.0", "one image")
    check(service["environment"]["VITRAIL_DIR"].endswith(name), "each in its own folder")
    check(service["healthcheck"]["test"][0] == "CMD", "a health check")
check(set(services["votes"]["depends_on"]) == set(members), "votes come when all are there")
print(f"compose.yaml: {len(services)} services")
print("sound")
