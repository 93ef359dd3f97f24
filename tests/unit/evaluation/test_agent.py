"""Faust connects as our other clients do."""

from __future__ import annotations

from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from evaluation.agent import credentials_of
from evaluation.burst import first_firing
from stream.settings_clients import kafka_options
from stream.settings_sections import KafkaSettings

SASL: dict[str, Any] = {
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "judge",
    "sasl_password": "made-up",
}


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"security_protocol": "SSL"},
        {"security_protocol": "SASL_SSL", **SASL},
        {"security_protocol": "SASL_PLAINTEXT", **SASL},
    ],
)
def test_faust_gets_the_same_security_as_aiokafka(keys: dict[str, Any]) -> None:
    """Protocol, mechanism, user and password come out of Faust's credentials as they went in."""
    options = kafka_options(KafkaSettings.model_validate(keys, strict=False))
    ours = {key: options[key] for key in options if key.startswith(("security", "sasl"))}
    theirs = credentials_to_aiokafka_auth(credentials_of(options))
    assert {key: theirs[key] for key in ours} == ours
    assert theirs.get("ssl_context") is options.get("ssl_context")


def test_only_a_verdict_that_opens_an_unmuted_incident_sets_off_a_burst() -> None:
    """Updates, muted ones and what is no verdict at all do not."""
    for value in (None, b"not json", b"[]", b'{"status": "updated"}', b'{"status": "firing", "muted": {"by": "x"}}'):
        assert first_firing(value) is None
