"""What the executors for Kubernetes share: kubectl, and which revision of an object carries which version."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.base import JsonObject
from stream.rollback.executors.base import Order, Refused
from stream.rollback.executors.process import Ran, run
from stream.rollback.executors.words import KUBERNETES, NAMESPACE, WORD, checked, ref

_LABEL: Final = re.compile(r"[A-Za-z0-9./_-]{1,317}")


class Trouble(Exception):
    """kubectl did not answer; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """How a cluster is reached, and what of it may be touched."""

    binary: Path
    context: str | None
    kubeconfig: Path | None
    namespaces: tuple[str, ...]
    version_label: str
    seconds: float

    def place(self, order: Order) -> tuple[str, str]:
        """Namespace and name of the target, checked. Raises Refused."""
        namespace = ref(order.target.ref, "namespace", NAMESPACE)
        if namespace not in self.namespaces:
            raise Refused(f"namespace {namespace} is none of the executor's namespaces")
        name = ref(order.target.ref, "name", KUBERNETES)
        checked(WORD, "from_version", order.target.from_version)
        if order.target.to_version is not None:
            checked(WORD, "to_version", order.target.to_version)
        return namespace, name

    def flags(self, namespace: str) -> list[str]:
        """What every call takes: where it is."""
        found = [f"--namespace={namespace}"]
        if self.context is not None:
            found.append(f"--context={self.context}")
        if self.kubeconfig is not None:
            found.append(f"--kubeconfig={self.kubeconfig}")
        return found

    async def call(self, binary: Path, namespace: str, *arguments: str) -> Ran:
        """Run kubectl, or its plugin, in a namespace."""
        return await run([str(binary), *arguments, *self.flags(namespace)], self.seconds)

    async def read(self, namespace: str, *arguments: str) -> JsonObject:
        """An object as kubectl prints it. Raises Trouble."""
        ran = await self.call(self.binary, namespace, "get", *arguments, "--output=json")
        if not ran.ok:
            raise Trouble(f"kubectl get {arguments[0]}: {ran.said()}")
        try:
            found = json.loads(ran.out)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Trouble(f"kubectl get {arguments[0]} printed no JSON object")
        return found

    def carries(self, template: Any, version: str) -> bool:
        """Whether a pod template is of a version: by its label, or, where it has none, by the tag of an image."""
        metadata = _dict(_dict(template).get("metadata"))
        said = _dict(metadata.get("labels")).get(self.version_label) or _dict(metadata.get("annotations")).get(
            self.version_label
        )
        if said is not None:
            return bool(said == version)
        containers = _dict(_dict(template).get("spec")).get("containers")
        images = [str(_dict(one).get("image", "")) for one in containers] if isinstance(containers, list) else []
        return any(image.endswith((f":{version}", f"@{version}")) for image in images)

    async def revision(self, owner: JsonObject, namespace: str, order: Order, annotation: str) -> int:
        """The newest revision of the version to return to, or, if none is named, the newest that is not the bad one.

        Raises Trouble where kubectl does not answer, Refused where there is no such revision any more.
        """
        selector = _selector(owner)
        listed = await self.read(namespace, "replicasets", *([f"--selector={selector}"] if selector else []))
        uid = _dict(owner.get("metadata")).get("uid")
        owned = [one for one in listed.get("items", []) if _is_owned(one, uid)]
        to, leave = order.target.to_version, order.target.from_version
        found = [
            number
            for one in owned
            if (number := _number(one, annotation))
            and (self.carries(_template(one), to) if to else not self.carries(_template(one), leave))
        ]
        if not found:
            what = f"no revision of it carries {to}" if to else f"it has no revision without {leave}"
            raise Refused(f"{what}; {len(owned)} revisions are kept")
        return max(found)


def _template(item: Any) -> Any:
    return _dict(_dict(item).get("spec")).get("template")


def _dict(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _selector(owner: JsonObject) -> str:
    """The object's own selector; empty where it is of a form that is not repeated here."""
    selector = _dict(_dict(owner.get("spec")).get("selector"))
    labels = _dict(selector.get("matchLabels"))
    parts: Iterable[str] = [f"{key}={value}" for key, value in sorted(labels.items())]
    plain = all(_LABEL.fullmatch(str(key)) and _LABEL.fullmatch(str(value)) for key, value in labels.items())
    return ",".join(parts) if plain and not selector.get("matchExpressions") else ""


def _is_owned(item: Any, uid: Any) -> bool:
    owners = _dict(_dict(item).get("metadata")).get("ownerReferences")
    return uid is not None and isinstance(owners, list) and any(_dict(one).get("uid") == uid for one in owners)


def _number(item: Any, annotation: str) -> int:
    """The revision that a ReplicaSet bears; 0 for none."""
    said = str(_dict(_dict(_dict(item).get("metadata")).get("annotations")).get(annotation, ""))
    return int(said) if re.fullmatch(r"[0-9]{1,9}", said) else 0
