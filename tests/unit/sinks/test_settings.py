"""The sections of sinks: every problem at once, secrets from outside alone, the page's samples are sound."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from stream.logs import secret_values
from stream.settings import SettingsError, load_settings
from stream.settings_sinks import sinks_of
from stream.sinks.registry import SINKS
from tests.support.sinks import KEY, MINIMAL, SECRET, minimal, settings_with

PAGE = Path(__file__).parents[3] / "docs/sinks.md"

WRONG = """
[sinks.oncall]
kind = "pagerduty"
routing_key = "R0123456789abcdefghijklmnopqrstu"
[sinks.hook]
kind = "webhook"
urll = "https://hook.example.com"
[sinks.unknown]
kind = "pagerdutty"
[sinks.kindless]
url = "https://x.example.com"
[sinks.Bad-Name]
kind = "webhook"
[sinks.am]
kind = "alertmanager"
urls = ["http://am.example.com", "https://user:secret@am.example.com"]
[sinks.chat]
kind = "apprise"
severities = ["criticall"]
"""


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    """Wrong kinds, keys, names, values, a secret in the file: each is named where it stands, no secret is shown."""
    path = tmp_path / "midwatch.toml"
    path.write_text(WRONG)
    with pytest.raises(SettingsError) as error:
        load_settings(path, {})
    said = str(error.value)
    for part in (
        "sinks.oncall.routing_key: a secret must not stand in the file; set MIDWATCH_SINKS__ONCALL__ROUTING_KEY",
        "sinks.hook.urll: there is no such key; did you mean 'url'?",
        "sinks.unknown.kind: there is no kind 'pagerdutty'; did you mean 'pagerduty'?",
        "sinks.kindless.kind: is missing",
        "sinks.Bad-Name: is no name for a sink",
        "sinks.am: urls must start with https://",
        "urls holds a name or password",
        "sinks.chat.severities[0]: should be 'critical', 'warning' or 'info', not \"criticall\"",
    ):
        assert part in said, said
    assert "R0123456789" not in said
    assert "user:secret" not in said


@pytest.mark.parametrize(
    ("kind", "keys", "problem"),
    [
        ("webhook", {"SECRET": "whsec_abc"}, "less than 24 bytes"),
        ("webhook", {"SECRET": "whsec_!!!"}, "is not whsec_ and base64"),
        ("webhook", {"SECRET": f"{SECRET} whsec_abc"}, "signing secret 2"),
        ("webhook", {"URL": "ftp://hook.example.com"}, "must be an address"),
        ("webhook", {"URL": "http://hook.example.com"}, "must start with https://"),
        ("pagerduty", {"ROUTING_KEY": "short"}, "at least 32"),
        ("alertmanager", {"USERNAME": "ada"}, "username and password go together"),
        ("apprise", {"URL": "no address"}, "one of apprise's"),
        ("cdevents", {"URL": "https://[::1"}, "must be an address"),
        ("cdevents", {"MAX_AGE_MINUTES": "0"}, "greater than 0"),
    ],
)
def test_what_cannot_work_is_refused(kind: str, keys: dict[str, str], problem: str) -> None:
    """Values that would fail at the first delivery fail at the start, with words that help."""
    with pytest.raises(SettingsError, match=re.escape(problem)):
        settings_with(one=minimal(kind, **keys))


def test_secrets_come_from_files_and_are_known_to_the_log(tmp_path: Path) -> None:
    """A secret's file is read, the secret is hidden wherever settings are shown, and the log knows what to hide."""
    (tmp_path / "key").write_text(KEY + "\n")
    settings = settings_with(one={"KIND": "pagerduty", "ROUTING_KEY_FILE": str(tmp_path / "key")})
    assert KEY in secret_values(settings)
    assert KEY not in repr(settings)
    assert KEY not in json.dumps(settings.model_dump(mode="json"))


def test_sinks_change_no_answer() -> None:
    """Where verdicts go has no part in the hash of what shapes them."""
    assert settings_with(one=minimal("webhook")).config_hash() == load_settings(None, {}).config_hash()


def test_a_disabled_sink_is_checked_and_left_out() -> None:
    """What is disabled is not delivered to, but its section must be right."""
    settings = settings_with(one=minimal("webhook", ENABLED="false"), two=minimal("cdevents"))
    assert list(sinks_of(settings.sinks)) == ["two"]


def test_the_pages_samples_are_sound(tmp_path: Path) -> None:
    """The sample of docs/sinks.md has every kind, and is a valid configuration once the secrets are there."""
    sample = PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    table = tomllib.loads(sample)["sinks"]
    assert {section["kind"] for section in table.values()} == set(SINKS)
    environ = {}
    for name, section in table.items():
        for key in [key for key in section if key.endswith("_file")]:
            secret = key.removesuffix("_file").upper()
            environ[f"MIDWATCH_SINKS__{name.upper()}__{secret}"] = MINIMAL[section["kind"]][secret]
    path = tmp_path / "midwatch.toml"
    path.write_text(re.sub(r"^\w+_file = .*$", "", sample, flags=re.MULTILINE))
    assert set(sinks_of(load_settings(path, environ).sinks)) == set(table)


def test_the_page_says_the_defaults() -> None:
    """The table of what every sink has is that of the code."""
    fields = SINKS["cdevents"].Settings.model_fields
    page = PAGE.read_text(encoding="utf-8")
    assert f"| `max_age_minutes` | {fields['max_age_minutes'].default:g} |" in page
    assert f"| `per_minute`, `burst` | {fields['per_minute'].default:g}, {fields['burst'].default} |" in page
    assert f"| `timeout_seconds` | {fields['timeout_seconds'].default:g} |" in page
