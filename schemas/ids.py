"""Deterministic identities: the same input names the same thing, however often it is processed."""

from uuid import UUID, uuid5

_NAMESPACE = UUID("6d1f8a52-9c0e-5b5e-8f44-0b7c2f7a1e63")


def _name(kind: str, *parts: object) -> str:
    return str(uuid5(_NAMESPACE, "\x1f".join((kind, *map(str, parts)))))


def sighting_id(camera_id: str, first_seq: int, rank: int) -> str:
    """Identity of the sighting that the `rank`-th read of frame `first_seq` opened."""
    return _name("sighting", camera_id, first_seq, rank)


def alert_id(hotlist_id: str, entry: str, sighting: str) -> str:
    """Identity of the one alert that an entry and a sighting make."""
    return _name("alert", hotlist_id, entry, sighting)


def dead_id(stage: str, topic: str, partition: int, offset: int) -> str:
    """Identity of the dead letter that one stage wrote of one record."""
    return _name("dead", stage, topic, partition, offset)
