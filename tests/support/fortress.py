"""A Kafka and a Redis with the access rules that lie in deploy/, both with TLS: one of each for all tests.

The rules are those of the files: `deploy/kafka/acls.sh` runs, and what it would tell Kafka's own tool is told to Kafka.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from stream.embedded import free_port
from stream.settings import Settings, load_settings
from tests.support.certificates import Authority
from tests.support.real_kafka import RealKafkaCluster, new_cluster
from tests.support.real_redis import new_redis
from tests.support.secure_kafka import PASSWORD, SecureKafka, SecureNode, addresses

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RECORDER: Final = "import json, sys; print(json.dumps(sys.argv[2:]), file=open(sys.argv[1], 'a'))"


@dataclass(frozen=True)
class Fortress:
    """A Kafka and a Redis with the access rules that lie in deploy/."""

    kafka: RealKafkaCluster
    authority: Authority
    redis_tls: str
    redis_plain: str

    def environment(self, way: str, user: str, token_url: str = "") -> dict[str, str]:
        """The variables by which `user` comes in by `way`: scram, oauth or certificate."""
        sasl, tls = addresses(self.kafka)
        found = {"SSL_CAFILE": str(self.authority.cafile), "BOOTSTRAP_SERVERS": sasl, "SECURITY_PROTOCOL": "SASL_SSL"}
        if way == "scram":
            found |= {"SASL_MECHANISM": "SCRAM-SHA-512", "SASL_USERNAME": user, "SASL_PASSWORD": PASSWORD}
        elif way == "oauth":
            found |= {"SASL_MECHANISM": "OAUTHBEARER", "OAUTH_CLIENT_ID": user, "OAUTH_CLIENT_SECRET": PASSWORD}
            found |= {"OAUTH_TOKEN_URL": token_url}
        else:
            certfile, keyfile = self.authority.issue(user)
            found |= {"BOOTSTRAP_SERVERS": tls, "SECURITY_PROTOCOL": "SSL"}
            found |= {"SSL_CERTFILE": str(certfile), "SSL_KEYFILE": str(keyfile)}
        return {f"MIDWATCH_KAFKA__{name}": value for name, value in found.items()}

    def redis_environment(self, user: str = "midwatch") -> dict[str, str]:
        """The variables by which `user` comes into Redis: over TLS, with the rights of its line."""
        found = {
            "URL": self.redis_tls,
            "USERNAME": user,
            "PASSWORD": PASSWORD,
            "SSL_CAFILE": str(self.authority.cafile),
        }
        return {f"MIDWATCH_REDIS__{name}": value for name, value in found.items()}

    def settings(self, user: str, **more: str) -> Settings:
        """Settings of a part that comes into Kafka as `user`; `more` are variables of the environment."""
        return load_settings(None, {**self.environment("scram", user), **more})


def rules(folder: Path) -> list[AclBinding]:
    """What `deploy/kafka/acls.sh` asks for, as Kafka's own tool would read it."""
    asked = folder / "acls.jsonl"
    program = folder / "record.py"
    program.write_text(RECORDER, encoding="utf-8")
    environ = {**os.environ, "KAFKA_ACLS": f"{sys.executable} {program} {asked}"}
    subprocess.run(["bash", DEPLOY / "kafka/acls.sh"], env=environ, check=True, timeout=60)
    found = []
    for line in asked.read_text(encoding="utf-8").splitlines():
        arguments: list[str] = json.loads(line)
        assert arguments.pop(0) == "--add"
        pairs = list(zip(arguments[::2], arguments[1::2], strict=True))
        user = dict(pairs)["--allow-principal"]
        pattern = ResourcePatternType[dict(pairs).get("--resource-pattern-type", "literal").upper()]
        for operation in [AclOperation[_snake(value)] for key, value in pairs if key == "--operation"]:
            for key, name in pairs:
                if key in {"--topic", "--group"}:
                    kind = ResourceType[key.removeprefix("--").upper()]
                    found.append(AclBinding(kind, name, pattern, user, "*", operation, AclPermissionType.ALLOW))
    return list(dict.fromkeys(found))


def _snake(name: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in name).strip("_").upper()


@pytest.fixture(scope="session")
def fortress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    folder = tmp_path_factory.mktemp("fortress")
    SecureNode.authority = authority = Authority(folder)
    certfile, keyfile = authority.issue("redis")
    password = hashlib.sha256(PASSWORD.encode()).hexdigest()
    lines = [path.read_text(encoding="utf-8").strip() for path in sorted((DEPLOY / "redis").glob("*.acl"))]
    rules_of_redis = "\n".join(f"{line} #{password}" for line in lines)
    (folder / "users.acl").write_text(f"user default on nopass ~* &* +@all\n{rules_of_redis}\n", encoding="utf-8")
    port = free_port()
    tls = ["--tls-port", str(port), "--tls-cert-file", str(certfile), "--tls-key-file", str(keyfile)]
    tls += ["--tls-ca-cert-file", str(authority.cafile), "--tls-auth-clients", "no"]
    with new_cluster(1, SecureKafka) as kafka, new_redis([*tls, "--aclfile", str(folder / "users.acl")]) as redis:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        for done in admin.create_acls(rules(folder)).values():
            done.result(30)
        yield Fortress(kafka, authority, f"rediss://127.0.0.1:{port}/0", redis.url)
