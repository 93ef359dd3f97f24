"""The configuration: where values come from, what is refused, what the hash covers."""

from pathlib import Path

import pytest

from stream.settings import Settings, SettingsError, load_settings


def write(directory: Path, text: str) -> Path:
    path = directory / "midwatch.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path | None, environ: dict[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ or {})
    return {problem.where: problem.what for problem in caught.value.problems}


def test_nothing_given_means_the_defaults() -> None:
    """Without a file or variables every section has its defaults, and listens on loopback."""
    settings = load_settings(None, {})
    assert settings.engine.shards == 16
    assert settings.http.host == "127.0.0.1"
    assert settings.kafka.input_topics[0] == "agent.interactions"


def test_file_then_environment(tmp_path: Path) -> None:
    """The file overrides the defaults, the environment overrides the file, for text, numbers, lists and tables."""
    path = write(tmp_path, '[engine]\nshards = 4\nworkers = 2\n[budgets.support]\namount_usd = 10\nsystem = "a"\n')
    settings = load_settings(
        path,
        {
            "MIDWATCH_ENGINE__SHARDS": "8",
            "MIDWATCH_KAFKA__GROUP_ID": "42",
            "MIDWATCH_KAFKA__INPUT_TOPICS": '["one", "two"]',
            "MIDWATCH_BUDGETS__SUPPORT__AMOUNT_USD": "12.5",
            "MIDWATCH_TRIAGE__RECENT_DEPLOYMENTS__LOOKBACK_HOURS": "12",
            "MIDWATCH_REQUIRE_REAL": "1",
        },
    )
    assert (settings.engine.shards, settings.engine.workers) == (8, 2)
    assert settings.kafka.group_id == "42", "text stays text, even when it looks like a number"
    assert settings.kafka.input_topics == ("one", "two")
    assert (settings.budgets["support"].amount_usd, settings.budgets["support"].system) == (12.5, "a")
    assert settings.triage.model_dump()["recent_deployments"]["lookback_hours"] == 12


def test_every_problem_at_once(tmp_path: Path) -> None:
    """One reading names every problem: unknown keys with the nearest known, wrong values with what they were."""
    path = write(
        tmp_path,
        """
        [kafka]
        bootstrap_server = "x:1"
        input_topics = ["fine", "not fine"]
        [engine]
        shards = 0
        clock = "sundial"
        [triage.recent_deployments]
        lookback_hour = 3
        [dashbord]
        """,
    )
    found = problems(path, {"MIDWATCH_ENGINE__LEASE_SECONDS": "soon", "MIDWATCH_REDIS__URI": "x"})
    assert "did you mean 'bootstrap_servers'?" in found["kafka.bootstrap_server"]
    assert '"not fine"' in found["kafka.input_topics[1]"]
    assert "not 0" in found["engine.shards"]
    assert "'wall' or 'stream'" in found["engine.clock"]
    assert "did you mean 'lookback_hours'?" in found["triage.recent_deployments.lookback_hour"]
    assert "no such key" in found["dashbord"]
    assert '"soon"' in found["MIDWATCH_ENGINE__LEASE_SECONDS"], "the variable is named, not the key"
    assert "did you mean 'url'?" in found["MIDWATCH_REDIS__URI"]
    assert len(found) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [("[kafka\n", "not valid TOML"), ("[engine]\nshards = 1\nshards = 2\n", "not valid TOML")],
)
def test_broken_toml(tmp_path: Path, text: str, said: str) -> None:
    """A file that is not TOML is one clear problem."""
    assert said in problems(write(tmp_path, text))[""]


def test_unreadable_files(tmp_path: Path) -> None:
    """A missing file, and one that is not text, are said so."""
    assert "cannot be read" in problems(tmp_path / "none.toml")[""]
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    assert "not UTF-8" in problems(tmp_path / "latin.toml")[""]


@pytest.mark.parametrize(("section", "key"), [("kafka", "sasl_password"), ("redis", "password"), ("http", "token")])
def test_secrets_are_refused_in_the_file(tmp_path: Path, section: str, key: str) -> None:
    """A secret in the file is refused, and not repeated in the error."""
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, f'[{section}]\n{key} = "hunter2-hunter2"\n'), {})
    assert f"MIDWATCH_{section.upper()}__{key.upper()}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_password_in_the_redis_url_is_refused() -> None:
    """A password may not hide in the address, which is logged."""
    found = problems(None, {"MIDWATCH_REDIS__URL": "redis://:hunter2@127.0.0.1:6379/0"})
    assert "holds a password" in found["redis"]
    assert "hunter2" not in str(found)


def test_secrets_from_environment_and_files(tmp_path: Path) -> None:
    """Secrets come from a variable or from a file, never print, and only one of the two may be given."""
    (tmp_path / "token").write_text("s3cret-of-file\n", encoding="utf-8")
    path = write(tmp_path, f'[http]\ntoken_file = "{tmp_path / "token"}"\n')
    settings = load_settings(path, {"MIDWATCH_REDIS__PASSWORD": "12345"})
    assert settings.http.token is not None
    assert settings.http.token.get_secret_value() == "s3cret-of-file"
    assert settings.redis.password is not None
    assert settings.redis.password.get_secret_value() == "12345"
    assert "s3cret" not in repr(settings) + settings.model_dump_json()
    found = problems(path, {"MIDWATCH_HTTP__TOKEN": "other"})
    assert "keep one of them" in found["MIDWATCH_HTTP__TOKEN"]
    assert "other" not in str(found)


def test_secret_files_must_hold_a_secret(tmp_path: Path) -> None:
    """A secret file that is missing or empty is a problem, not an empty password."""
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    assert (
        "is empty"
        in problems(write(tmp_path, f'[redis]\npassword_file = "{tmp_path / "empty"}"\n'))["redis.password_file"]
    )
    assert (
        "cannot be read"
        in problems(write(tmp_path, '[redis]\npassword_file = "/nowhere/at/all"\n'))["redis.password_file"]
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "metrics.example"])
def test_beyond_loopback_needs_a_token(host: str) -> None:
    """Nothing listens beyond loopback without a token."""
    assert "no token" in problems(None, {"MIDWATCH_HTTP__HOST": host})["http"]
    assert load_settings(None, {"MIDWATCH_HTTP__HOST": host, "MIDWATCH_HTTP__TOKEN": "t"}).http.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.9"])
def test_loopback_needs_no_token(host: str) -> None:
    """Loopback in any spelling is free."""
    assert load_settings(None, {"MIDWATCH_HTTP__HOST": host}).http.host == host


def test_sasl_is_whole_or_absent() -> None:
    """A SASL protocol without its keys, or keys without the protocol, would fail later and less clearly."""
    assert (
        "sasl_username, sasl_password"
        in problems(None, {"MIDWATCH_KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "MIDWATCH_KAFKA__SASL_MECHANISM": "PLAIN"})[
            "kafka"
        ]
    )
    assert "security_protocol is not" in problems(None, {"MIDWATCH_KAFKA__SASL_USERNAME": "u"})["kafka"]


def test_hash_covers_what_shapes_the_answers() -> None:
    """Hosts, ports and secrets leave the hash alone; detectors, triage, budgets, limits and lateness change it."""
    plain = load_settings(None, {}).config_hash()
    for same in (
        {"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": "x:1", "MIDWATCH_HTTP__PORT": "1", "MIDWATCH_REDIS__PASSWORD": "pw"},
        {"MIDWATCH_ENGINE__WORKERS": "3", "MIDWATCH_LOG__LEVEL": "debug", "MIDWATCH_ENGINE__LATENESS_SECONDS": "5.0"},
    ):
        assert load_settings(None, same).config_hash() == plain
    for name, value in {
        "MIDWATCH_ENGINE__LATENESS_SECONDS": "6",
        "MIDWATCH_TRIAGE__RECENT_DEPLOYMENTS__LOOKBACK_HOURS": "12",
        "MIDWATCH_DETECTORS__ESCALATION_RATE__HOLD_MINUTES": "16",
        "MIDWATCH_BUDGETS__A__AMOUNT_USD": "1",
        "MIDWATCH_LIMITS__MAX_DEPTH": "65",
    }.items():
        assert load_settings(None, {name: value}).config_hash() != plain, name


def test_settings_are_frozen() -> None:
    """A running engine's configuration cannot change under it."""
    settings = load_settings(None, {})
    with pytest.raises(ValueError, match="frozen"):
        settings.engine.shards = 3  # type: ignore[misc]


def test_budget_rules_are_in_order(tmp_path: Path) -> None:
    """Budgets become rules in an order that does not depend on the file's."""
    path = write(tmp_path, '[budgets.b]\namount_usd = 1\ntags = {z = "1", a = "2"}\n[budgets.a]\namount_usd = 1\n')
    first, second = load_settings(path, {}).budget_rules()
    assert (first.name, second.name, second.tags) == ("a", "b", (("a", "2"), ("z", "1")))
    assert first.environment == "*"


def test_budgets_reach_the_detector(tmp_path: Path) -> None:
    """Budgets stand in one place, and the detector of burn rates gets them from there."""
    path = write(tmp_path, "[budgets.b]\namount_usd = 7\n")
    assert load_settings(path, {}).detector_settings()["burn_rate"]["budgets"]["b"]["amount_usd"] == 7
    elsewhere = write(tmp_path, "[detectors.burn_rate.budgets.b]\namount_usd = 7\n")
    assert "[budgets]" in problems(elsewhere)["detectors.burn_rate.budgets"]


def test_every_key_is_described() -> None:
    """Every key says what it does: the example file and the errors are written from that."""
    from stream.settings import settings_model
    from stream.settings_schema import model_of

    def missing(model: type, path: str) -> list[str]:
        found = []
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            nested = model_of(field.annotation)
            if nested is not None:
                found.extend(missing(nested, f"{path}{name}."))
            elif not field.description:
                found.append(path + name)
        return found

    assert missing(settings_model(), "") == []
    assert issubclass(settings_model(), Settings)
