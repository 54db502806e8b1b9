"""Receivers of audit events, and what reads them where they were put. Each writes or prints one event a line.

receivers.py web PORT CERTIFICATE KEY FOLDER   Splunk's event collector and a signed webhook, over HTTPS; OTLP over HTTP
receivers.py otlp PORT CERTIFICATE KEY CA FOLDER   OTLP by gRPC, which asks for a client's certificate
receivers.py topic BROKER CA PASSWORD TOPIC PARTITIONS   makes a topic
receivers.py kafka BROKER CA PASSWORD TOPIC    prints key, partition and value of each record
receivers.py bucket ENDPOINT CA BUCKET         makes a bucket
receivers.py lake ENDPOINT CA BUCKET           prints what DuckDB reads in the bucket's Parquet

The collector keeps to Splunk's documentation of the HTTP Event Collector: it is no Splunk.
"""

import concurrent.futures
import json
import ssl
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "Splunk hec-token"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Lines:
    """A file of lines; what is in it when a request is answered is there for good."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1)
        self.lock = threading.Lock()

    def add(self, lines):
        with self.lock:
            self.file.write("".join(line + "\n" for line in lines))
            self.file.flush()


def web(port, certificate, key, folder):
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
    from standardwebhooks.webhooks import Webhook

    collector, hook, otlp = (Lines(Path(folder) / f"{name}.jsonl") for name in ("splunk", "webhook", "otlp-http"))
    busy = {"/services/collector/event": 1, "/hook": 1, "/v1/logs": 1}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words):
            pass

        def answer(self, status, body, kind="application/json"):
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            # Everyone is busy once.
            if busy.get(self.path, 0) > 0:
                busy[self.path] -= 1
                return self.answer(503, {"text": "Server is busy", "code": 9})
            if self.path == "/services/collector/event":
                return self.collect(body)
            if self.path == "/hook":
                Webhook(SECRET).verify(body.decode(), {name.lower(): value for name, value in self.headers.items()})
                hook.add(json.dumps(event) for event in json.loads(body)["data"])
                return self.answer(204, b"")
            if self.path == "/v1/logs":
                assert self.headers["Content-Type"] == "application/x-protobuf"
                assert self.headers["Authorization"] == "Bearer otlp-token"
                request = logs.ExportLogsServiceRequest.FromString(body)
                otlp.add(records(request))
                done = logs.ExportLogsServiceResponse().SerializeToString()
                return self.answer(200, done, "application/x-protobuf")
            return self.answer(404, {})

        def collect(self, body):
            if self.headers["Authorization"] != TOKEN:
                return self.answer(403, {"text": "Invalid token", "code": 4})
            decoder, text, events = json.JSONDecoder(), body.decode().strip(), []
            while text:
                try:
                    one, end = decoder.raw_decode(text)
                except ValueError:
                    number = len(events)
                    return self.answer(400, {"text": "Invalid data format", "code": 6, "invalid-event-number": number})
                if not one.get("event"):
                    return self.answer(400, {"text": "Event field is required", "code": 12})
                assert isinstance(one["time"], float) and one["host"] and one["sourcetype"] == "mcp-auditor:ocsf"
                events.append(json.dumps(one["event"]))
                text = text[end:].lstrip()
            collector.add(events)
            return self.answer(200, {"text": "Success", "code": 0})

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def records(request):
    """The events of an export, whose attributes must say the same as they."""
    for resource in request.resource_logs:
        told = {one.key: one.value.string_value for one in resource.resource.attributes}
        assert told["service.name"] == "mcp-auditor" and told["host.name"], told
        for scope in resource.scope_logs:
            for record in scope.log_records:
                event = json.loads(record.body.string_value)
                attributes = {one.key: one.value for one in record.attributes}
                assert attributes["event.id"].string_value == event["metadata"]["uid"]
                assert record.time_unix_nano == event["time"] * 1_000_000
                assert record.event_name == f"mcp.audit.{event['class_uid']}"
                method = event["unmapped"]["mcp"].get("method")
                assert method is None or attributes["mcp.method.name"].string_value == method
                yield record.body.string_value


def otlp(port, certificate, key, authority, folder):
    import grpc
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs

    lines = Lines(Path(folder) / "otlp-grpc.jsonl")

    def export(request, context):
        lines.add(records(request))
        return logs.ExportLogsServiceResponse()

    # What protoc's plugin for gRPC makes of the definition.
    method = grpc.unary_unary_rpc_method_handler(
        export, logs.ExportLogsServiceRequest.FromString, logs.ExportLogsServiceResponse.SerializeToString
    )
    service = "opentelemetry.proto.collector.logs.v1.LogsService"
    handler = grpc.method_handlers_generic_handler(service, {"Export": method})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    pair = (Path(key).read_bytes(), Path(certificate).read_bytes())
    credentials = grpc.ssl_server_credentials([pair], Path(authority).read_bytes(), require_client_auth=True)
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    server.start()
    server.wait_for_termination()


def client(broker, authority, password):
    return {
        "bootstrap.servers": broker,
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": authority,
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "auditor",
        "sasl.password": password,
    }


def topic(broker, authority, password, name, partitions):
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient(client(broker, authority, password))
    for future in admin.create_topics([NewTopic(name, int(partitions), 1)]).values():
        future.result(30)


def kafka(broker, authority, password, name):
    from confluent_kafka import Consumer, KafkaError

    settings = {"group.id": "reader", "auto.offset.reset": "earliest", "enable.partition.eof": True}
    # All of it each time.
    settings["enable.auto.commit"] = False
    consumer = Consumer(client(broker, authority, password) | settings)
    partitions = len(consumer.list_topics(name, 30).topics[name].partitions)
    consumer.subscribe([name])
    ended = set()
    while len(ended) < partitions:
        message = consumer.poll(30)
        assert message is not None, "nothing comes"
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ended.add(message.partition())
            continue
        headers = dict(message.headers())
        event = message.value().decode()
        assert headers["uid"].decode().split(":")[0] == json.loads(event)["metadata"]["uid"]
        print(json.dumps({"key": message.key().decode(), "partition": message.partition(), "value": event}))
    consumer.close()


def store(endpoint, authority):
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="auditor",
        aws_secret_access_key="s3-secret",
        verify=authority if endpoint.startswith("https") else None,
    )


def bucket(endpoint, authority, name):
    constraint = {"LocationConstraint": "eu-central-1"}
    store(endpoint, authority).create_bucket(Bucket=name, CreateBucketConfiguration=constraint)


def lake(endpoint, authority, name):
    import duckdb

    s3 = store(endpoint, authority)
    with tempfile.TemporaryDirectory() as folder:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name)
        for number, one in enumerate(one for page in pages for one in page.get("Contents", [])):
            parts = one["Key"].split("/")
            assert parts[0] == "ext" and parts[1].startswith("mcp-auditor-"), parts
            named = [part.split("=")[0] for part in parts[2:5]]
            assert named == ["region", "accountId", "eventDay"], parts
            target = Path(folder) / "/".join(parts[1:5]) / f"{number}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(name, one["Key"], str(target))
        if not any(Path(folder).iterdir()):
            return
        rows = duckdb.sql(
            f"""SELECT log_index, raw_data, metadata.uid, class_uid, time, unmapped.mcp.method, unmapped.mcp.client.pid,
                   eventDay, strftime(make_timestamp(time * 1000), '%Y%m%d')
                FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)
                ORDER BY log_index NULLS LAST, time"""
        ).fetchall()
        for _, raw, uid, class_uid, time, method, pid, day, same in rows:
            event = json.loads(raw)
            mcp = event["unmapped"]["mcp"]
            assert uid == event["metadata"]["uid"] and class_uid == event["class_uid"] and time == event["time"]
            assert method == mcp.get("method") and pid == (mcp.get("client") or {}).get("pid")
            assert str(day) == same, (day, same)
            print(raw)


if __name__ == "__main__":
    actions = {"web": web, "otlp": otlp, "topic": topic, "kafka": kafka, "bucket": bucket, "lake": lake}
    actions[sys.argv[1]](*sys.argv[2:])
