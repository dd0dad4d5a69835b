"""The rights of `topics/permissions.py` as Kafka's access control lists: for kafka-acls.sh to read, or applied."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from topics.cluster import Cluster
from topics.permissions import Permission, Role, permissions

REQUEST_SECONDS: Final = 30.0
_RESOURCES: Final = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}

Principals = Mapping[Role, str]
"""Role -> its principal's name, such as `otb-worker`, or `CN=worker,O=bank` where certificates tell who it is"""


def default_principals(app_id: str) -> dict[Role, str]:
    """`APP_ID-ROLE` for every role."""
    return {role: f"{app_id}-{role}" for role in Role}


def bindings(principals: Principals, app_id: str) -> list[AclBinding]:
    """One binding for every operation that is allowed."""
    return [
        _binding(principal, permission, operation)
        for principal, permission in _granted(principals, app_id)
        for operation in permission.operations
    ]


def commands(bootstrap: str, principals: Principals, app_id: str) -> Iterator[str]:
    """The same as command lines of Kafka's own tool."""
    for principal, permission in _granted(principals, app_id):
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--add"]
        words += ["--allow-principal", f"User:{principal}"]
        for operation in permission.operations:
            words += ["--operation", operation.capitalize()]
        words += [f"--{permission.resource}", permission.name]
        words += ["--resource-pattern-type", "prefixed"] if permission.prefixed else []
        yield shlex.join(words)


def apply(cluster: Cluster, wanted: Iterable[AclBinding]) -> None:
    """Add them; what is there already stays. Raises KafkaException, when the brokers have no authorizer as well."""
    admin = AdminClient({**cluster.librdkafka(), "log_level": 0})
    for added in admin.create_acls(list(wanted), request_timeout=REQUEST_SECONDS).values():
        added.result()


def _granted(principals: Principals, app_id: str) -> Iterator[tuple[str, Permission]]:
    for role, principal in principals.items():
        for permission in permissions(role, app_id):
            yield principal, permission


def _binding(principal: str, permission: Permission, operation: str) -> AclBinding:
    return AclBinding(
        _RESOURCES[permission.resource],
        permission.name,
        ResourcePatternType.PREFIXED if permission.prefixed else ResourcePatternType.LITERAL,
        f"User:{principal}",
        "*",  # from any host
        AclOperation[operation.upper()],
        AclPermissionType.ALLOW,
    )
