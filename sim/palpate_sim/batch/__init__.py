"""The batched cell: features of many probes at once, from the same physics as the full cell, without its streams."""
