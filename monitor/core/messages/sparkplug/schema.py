"""The Protocol Buffers messages of Sparkplug B, as far as samples need them.

The schema is a table of fields; the classes are made from it by protobuf's runtime, so that no generated code depends
on one release of protobuf. Fields that are not in the table (data sets, templates, properties, metadata) are kept by
protobuf as unknown bytes: they are never taken apart, so they cost no more than their length. Source: Sparkplug
specification 3.0, section 6.4, and its appendix.
"""

from enum import IntEnum
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "sparkplug"

_TABLE = {
    "Metric": {
        # Names are text. As bytes, protobuf takes any, and what is not UTF-8 is found where it is decoded.
        "name": (1, _FIELD.TYPE_BYTES),
        "alias": (2, _FIELD.TYPE_UINT64),
        "timestamp": (3, _FIELD.TYPE_UINT64),
        "datatype": (4, _FIELD.TYPE_UINT32),
        "is_historical": (5, _FIELD.TYPE_BOOL),
        "is_null": (7, _FIELD.TYPE_BOOL),
        "int_value": (10, _FIELD.TYPE_UINT32),
        "long_value": (11, _FIELD.TYPE_UINT64),
        "float_value": (12, _FIELD.TYPE_FLOAT),
        "double_value": (13, _FIELD.TYPE_DOUBLE),
        "boolean_value": (14, _FIELD.TYPE_BOOL),
        "bytes_value": (16, _FIELD.TYPE_BYTES),
    },
    "Payload": {
        "timestamp": (1, _FIELD.TYPE_UINT64),
        "metrics": (2, _FIELD.TYPE_MESSAGE),
        "seq": (3, _FIELD.TYPE_UINT64),
    },
}
"""Number and type of each field, by message."""


class Datatype(IntEnum):
    """The types of metrics that can hold samples."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BYTES = 17
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31


def _classes() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug.proto", package=_PACKAGE, syntax="proto2")
    for message, fields in _TABLE.items():
        made = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            # Names, types and numbers are protobuf's own enums, which its stubs do not accept as integers.
            field: Any = made.field.add(name=name, number=number)
            field.type = kind
            field.label = _FIELD.LABEL_REPEATED if kind == _FIELD.TYPE_MESSAGE else _FIELD.LABEL_OPTIONAL
            if kind == _FIELD.TYPE_MESSAGE:
                field.type_name = f".{_PACKAGE}.Metric"
    # A pool of its own: other schemas of the same package in the process do not matter.
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    payload, metric = (pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in ("Payload", "Metric"))
    return message_factory.GetMessageClass(payload), message_factory.GetMessageClass(metric)


PayloadMessage, MetricMessage = _classes()
"""The classes of protobuf."""
