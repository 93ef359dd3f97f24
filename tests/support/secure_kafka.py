"""A real Kafka that lets in who proves a name, and does what the access rules allow that name.

Three ways in: SCRAM and OAUTHBEARER over TLS, and client certificates. The plain listener is the administrator's, as it
is how a cluster on loopback is set up; `midwatch` never gets its address. Tokens are unsigned, which Kafka takes
for tests: who signs them is a cluster's own affair, how they are had and sent is ours.
"""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import ClassVar, Final

from stream.embedded import free_port
from tests.support.certificates import Authority
from tests.support.real_kafka import KafkaNode, RealKafkaCluster

USERS: Final = ("producer", "engine", "judge", "page", "delivery", "rollback", "operator", "stranger")
PASSWORD: Final = "planted-password"

_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_OAUTH: Final = (
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="
    '"broker";'
)


class SecureNode(KafkaNode):
    """A broker with a listener for SASL over TLS and one for client certificates."""

    authority: ClassVar[Authority]

    def __init__(self, node_id: int, directory: Path) -> None:
        super().__init__(node_id, directory)
        self.sasl_port, self.tls_port = free_port(), free_port()

    def _users(self) -> list[str]:
        return [
            argument
            for user in USERS
            for argument in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={PASSWORD}]")
        ]

    def _properties(self, voters: str, nodes: int) -> list[str]:
        properties = [
            line
            for line in super()._properties(voters, nodes)
            if not line.startswith(("listeners=", "advertised.listeners=", "listener.security.protocol.map="))
        ]
        certfile, keyfile = self.authority.issue(f"broker-{self.node_id}")
        places = {"PLAINTEXT": self.port, "SASL": self.sasl_port, "TLS": self.tls_port}
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in places.items())
        chain = certfile.read_text().replace("\n", "\\n")
        key = keyfile.read_text().replace("\n", "\\n")
        trusted = self.authority.cafile.read_text().replace("\n", "\\n")
        return [
            *properties,
            f"listeners={listeners},CONTROLLER://127.0.0.1:{self.controller_port}",
            f"advertised.listeners={listeners}",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_SSL,TLS:SSL",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "allow.everyone.if.no.acl.found=false",
            "sasl.enabled.mechanisms=SCRAM-SHA-512,OAUTHBEARER",
            f"listener.name.sasl.scram-sha-512.sasl.jaas.config={_SCRAM}",
            f"listener.name.sasl.oauthbearer.sasl.jaas.config={_OAUTH}",
            "ssl.keystore.type=PEM",
            f"ssl.keystore.certificate.chain={chain}",
            f"ssl.keystore.key={key}",
            "ssl.truststore.type=PEM",
            f"ssl.truststore.certificates={trusted}",
            "listener.name.tls.ssl.client.auth=required",
            "ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/",
        ]


class SecureKafka(RealKafkaCluster):
    """One broker, or several, of that kind."""

    node_class = SecureNode


def addresses(cluster: RealKafkaCluster) -> tuple[str, str]:
    """Where SASL and where client certificates are taken."""
    nodes = [node for node in cluster.nodes if isinstance(node, SecureNode)]
    return (
        ",".join(f"127.0.0.1:{node.sasl_port}" for node in nodes),
        ",".join(f"127.0.0.1:{node.tls_port}" for node in nodes),
    )


def unsigned_token(user: str, seconds: float = 600.0) -> str:
    """A bearer token of a user, as Kafka's own validator for tests takes it."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": user, "iat": now - 1, "exp": now + seconds})
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."
