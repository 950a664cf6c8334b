"""A client of Kafka that nobody here wrote (kafka-python), with the messages that protoc makes of proto/.

client.py read <brokers> <topic> <count>    prints what it reads, a JSON object a line
client.py write <brokers> <topic>           writes what it reads from its input: {"key", "event"} or {"key", "raw"} a line
"""

import base64
import json
import pathlib
import sys
import tempfile

from google.protobuf import json_format
from grpc_tools import protoc
from kafka import KafkaConsumer, KafkaProducer


def envelope_type():
    root = pathlib.Path(__file__).resolve().parents[2] / "proto"
    out = tempfile.mkdtemp()
    file = "platform/events/v1/events.proto"
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    if protoc.main(["protoc", f"-I{root}", f"-I{include}", f"--python_out={out}", file]) != 0:
        sys.exit("protoc does not take proto/")
    # `platform` is a module of Python's own, too: the file is read by its path.
    import importlib.util

    spec = importlib.util.spec_from_file_location("events_pb2", f"{out}/platform/events/v1/events_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EventEnvelope


def read(envelope, brokers, topic, count):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id=f"python-{topic}",
        auto_offset_reset="earliest",
        consumer_timeout_ms=30000,
    )
    for record in consumer:
        event = envelope.FromString(record.value)
        told = {
            "topic": record.topic,
            "partition": record.partition,
            "key": record.key.decode(),
            "headers": {name: value.decode() for name, value in record.headers},
            "event": json_format.MessageToDict(event, preserving_proto_field_name=True),
        }
        print(json.dumps(told))
        count -= 1
        if count == 0:
            break
    consumer.close()


def write(envelope, brokers, topic):
    producer = KafkaProducer(bootstrap_servers=brokers, acks="all")
    for line in sys.stdin:
        said = json.loads(line)
        value = base64.b64decode(said["raw"]) if "raw" in said else json_format.ParseDict(said["event"], envelope()).SerializeToString()
        headers = [(name, value.encode()) for name, value in said.get("headers", {}).items()]
        key = said["key"].encode() if said.get("key") is not None else None
        producer.send(topic, value=value, key=key, headers=headers).get(timeout=30)
    producer.close()


if __name__ == "__main__":
    verb, brokers, topic, *rest = sys.argv[1:]
    if verb == "read":
        read(envelope_type(), brokers, topic, int(rest[0]))
    else:
        write(envelope_type(), brokers, topic)
