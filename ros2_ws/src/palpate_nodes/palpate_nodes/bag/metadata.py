"""`metadata.yaml` of a rosbag2 directory, version 9 (ROS 2 Jazzy and later), and the custom data in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from palpate_agents.errors import DataError

FILE_NAME = "metadata.yaml"
VERSION = 9
ROOT = "rosbag2_bagfile_information"

# Keys of the custom data. The same keys stand in the MCAP metadata record `RECORD_NAME` of every file.
RECORD_NAME = "palpate"
DROPS_RECORD = "palpate.dropped"
SESSION = "palpate.session_id"
PALPATE_VERSION = "palpate.version"
MODEL_HASH = "palpate.model_hash."  # followed by the model's name
STATE = "palpate.state"  # recording, complete, stopped or recovered
STOP_REASON = "palpate.stop_reason"
DROPPED = "palpate.dropped"  # JSON: topic -> messages that were sent and are not in the bag
RECOVERED_LOST_BYTES = "palpate.recovered_lost_bytes"

STATE_RECORDING, STATE_COMPLETE, STATE_STOPPED, STATE_RECOVERED = "recording", "complete", "stopped", "recovered"

_INFINITE = {"sec": 9223372036, "nsec": 854775807}


@dataclass(frozen=True)
class TopicSpec:
    """A recorded topic.

    Attributes:
        name: fully qualified.
        type: `pkg/msg/Type`.
        definition: message definition, nested types included.
        type_hash: RIHS01, or empty.
        qos: offered profiles as rosbag2 spells them.
        encoding: schema encoding.
    """

    name: str
    type: str
    definition: str
    type_hash: str = ""
    qos: tuple[Mapping[str, Any], ...] = ()
    encoding: str = "ros2msg"


@dataclass
class FileEntry:
    """One file of a bag."""

    name: str
    start_ns: int = 0
    end_ns: int = 0
    messages: int = 0


@dataclass
class BagMetadata:
    """What `metadata.yaml` says."""

    files: list[FileEntry] = field(default_factory=list)
    topics: list[TopicSpec] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # topic name -> messages
    custom: dict[str, str] = field(default_factory=dict)
    storage: str = "mcap"
    compression_mode: str = ""
    distro: str = ""


def qos_entry(*, depth: int, reliable: bool = True, latched: bool = False) -> dict[str, Any]:
    """One offered keep-last profile in rosbag2's spelling."""
    return {
        "history": "keep_last",
        "depth": depth,
        "reliability": "reliable" if reliable else "best_effort",
        "durability": "transient_local" if latched else "volatile",
        "deadline": dict(_INFINITE),
        "lifespan": dict(_INFINITE),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(_INFINITE),
        "avoid_ros_namespace_conventions": False,
    }


class _Dumper(yaml.SafeDumper):
    """Without anchors: the YAML reader of rosbag2 gets plain maps."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(value: Any) -> str:
    """YAML text, keys in the order given."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True)


def channel_metadata(topic: TopicSpec) -> dict[str, str]:
    """Metadata of a channel, with the keys of rosbag2_storage_mcap."""
    return {
        "offered_qos_profiles": dump(list(topic.qos)).strip() if topic.qos else "",
        "topic_type_hash": topic.type_hash,
    }


def topic_of_channel(
    name: str, type_name: str, definition: bytes, encoding: str, values: Mapping[str, str]
) -> TopicSpec:
    """The inverse of `channel_metadata`; unreadable profiles are left out."""
    try:
        profiles = yaml.safe_load(values.get("offered_qos_profiles", "") or "[]")
    except yaml.YAMLError:
        profiles = []
    qos = tuple(entry for entry in profiles if isinstance(entry, dict)) if isinstance(profiles, list) else ()
    text = definition.decode("utf-8", errors="replace")
    return TopicSpec(name, type_name, text, values.get("topic_type_hash", ""), qos, encoding)


def information(bag: BagMetadata) -> dict[str, Any]:
    """The map below `rosbag2_bagfile_information`."""
    filled = [entry for entry in bag.files if entry.messages]
    start = min((entry.start_ns for entry in filled), default=0)
    end = max((entry.end_ns for entry in filled), default=0)
    return {
        "version": VERSION,
        "storage_identifier": bag.storage,
        "duration": {"nanoseconds": end - start},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": sum(bag.counts.values()),
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.type,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [dict(entry) for entry in topic.qos],
                    "type_description_hash": topic.type_hash,
                },
                "message_count": bag.counts.get(topic.name, 0),
            }
            for topic in bag.topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [entry.name for entry in bag.files],
        "files": [
            {
                "path": entry.name,
                "starting_time": {"nanoseconds_since_epoch": entry.start_ns},
                "duration": {"nanoseconds": entry.end_ns - entry.start_ns},
                "message_count": entry.messages,
            }
            for entry in bag.files
        ],
        "custom_data": dict(bag.custom) or None,
        "ros_distro": bag.distro,
    }


def write(directory: Path, bag: BagMetadata) -> None:
    """Replace `metadata.yaml` in one step.

    Raises:
        OSError: the file system refuses; the former file is untouched.
    """
    temporary = directory / (FILE_NAME + ".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(dump({ROOT: information(bag)}))
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(directory / FILE_NAME)


def read(directory: Path) -> BagMetadata | None:
    """What `metadata.yaml` of a bag says; None where there is none.

    Raises:
        DataError: it cannot be read, or it is no rosbag2 metadata.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        values = content[ROOT]
        counts = values["topics_with_message_count"] or []
        files = values.get("files") or [{"path": name} for name in values["relative_file_paths"]]
        return BagMetadata(
            files=[_file_entry(entry) for entry in files],
            topics=[_topic(entry["topic_metadata"]) for entry in counts],
            counts={entry["topic_metadata"]["name"]: int(entry["message_count"]) for entry in counts},
            custom={str(key): str(value) for key, value in (values.get("custom_data") or {}).items()},
            storage=str(values["storage_identifier"]),
            compression_mode=str(values.get("compression_mode") or "").lower(),
            distro=str(values.get("ros_distro") or ""),
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is no rosbag2 metadata: {error!r}") from error


def _file_entry(values: Mapping[str, Any]) -> FileEntry:
    start = int((values.get("starting_time") or {}).get("nanoseconds_since_epoch", 0))
    duration = int((values.get("duration") or {}).get("nanoseconds", 0))
    return FileEntry(Path(str(values["path"])).name, start, start + duration, int(values.get("message_count", 0)))


def _topic(values: Mapping[str, Any]) -> TopicSpec:
    return TopicSpec(str(values["name"]), str(values["type"]), "", str(values.get("type_description_hash") or ""))


def dropped_text(dropped: Mapping[str, int]) -> str:
    """Drops per topic as they stand in the custom data."""
    return json.dumps({topic: count for topic, count in sorted(dropped.items()) if count}, separators=(",", ":"))


def parse_dropped(text: str) -> dict[str, int]:
    """Inverse of `dropped_text`; an unreadable text counts as unknown (empty)."""
    try:
        values = json.loads(text or "{}")
        return {str(topic): int(count) for topic, count in values.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def topic_type(message_type: type) -> str:
    """`pkg/msg/Type` of a Python message class."""
    return f"{message_type.__module__.split('.')[0]}/msg/{message_type.__name__}"


def merge_topics(groups: Iterable[Iterable[TopicSpec]]) -> list[TopicSpec]:
    """Topics of several files, each (name, type) once, in order of appearance."""
    merged: dict[tuple[str, str], TopicSpec] = {}
    for group in groups:
        for topic in group:
            merged.setdefault((topic.name, topic.type), topic)
    return list(merged.values())
