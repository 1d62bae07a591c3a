"""What stays is hidden from Python's collector of cycles."""

from __future__ import annotations

import gc


def freeze_long_lived() -> None:
    """Takes everything that exists now out of the collector's rounds.

    A full round over a loaded model, rclpy and torch takes 50 to 150 ms, and would come in the middle of a belief. What
    is made later is collected as ever. Call it when set-up is done; safe to call again.
    """
    gc.collect()
    gc.freeze()
