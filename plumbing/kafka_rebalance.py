"""Rebalances of kafka-python's consumer, which come on its own thread while `poll` waits, to a RebalanceListener."""

import logging
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer
from kafka import TopicPartition as KafkaPartition

from plumbing.bus import RebalanceListener, TopicPartition

log = logging.getLogger(__name__)


class Committer(Protocol):
    """The consumer, as this adapter needs it."""

    def deferred_commits(self) -> AbstractContextManager[dict[TopicPartition, int]]:
        """While it is entered, commits are collected instead of sent."""

    async def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit from the client's own thread."""


class Rebalance(AsyncConsumerRebalanceListener):
    """Hands kafka-python's rebalance calls, which come on its own thread while `poll` waits, to a RebalanceListener."""

    def __init__(self, consumer: Committer, listener: RebalanceListener) -> None:
        self._consumer = consumer
        self._listener = listener

    async def on_partitions_revoked(self, revoked: Collection[KafkaPartition]) -> None:
        """Tell the listener; send what it commits before the group goes on."""
        if revoked:
            with self._consumer.deferred_commits() as offsets:
                self._listener.on_revoked(ours(revoked))
            if offsets:
                await self._consumer.commit_now(offsets)

    async def on_partitions_lost(self, lost: Collection[KafkaPartition]) -> None:
        """Tell the listener; the group has given the partitions away, so nothing can be committed."""
        if lost:
            with self._consumer.deferred_commits() as offsets:
                self._listener.on_revoked(ours(lost))
            if offsets:
                log.warning("membership was lost; %d partitions are read again by their new owner", len(offsets))

    async def on_partitions_assigned(self, assigned: Collection[KafkaPartition]) -> None:
        """Tell the listener."""
        if assigned:
            self._listener.on_assigned(ours(assigned))


def finish_rebalances(consumer: KafkaConsumer) -> None:
    """Make the consumer finish a rebalance that it began because topics or partitions had changed.

    kafka-python 3.0.12 takes the change for dealt with as soon as it has assigned partitions. A `poll` whose time is up
    before the group has answered then leaves the answer where it is, and with it heartbeats switched off: the member
    reads nothing and does not know it. (The Java client had the like: KAFKA-9815.)
    """
    coordinator = consumer._coordinator
    asked = coordinator.need_rejoin

    def need_rejoin() -> bool:
        return bool(asked()) or (coordinator.rejoining and consumer._subscription.partitions_auto_assigned())

    coordinator.need_rejoin = need_rejoin


def ours(partitions: Collection[KafkaPartition]) -> list[TopicPartition]:
    """kafka-python's partitions as the bus names them, sorted."""
    return sorted(TopicPartition(p.topic, p.partition) for p in partitions)


def theirs(partitions: Collection[TopicPartition]) -> list[KafkaPartition]:
    """The bus's partitions as kafka-python names them."""
    return [KafkaPartition(p.topic, p.partition) for p in partitions]
