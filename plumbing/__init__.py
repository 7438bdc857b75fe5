"""What every process needs and that knows nothing of plates: clock, retry, metrics, logs, the bus."""
