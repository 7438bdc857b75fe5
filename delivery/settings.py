"""What deliveries can be told: small frozen settings, filled by whoever starts them."""

from dataclasses import dataclass

from delivery.target import Target
from plumbing.kafka_admin import NO_SECURITY, KafkaSecurity
from schemas.topics import ALERTS, DEAD


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """All that a delivery process needs."""

    brokers: str
    targets: tuple[Target, ...]
    app_id: str = "platefleet"
    """Each target is the consumer group `<app_id>-deliver-<name>`."""
    instance_id: str | None = None
    """Stable name of this process over restarts; None: an ordinary member of its groups."""
    alerts_topic: str = ALERTS.name
    dead_topic: str = DEAD.name
    first_wait_s: float = 1.0
    most_wait_s: float = 300.0
    """Waits between tries double from the first to the most."""
    refusals: int = 5
    """A message that a target refuses for what it says becomes a dead letter after so many tries."""
    notify_give_up_s: float = 3600.0
    """A message to people becomes a dead letter after so many seconds of tries."""
    security: KafkaSecurity = NO_SECURITY

    def __post_init__(self) -> None:
        names = [target.name for target in self.targets]
        if not names or len(set(names)) != len(names):
            raise ValueError("deliveries need at least one target, and each a name of its own")
