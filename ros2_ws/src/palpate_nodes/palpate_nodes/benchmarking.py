"""The result file of every benchmark: what was printed, with seeds, versions, machine and wall time."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def finish(result: dict[str, Any], *, quick: bool, json_file: Path | None, console: Console) -> None:
    """Print a result as a table, and write the result file.

    Args:
        result: benchmark, seeds, metrics {name: {value, low, high, n}}, baselines {baseline: metrics}, wall_s.
        quick: the small version; the file says so.
        json_file: where to write; None: nowhere.
        console: where to print.
    """
    table = Table(title=f"{result['benchmark']}{' (quick)' if quick else ''}")
    for heading in ("who", "metric", "value", "95 % interval", "n"):
        table.add_column(heading)
    for who, metrics in {"palpate": result["metrics"], **result["baselines"]}.items():
        for name, figure in metrics.items():
            interval = f"{figure['low']:.4g} .. {figure['high']:.4g}"
            table.add_row(who, name, f"{figure['value']:.4g}", interval, str(figure["n"]))
    console.print(table)
    console.print(f"seeds {result['seeds']}, {result['wall_s']:.0f} s")
    if json_file is not None:
        content = {**result, "version": version("palpate"), "quick": quick, "machine": machine()}
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(content, indent=1) + "\n")
        console.print(f"written  {json_file}")


def machine() -> dict[str, Any]:
    """Processor, cores, GPU and versions."""
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.machine()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
