"""Handlers of the requests about the cluster: versions, metadata, topics, configuration and producer ids."""

import itertools
import logging
from dataclasses import dataclass, field

from stream.embedded.codes import Code, Refused
from stream.embedded.groups import Groups
from stream.embedded.topics import Topics
from stream.embedded.wire import Fields, Request, offered_versions

NODE_ID = 1
CLUSTER_ID = "midwatch-embedded"
_TOPIC, _BROKER = 2, 4
_SET_ON_TOPIC, _DEFAULT = 1, 5
_ALL_WHEN_EMPTY = 0
"""The version of Metadata in which an empty list, and not null, asks for every topic."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admin:
    """Answers about the broker and its topics.

    Attributes:
        auto_create_topics: whether asking for the metadata of a topic creates it.
    """

    topics: Topics
    groups: Groups
    host: str
    port: int
    auto_create_topics: bool
    _producer_ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def api_versions(self, _request: Request) -> Fields:
        """Which requests are answered, in which versions."""
        return {"error_code": Code.NONE, "api_versions": offered_versions()}

    async def metadata(self, request: Request) -> Fields:
        """This broker, and the topics asked for."""
        asked = request.body["topics"]
        if asked is None or (not asked and request.version == _ALL_WHEN_EMPTY):
            asked = self.topics.names()
        create = self.auto_create_topics and request.body.get("allow_auto_topic_creation", True)
        return {
            "brokers": [{"node_id": NODE_ID, "host": self.host, "port": self.port, "rack": None}],
            "cluster_id": CLUSTER_ID,
            "controller_id": NODE_ID,
            "topics": [self._describe(name, create) for name in asked],
        }

    def _describe(self, name: str, create: bool) -> Fields:
        about: Fields = {"error_code": Code.NONE, "topic": name, "is_internal": False, "partitions": []}
        try:
            if create and name not in self.topics.names():
                self.topics.create(name, -1, {})
            partitions = len(self.topics.get(name).partitions)
        except Refused as refused:
            return {**about, "error_code": refused.code}
        alone = {"leader": NODE_ID, "replicas": [NODE_ID], "isr": [NODE_ID], "offline_replicas": []}
        about["partitions"] = [{"error_code": Code.NONE, "partition": index, **alone} for index in range(partitions)]
        return about

    async def create_topics(self, request: Request) -> Fields:
        """Create topics, one answer each."""
        dry_run = request.body.get("validate_only", False)
        return {"topic_errors": [self._create(wanted, dry_run) for wanted in request.body["create_topic_requests"]]}

    def _create(self, wanted: Fields, dry_run: bool) -> Fields:
        answer = {"topic": wanted["topic"], "error_code": Code.NONE, "error_message": None}
        try:
            _check_placement(wanted)
            configs = {each["config_key"]: each["config_value"] for each in wanted["configs"]}
            self.topics.create(wanted["topic"], wanted["num_partitions"], configs, dry_run=dry_run)
        except Refused as refused:
            answer.update(error_code=refused.code, error_message=str(refused))
        return answer

    async def delete_topics(self, request: Request) -> Fields:
        """Delete topics and what groups committed for them."""
        answers = []
        for name in request.body["topics"]:
            code = Code.NONE
            try:
                self.topics.delete(name)
                self.groups.forget_topic(name)
            except Refused as refused:
                code = refused.code
            answers.append({"topic": name, "error_code": code})
        return {"topic_error_codes": answers}

    async def describe_configs(self, request: Request) -> Fields:
        """Configuration of topics, and the defaults of the broker."""
        return {"resources": [self._describe_config(resource) for resource in request.body["resources"]]}

    def _describe_config(self, resource: Fields) -> Fields:
        answer = {
            "error_code": Code.NONE,
            "error_message": None,
            "resource_type": resource["resource_type"],
            "resource_name": resource["resource_name"],
            "config_entries": [],
        }
        try:
            own = self._own_configs(resource, _TOPIC, _BROKER)
        except Refused as refused:
            return {**answer, "error_code": refused.code, "error_message": str(refused)}
        wanted = resource["config_names"]
        answer["config_entries"] = [
            {
                "config_names": key,
                "config_value": own.get(key, default),
                "read_only": False,
                "is_default": key not in own,
                "config_source": _SET_ON_TOPIC if key in own else _DEFAULT,
                "is_sensitive": False,
                "config_synonyms": [],
            }
            for key, default in self.topics.defaults.items()
            if wanted is None or key in wanted
        ]
        return answer

    def _own_configs(self, resource: Fields, *kinds: int) -> dict[str, str]:
        """What is set for the resource itself.

        Raises:
            Refused: it does not exist, or is none of `kinds`.
        """
        if resource["resource_type"] not in kinds:
            raise Refused(Code.INVALID_REQUEST, f"resource type {resource['resource_type']} is none of {kinds}")
        return {} if resource["resource_type"] == _BROKER else self.topics.get(resource["resource_name"]).configs

    async def alter_configs(self, request: Request) -> Fields:
        """Replace the configuration of topics."""
        dry_run = request.body.get("validate_only", False)
        return {"resources": [self._alter_config(resource, dry_run) for resource in request.body["resources"]]}

    def _alter_config(self, resource: Fields, dry_run: bool) -> Fields:
        answer = {"error_code": Code.NONE, "error_message": None, **resource}
        try:
            self._own_configs(resource, _TOPIC)
            configs = {each["config_name"]: each["config_value"] for each in resource["config_entries"]}
            self.topics.configure(resource["resource_name"], configs, dry_run=dry_run)
        except Refused as refused:
            answer.update(error_code=refused.code, error_message=str(refused))
        return answer

    async def init_producer_id(self, request: Request) -> Fields:
        """A fresh producer id, for idempotence; none for transactions."""
        if request.body["transactional_id"]:
            code = Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            _log.warning("client %r asked for transactions, which the embedded broker has not", request.client_id)
            return {"error_code": code, "producer_id": -1, "producer_epoch": -1}
        return {"error_code": Code.NONE, "producer_id": next(self._producer_ids), "producer_epoch": 0}


def _check_placement(wanted: Fields) -> None:
    if wanted["replica_assignment"]:
        raise Refused(Code.INVALID_REPLICA_ASSIGNMENT, "there is one broker: leave the placement to it")
    if wanted["replication_factor"] not in (-1, 1):
        raise Refused(Code.INVALID_REPLICATION_FACTOR, "there is one broker: the replication factor is 1")
