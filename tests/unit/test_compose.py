"""What the compose file and the image say is valid, safe, and the same as what the code expects."""

import json
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from dashboard.model import ReadModel
from dashboard.serve import application
from stream.cli import app
from stream.settings import SettingsError, load_settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PAGE_TOKEN = "page-token-0123456789"
PROMETHEUS = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))


def engine_environment(secret: Path) -> dict[str, str]:
    """The engine's variables, with the secret where this test has it."""
    environ: dict[str, str] = SERVICES["midwatch"]["environment"]
    return {name: str(secret) if value.startswith("/run/secrets/") else value for name, value in environ.items()}


def test_compose_follows_its_specification() -> None:
    """The file is valid by the compose specification's own JSON Schema."""
    shipped = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(shipped)).read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert not validator.is_valid({"services": {"a": {"imagee": "x"}}}), "the schema refuses unknown keys"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_are_pinned_and_published_on_loopback(name: str) -> None:
    """Every image has a version, and no port is open to the network."""
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+(-[a-z0-9.]+)?$", service["image"]), service["image"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert not service.get("privileged")
    assert "healthcheck" in service or name in {"topics", "dashboards"}, "all but those that end"


def test_there_is_no_default_password() -> None:
    """The secrets come from the caller's environment, one for machines and one for people; no variable holds one."""
    assert COMPOSE["secrets"] == {
        "http_token": {"environment": "MIDWATCH_HTTP_TOKEN"},
        "page_token": {"environment": "MIDWATCH_PAGE_TOKEN"},
    }
    assert "page_token" not in SERVICES["prometheus"]["secrets"]
    names = [name for service in SERVICES.values() for name in service.get("environment", {})]
    assert [name for name in names if re.search(r"PASSWORD$|TOKEN$|SECRET$", name)] == []


def test_the_engine_takes_its_variables(tmp_path: Path) -> None:
    """The engine's environment is a sound configuration, and without its token it is refused."""
    secret = tmp_path / "http_token"
    secret.write_text("0123456789abcdef\n", encoding="utf-8")
    settings = load_settings(None, engine_environment(secret))
    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert settings.redis.url == "redis://redis:6379/0"
    assert settings.http.token is not None
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(None, engine_environment(tmp_path / "none"))


async def test_the_page_is_reached_through_its_published_port_by_token_and_under_loopbacks_names(
    tmp_path: Path,
) -> None:
    """From the host's loopback one logs in with the page's token; published to the network, the page answers nobody.

    The port is the container's own on the host's loopback, and the address that links name. Without what the compose
    file says of it, the configuration is refused.
    """
    secret = tmp_path / "page_token"
    secret.write_text(PAGE_TOKEN, encoding="utf-8")
    environ = engine_environment(secret)
    settings = load_settings(None, {**environ, "MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"})
    page = settings.dashboard
    assert f"127.0.0.1:{page.port}:{page.port}" in SERVICES["midwatch"]["ports"]
    assert page.public_url == f"http://localhost:{page.port}"
    # Docker's own address is what the container sees, whoever asks.
    through = httpx.ASGITransport(application(ReadModel(settings)), client=("172.18.0.1", 40_000))
    async with httpx.AsyncClient(transport=through, base_url=page.public_url) as http:
        asked = await http.get("/", headers={"accept": "text/html"})
        assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=/")
        assert (await http.get("/api/v1/me")).status_code == 401
        assert (await http.post("/login", data={"token": "a wrong one, as long"})).headers["location"].endswith("true")
        assert (await http.post("/login", data={"token": PAGE_TOKEN})).headers["location"] == "/"
        assert (await http.get("/api/v1/me")).json()["role"] == "operator"
        for host in ("192.168.1.20:9460", "midwatch", "0.0.0.0:9460"):
            assert (await http.get("/login", headers={"host": host})).status_code == 421
    for without, said in (("PUBLISHED_ON_LOOPBACK", "there is no TLS"), ("OPERATOR_TOKEN_FILE", "there is no token")):
        with pytest.raises(SettingsError, match=said):
            load_settings(None, {k: v for k, v in environ.items() if k != f"MIDWATCH_DASHBOARD__{without}"})


@pytest.mark.parametrize("name", ["topics", "midwatch", "ingest"])
def test_the_commands_exist(name: str) -> None:
    """What the containers run are commands of the command line."""
    assert CliRunner().invoke(app, [*SERVICES[name]["command"], "--help"]).exit_code == 0


def test_addresses_agree(tmp_path: Path) -> None:
    """The engine asks Kafka where Kafka listens, and Prometheus asks the engine where the engine listens."""
    kafka = SERVICES["kafka"]["environment"]
    advertised = dict(part.split("://") for part in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    environ = SERVICES["midwatch"]["environment"]
    assert environ["MIDWATCH_KAFKA__BOOTSTRAP_SERVERS"] == advertised["INTERNAL"]
    assert f"{advertised['EXTERNAL'].rpartition(':')[0]}:9092:9092" in SERVICES["kafka"]["ports"]
    assert environ["MIDWATCH_HTTP__TOKEN_FILE"] == SERVICES["ingest"]["environment"]["MIDWATCH_INGEST_HTTP__TOKEN_FILE"]
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    assert {job["authorization"]["credentials_file"] for job in jobs.values()} == {environ["MIDWATCH_HTTP__TOKEN_FILE"]}
    assert {name: _target(job) for name, job in jobs.items()} == _parts()
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
    assert "./deploy/prometheus/prometheus.yml:/etc/prometheus/prometheus.yml:ro" in SERVICES["prometheus"]["volumes"]


def _target(job: dict[str, Any]) -> str:
    if "static_configs" in job:
        [found] = job["static_configs"]
        return str(found["targets"][0])
    [found] = job["dns_sd_configs"]
    return f"{found['names'][0]}:{found['port']}"


def _parts() -> dict[str, str]:
    """Where each part that has metrics listens, by the names of the containers and the code's own ports."""
    settings = load_settings(None, {})
    return {
        "midwatch": f"midwatch:{settings.http.port}",
        "midwatch-sinks": f"midwatch:{settings.delivery.http_port}",
        "midwatch-ingest": f"ingest:{settings.ingest_http.port}",
        "midwatch-judge": f"judge:{settings.sampling.http_port}",
        "midwatch-rollback": f"rollback:{settings.http.port}",
    }


@pytest.mark.parametrize("name", ["midwatch", "ingest"])
def test_the_health_check_is_a_program(name: str) -> None:
    """A container's health check compiles."""
    command = SERVICES[name]["healthcheck"]["test"]
    assert command[:3] == ["CMD", "python", "-c"]
    compile(command[3], "healthcheck", "exec")


def test_image_has_every_package_and_no_rights() -> None:
    """Every package of the wheel is copied into the image and let through .dockerignore; it does not run as root."""
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert copied == packages
    let_through = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for source in [name for line in sources for name in line.split()]:
        assert (ROOT / source).exists(), source
        assert source in let_through, source
    last_stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER midwatch$", last_stage, re.MULTILINE)
    assert 'ENTRYPOINT ["midwatch"]' in last_stage
