"""Speed and memory of the probing environment, beside panda-gym in the same run, and of the full cell."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy.special import stdtrit

from palpate_agents.errors import PalpateError
from palpate_agents.observation import MAX_PROBES, Primitive, ProbeGoal
from palpate_agents.probing.decoder import ACTION_SIZE, LIFT_BELOW
from palpate_agents.samples import Execution
from palpate_sim.episodes import OVERVIEWS
from palpate_sim.library import PartLibrary

Progress = Callable[[str], None]

CELLS = 512
STEPS = MAX_PROBES - OVERVIEWS
"""Of an episode."""
PANDA_GYM = """
import json, sys, time
import gymnasium, panda_gym
env = gymnasium.make("PandaReach-v3")
env.action_space.seed(0)
env.reset(seed=0)
rates = []
for _ in range(int(sys.argv[1])):
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < float(sys.argv[2]):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        if terminated or truncated:
            env.reset()
    rates.append(steps / (time.perf_counter() - began))
print(json.dumps(rates))
"""
"""Child process: two PyBullet worlds do not share one, and a missing package costs one figure."""
CHILD_TIMEOUT_S = 300.0


def figure(values: list[float]) -> dict[str, float]:
    """Mean of repeats with its 95 % interval."""
    mean, n = statistics.fmean(values), len(values)
    half = float(stdtrit(n - 1, 0.975)) * statistics.stdev(values) / math.sqrt(n) if n > 1 else 0.0
    return {"value": mean, "low": mean - half, "high": mean + half, "n": n}


def random_actions(rng: np.random.Generator, cells: int, last: bool) -> NDArray[np.float64]:
    """(cells, 7) uniform; only the last probe of an episode lifts, because nothing follows a lift."""
    actions = rng.uniform(-1.0, 1.0, (cells, ACTION_SIZE))
    if not last:
        actions[:, 2] = np.maximum(actions[:, 2], LIFT_BELOW)
    return actions


def bench_env(
    library: PartLibrary, *, quick: bool = False, seed: int = 0, progress: Progress = print
) -> dict[str, Any]:
    """All figures.

    Args:
        library: of geometries.
        quick: shorter repeats and fewer episodes.
        seed: of parts and actions.
        progress: gets a line for each step.

    Returns:
        content of the result file: benchmark, seeds, metrics, baselines, wall_s.
    """
    began = time.monotonic()
    repeats, seconds, episodes = (5, 0.5, 3_000) if quick else (7, 3.0, 100_000)
    metrics: dict[str, dict[str, float]] = {}
    progress("one cell")
    alone, together = _single_steps(library, seed, repeats, seconds)
    metrics["probe_steps_per_s"] = figure(alone)
    metrics["probe_steps_per_s_with_resets"] = figure(together)
    metrics["resets_per_s"] = figure(_resets(library, seed, repeats, 0.3 * seconds))
    workers = min(2, os.cpu_count() or 1)
    progress(f"{CELLS} cells, {workers} processes")
    metrics["probe_steps_per_s_batched"] = figure(_batched_steps(library, seed, repeats, seconds, workers))
    progress("panda-gym")
    rates, why = panda_gym_rates(repeats, seconds)
    if rates:
        metrics["panda_gym_steps_per_s"] = figure(rates)
    else:
        progress(f"panda_gym_steps_per_s is left out: {why}")
    progress(f"memory over {episodes} episodes")
    metrics["rss_growth"] = _rss_growth(library, seed, episodes)
    progress("full cell with pictures")
    metrics["real_time_factor"] = figure(_real_time(seed, repeats, 1.0 if quick else 4.0))
    wall_s = round(time.monotonic() - began, 1)
    return {"benchmark": "env", "seeds": [seed], "metrics": metrics, "baselines": {}, "wall_s": wall_s}


def _single_steps(library: PartLibrary, seed: int, repeats: int, seconds: float) -> tuple[list[float], list[float]]:
    """Steps per second of one cell: of the steps alone, and with the resets between episodes."""
    from palpate_sim.env import ProbeEnv
    from palpate_sim.episodes import Episodes

    env, rng = ProbeEnv(library=library), np.random.default_rng(seed)
    many = Episodes(256, seed, library=library)
    many.reset()
    many.step(random_actions(rng, 256, last=True))  # every primitive fills its tables
    env.reset(seed=seed)
    alone, together, number = [], [], 0
    for _ in range(repeats + 1):
        began, stepping, done = time.perf_counter(), 0.0, 0
        while time.perf_counter() - began < seconds:
            number += 1
            action = random_actions(rng, 1, number % STEPS == 0)[0]
            start = time.perf_counter()
            *_, terminated, truncated, _ = env.step(action)
            stepping += time.perf_counter() - start
            done += 1
            if terminated or truncated:
                env.reset()
                number = 0
        alone.append(done / stepping)
        together.append(done / (time.perf_counter() - began))
    return alone[1:], together[1:]


def _resets(library: PartLibrary, seed: int, repeats: int, seconds: float) -> list[float]:
    from palpate_sim.env import ProbeEnv

    env = ProbeEnv(library=library)
    env.reset(seed=seed)

    def reset() -> int:
        env.reset()
        return 1

    return _rates(reset, repeats, seconds)


def _batched_steps(library: PartLibrary, seed: int, repeats: int, seconds: float, workers: int) -> list[float]:
    from palpate_sim.vec_env import ProbeVectorEnv

    env, rng = ProbeVectorEnv(CELLS, library=library, seed=seed, workers=workers), np.random.default_rng(seed)
    try:
        env.reset(seed=seed)
        state = {"step": 0}

        def step() -> int:
            state["step"] += 1
            env.step(random_actions(rng, CELLS, state["step"] % STEPS == 0))
            return CELLS

        return _rates(step, repeats, seconds)
    finally:
        env.close()


def _rates(step: Callable[[], int], repeats: int, seconds: float) -> list[float]:
    """Steps per second of several repeats; one more before them fills the tables."""
    rates = []
    for _ in range(repeats + 1):
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            done += step()
        rates.append(done / (time.perf_counter() - began))
    return rates[1:]


def panda_gym_rates(repeats: int, seconds: float) -> tuple[list[float], str]:
    """Steps per second of PandaReach in a child process, or none and why."""
    command = [sys.executable, "-c", PANDA_GYM, str(repeats), str(seconds)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"its process did not end well: {error}"
    if child.returncode != 0:
        if "ModuleNotFoundError" in child.stderr:
            return [], "panda-gym is not installed; pip install -r requirements/bench.txt"
        return [], (child.stderr.strip().splitlines() or ["its process failed without a word"])[-1]
    return [float(rate) for rate in json.loads(child.stdout.strip().splitlines()[-1])], ""


def _rss_growth(library: PartLibrary, seed: int, episodes: int) -> dict[str, float]:
    """Growth of this process' memory, as a share, from a tenth of the episodes to their end."""
    from palpate_sim.vec_env import ProbeVectorEnv

    env, rng, process = ProbeVectorEnv(CELLS, library=library, seed=seed), np.random.default_rng(seed), psutil.Process()
    env.reset(seed=seed)
    ended, steps, start = 0, 0, 0
    while ended < episodes:
        steps += 1
        _, _, terminated, truncated, _ = env.step(random_actions(rng, CELLS, steps % STEPS == 0))
        ended += int((terminated | truncated).sum())
        if not start and ended >= 0.1 * episodes:
            start = process.memory_info().rss
    growth = process.memory_info().rss / start - 1.0
    env.close()
    return {"value": growth, "low": growth, "high": growth, "n": ended}


def _real_time(seed: int, repeats: int, seconds: float) -> list[float]:
    """Simulated over real seconds of the full cell: wrench at 1 kHz, 320x240 pictures at 10 Hz, probes all the time."""
    from palpate_sim.cell import CellConfig, SimCell

    cell = SimCell(CellConfig(), seed)
    factors = []
    try:
        cell.present_part("bench", 0)
        goals = _some_goals(cell)
        running, number = False, 0
        for _ in range(repeats + 1):
            began, simulated = time.perf_counter(), 0.0
            while simulated < seconds:
                if not running:
                    cell.start_probe(goals[number % len(goals)], "bench", "part", number)
                    running, number = True, number + 1
                samples = cell.advance(20_000_000)
                simulated += 0.02
                running = not any(isinstance(sample, Execution) for sample in samples)
            factors.append(simulated / (time.perf_counter() - began))
    finally:
        cell.close()
    return factors[1:]


def _some_goals(cell: Any) -> list[ProbeGoal]:
    body = cell.world.parts[0]
    if body is None:
        raise PalpateError("no part lies in the cell")
    x, y, z = (float(v) for v in body.position)
    point = x, y, z + 0.5 * float(body.part.dimensions_m[2])
    return [ProbeGoal(kind, point) for kind in (Primitive.LOOK, Primitive.TAP, Primitive.PRESS, Primitive.DWELL)]
