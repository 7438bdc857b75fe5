"""`platefleet topics`: the topic table in, topics on the broker out."""

import click

from fleet.terminal import err, print_json


@click.command()
@click.option("--brokers", default=None, help="Kafka; default: PLATEFLEET_BROKERS, or the Kafka of a running `up`.")
@click.option(
    "--wait", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds to wait for Kafka."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def topics(brokers: str | None, wait: float, as_json: bool) -> None:
    """Create the topics that are missing; those that exist are left as they are."""
    from fleet.rooms import kafka_security, topic_partitions
    from fleet.running import find_brokers
    from fleet.settings import load_settings
    from plumbing.kafka_bus import create_topics
    from schemas.topics import TOPICS

    settings = load_settings()
    created = create_topics(
        brokers or find_brokers(settings),
        TOPICS,
        partitions=topic_partitions(settings),
        replication=settings.replication,
        timeout=wait,
        security=kafka_security(settings),
    )
    if as_json:
        print_json({"created": created, "topics": [topic.name for topic in TOPICS]})
    else:
        err.print(f"{len(created)} topics created, {len(TOPICS) - len(created)} were there")
