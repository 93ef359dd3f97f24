"""The decoding edge: Kafka records of any supported format in, events or rejections out."""

from stream.adapters.controls import decode_controls
from stream.adapters.deadletter import dead_letter
from stream.adapters.decoder import Columns, Counters, Decoded, Decoder, KafkaRecord, Limits, Record
from stream.adapters.native import (
    Authorization,
    CircuitBreaker,
    Deployment,
    Evaluation,
    Interaction,
    NativeEvent,
    Usage,
)
from stream.adapters.payload import Origin
from stream.adapters.rejection import Rejection

__all__ = [
    "Authorization",
    "CircuitBreaker",
    "Columns",
    "Counters",
    "Decoded",
    "Decoder",
    "Deployment",
    "Evaluation",
    "Interaction",
    "KafkaRecord",
    "Limits",
    "NativeEvent",
    "Origin",
    "Record",
    "Rejection",
    "Usage",
    "dead_letter",
    "decode_controls",
]
