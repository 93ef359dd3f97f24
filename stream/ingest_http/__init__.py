"""`midwatch ingest`: telemetry over HTTP, written to Kafka and answered when it is stored."""
