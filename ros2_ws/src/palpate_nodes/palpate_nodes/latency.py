"""How long the stack takes from a probe's data to a new belief, on one core, and from a sensor's stamp to a subscriber.

Real windows: parts probed in the simulated full cell, played through the agent again and again. Timed calls are the
agent's own, by the wall clock, with garbage collection as in use.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from palpate_agents.encoders.features import extract
from palpate_agents.fusion import MultimodalFusionNetwork, TokenBatch
from palpate_agents.fusion_memory import FusionMemory
from palpate_agents.observation import MAX_PROBES, Primitive, ProbeFeatures
from palpate_agents.probing import MaterialCharacterizationAgent, make_strategy
from palpate_agents.signature import ONLY, belief_of
from palpate_nodes.latency_concat import ConcatBelief
from palpate_nodes.latency_parts import PROBES, Messages, RecordedPart, messages_of
from palpate_nodes.latency_streams import STREAMS, measure_streams
from palpate_nodes.long_lived import freeze_long_lived
from palpate_nodes.windows import WindowCutter
from palpate_sim.benchmarks.env import figure
from palpate_sim.kinematics import UrdfModel

BATCHES = (1, 32, 256, 1024)
QUANTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}
BOOTSTRAPS = 1000
PAUSE_S = 0.2
"""Between probes that come as seldom as real ones, so that caches are cold."""
Report = Callable[[str, int, int], None]
"""What is done, how much of it, and how much there is."""
Figures = dict[str, dict[str, float]]


class Timings:
    """Milliseconds of calls, by name and by the object that a call belongs to: a part, or a second of a stream."""

    def __init__(self) -> None:
        self._ms: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, name: str, thing: int, ms: float) -> None:
        """One call."""
        self._ms[name][thing].append(ms)

    def timed(self, name: str, thing: int, call: Callable[..., Any], *args: Any) -> Any:
        """Calls it, keeps how long that took, and gives its result."""
        began = time.perf_counter()
        result = call(*args)
        self.add(name, thing, 1e3 * (time.perf_counter() - began))
        return result

    def values(self, name: str) -> NDArray[np.float64]:
        """All of a name."""
        return np.concatenate([np.asarray(v) for v in self._ms[name].values()])

    def figures(self, name: str, *quantiles: str, seed: int = 0) -> Figures:
        """`<name>_<quantile>_ms` with 95 % bootstrap intervals over objects.

        Args:
            name: of the calls.
            quantiles: names in QUANTILES.
            seed: of the bootstrap.
        """
        groups = [np.asarray(v) for v in self._ms[name].values()]
        wanted = [QUANTILES[q] for q in quantiles]
        rng = np.random.default_rng(seed)
        drawn = rng.integers(0, len(groups), (BOOTSTRAPS if len(groups) > 1 else 1, len(groups)))
        found = np.array([np.percentile(np.concatenate([groups[i] for i in row]), wanted) for row in drawn])
        value = np.percentile(np.concatenate(groups), wanted)
        low, high = np.percentile(found, [2.5, 97.5], axis=0)
        n = sum(len(group) for group in groups)
        return {
            f"{name}_{q}_ms": {"value": float(v), "low": float(a), "high": float(b), "n": n}
            for q, v, a, b in zip(quantiles, value, low, high, strict=True)
        }


@contextmanager
def one_core() -> Iterator[int | None]:
    """Every thread of this process on its last allowed core, torch with one thread; gives the core, None: cannot."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    core = max(allowed) if allowed else None
    try:
        if core is not None:
            _pin({core})
        yield core
    finally:
        if core is not None:
            _pin(allowed)
        torch.set_num_threads(threads)


def _pin(cores: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        try:
            os.sched_setaffinity(int(thread), cores)
        except ProcessLookupError:
            continue  # it has just ended


def bench_latency(
    network: MultimodalFusionNetwork, parts: Sequence[RecordedPart], *, quick: bool, seed: int, report: Report
) -> dict[str, Any]:
    """All figures.

    Args:
        network: gives the belief.
        parts: with their windows.
        quick: fewer repeats.
        seed: of intervals and of the rival's weights.
        report: told how far each step is.

    Returns:
        content of the result file: benchmark, seeds, metrics, baselines, wall_s, pinned_to_core.
    """
    began = time.monotonic()
    calls, passes, seconds = (60, 3, 5.0) if quick else (2_000, 20, 60.0)
    timings = Timings()
    with one_core() as core, torch.inference_mode():
        rival = ConcatBelief(network.config, seed)
        share = time_probes(network, rival, parts, passes, timings, report)
        features = _features(network, parts)
        time_beliefs(network, rival, features, calls, timings, report)
        rates = {name: time_batches(one, features, network, quick, report) for name, one in _states(network, rival)}
    metrics = _pipeline_figures(timings, seed) | rates["fusion"]
    metrics["own_share_of_core"] = {"value": share, "low": share, "high": share, "n": 1}
    metrics |= time_streams(seconds, core, "", report) | time_streams(seconds, None, "free_", report)
    return {
        "benchmark": "latency", "seeds": [seed], "metrics": metrics,
        "baselines": {
            "concat_mlp": timings_of(timings, "concat_fusion", "fusion", seed)
            | timings_of(timings, "concat_belief", "belief", seed) | rates["concat"],
            "no_network": timings_of(timings, "tokens", "fusion", seed),
        },
        "wall_s": round(time.monotonic() - began, 1), "pinned_to_core": core,
    }  # fmt: skip


def timings_of(timings: Timings, name: str, shown: str, seed: int) -> Figures:
    """p50 and p99 under the name of what they compare with."""
    found = timings.figures(name, "p50", "p99", seed=seed)
    return {key.replace(name, shown, 1): value for key, value in found.items()}


def time_probes(
    network: MultimodalFusionNetwork, rival: ConcatBelief, parts: Sequence[RecordedPart], passes: int,
    timings: Timings, report: Report,
) -> float:  # fmt: skip
    """Every part through the agent: first once to warm up, then `passes` times, then once with pauses between probes.

    Returns:
        this process' share of the core while beliefs were timed: well below 1, something else was running.
    """
    # The cutter reads every message of a window, which takes many times as long as the rest: fewer repeats do.
    cuts = max(1, passes // 5)
    urdf = UrdfModel()
    messages = [[messages_of(*probe) for probe in part.probes] for part in parts]
    total, done = len(parts) * (passes + 2), 0
    freeze_long_lived()  # as the probing node does
    for number in range(passes + 2):
        into = Timings() if number == 0 else timings
        pause_s = PAUSE_S if number > passes else 0.0
        for index, part in enumerate(parts):
            if pause_s:
                _probe_part(network, part, index, into, pause_s)
            else:
                _time_steps(network, rival, part, index, into)
                _probe_part(network, part, index, into)
            if number <= cuts:
                _cut_part(urdf, part, messages[index], index, into)
            done += 1
            report("probes", done, total)
    return float(timings.values("belief_cpu").sum() / timings.values("belief").sum())


def _agent(network: MultimodalFusionNetwork, part: RecordedPart) -> MaterialCharacterizationAgent:
    return MaterialCharacterizationAgent(network, make_strategy("fixed"), nominal_position_m=part.position_m)


def _probe_part(
    network: MultimodalFusionNetwork, part: RecordedPart, index: int, timings: Timings, pause_s: float = 0.0
) -> None:
    """`observe` of each probe of a part."""
    agent = _agent(network, part)
    for execution, windows in part.probes:
        if pause_s:
            time.sleep(pause_s)
        cpu, began = time.thread_time_ns(), time.perf_counter()
        agent.observe(execution, windows)
        ms = 1e3 * (time.perf_counter() - began)
        cpu_ms = 1e-6 * (time.thread_time_ns() - cpu)
        if pause_s:
            timings.add("belief_after_pause", index, ms)
            continue
        timings.add("belief", index, ms)
        timings.add("belief_cpu", index, cpu_ms)
        timings.add(f"belief_{execution.primitive.name.lower()}", index, ms)


def _time_steps(
    network: MultimodalFusionNetwork, rival: ConcatBelief, part: RecordedPart, index: int, timings: Timings
) -> None:
    """The steps of `observe`, one by one, and the same probe with the rival at its end."""
    agent = _agent(network, part)
    context, observed = agent.context, []
    for execution, windows in part.probes:
        name = execution.primitive.name.lower()
        began = time.perf_counter()
        context = context.after(execution, windows)
        seen = time.perf_counter()
        observed.append(extract(execution, windows, context))
        extracted = time.perf_counter()
        rival(observed)
        timings.add("concat_belief", index, 1e3 * (time.perf_counter() - began))
        timings.add(f"context_{name}", index, 1e3 * (seen - began))
        timings.add(f"features_{name}", index, 1e3 * (extracted - seen))


def _cut_part(urdf: UrdfModel, part: RecordedPart, messages: Sequence[Messages], index: int, timings: Timings) -> None:
    """Windows out of the raw messages, as the probing node does it before the agent sees anything."""
    cutter = WindowCutter(urdf)
    for (execution, _), stream in zip(part.probes, messages, strict=True):
        for topic, data in stream:
            cutter.add(topic)(data)
        timings.timed("cut", index, cutter.cut, execution)


def _features(network: MultimodalFusionNetwork, parts: Sequence[RecordedPart]) -> list[list[ProbeFeatures]]:
    """MAX_PROBES of each part; the last ones are the first ones again."""
    found = []
    for part in parts:
        agent = _agent(network, part)
        for execution, windows in part.probes:
            agent.observe(execution, windows)
        again = [o for o in agent.observations if o.primitive is not Primitive.LIFT]
        found.append([*agent.observations, *islice(again, MAX_PROBES - PROBES)])
    return found


def time_beliefs(
    network: MultimodalFusionNetwork, rival: ConcatBelief, features: Sequence[Sequence[ProbeFeatures]], calls: int,
    timings: Timings, report: Report,
) -> None:  # fmt: skip
    """`calls` beliefs after 1, 2, ... 10 probes each, in turn with the rival's and with tokens without a network."""
    for call in range(-10, calls):
        index = call % len(features)
        into = Timings() if call < 0 else timings
        memory = FusionMemory(network, 1)
        for count in range(1, MAX_PROBES + 1):
            probes = features[index][:count]
            began = time.perf_counter()
            memory.add(TokenBatch.of([probes[-1:]], network.config), ONLY)
            belief_of(memory, probes)
            ms = 1e3 * (time.perf_counter() - began)
            into.add("fusion", index, ms)
            into.add(f"fusion_{count}_probes", index, ms)
            into.timed("concat_fusion", index, rival, probes)
            into.timed("tokens", index, TokenBatch.of, [probes], network.config)
        if call % 10 == 0:
            report("beliefs", max(0, call), calls)
    report("beliefs", calls, calls)


def _states(
    network: MultimodalFusionNetwork, rival: ConcatBelief
) -> list[tuple[str, Callable[[TokenBatch], torch.Tensor]]]:
    network.eval()
    return [("fusion", lambda batch: network(batch).state), ("concat", rival.state)]


def time_batches(
    state: Callable[[TokenBatch], torch.Tensor], features: Sequence[Sequence[ProbeFeatures]],
    network: MultimodalFusionNetwork, quick: bool, report: Report,
) -> Figures:  # fmt: skip
    """Parts per second that get their state for the policy after nine probes, with a 95 % interval over repeats."""
    repeats, seconds = (3, 0.3) if quick else (7, 2.0)
    rates: Figures = {}
    for place, size in enumerate(BATCHES):
        batch = TokenBatch.of([features[i % len(features)][:PROBES] for i in range(size)], network.config)
        state(batch)
        found = []
        for _ in range(repeats):
            done, began = 0, time.perf_counter()
            while done == 0 or time.perf_counter() - began < seconds:
                state(batch)
                done += size
            found.append(done / (time.perf_counter() - began))
        rates[f"states_per_s_batch_{size}"] = figure(found)
        report("batches", place + 1, len(BATCHES))
    return rates


def time_streams(seconds: float, core: int | None, prefix: str, report: Report) -> Figures:
    """Stamp to subscriber, lost messages and the rate that was reached.

    Args:
        seconds: of publishing.
        core: for both processes; None: no restriction.
        prefix: of the names.
        report: told of begin and end.
    """
    what = "streams on one core" if core is not None else "streams"
    report(what, 0, 1)
    joined = measure_streams(seconds, core=core)
    report(what, 1, 1)
    timings = Timings()
    found: Figures = {}
    names = dict(zip((topic.name for topic in STREAMS), ("wrench", "color", "depth"), strict=True))
    for topic, rows in joined.items():
        name = prefix + names[topic]
        arrived = rows[rows[:, 1] >= 0]
        for second, ms in zip(
            ((arrived[:, 0] - rows[0, 0]) // 1_000_000_000).tolist(), (1e-6 * (arrived[:, 1] - arrived[:, 0])).tolist(),
            strict=True,
        ):  # fmt: skip
            timings.add(name, second, ms)
        found |= timings.figures(name, "p50", "p99", "max")
        lost = float(len(rows) - len(arrived))
        found[f"{name}_lost"] = {"value": lost, "low": lost, "high": lost, "n": len(rows)}
    gaps_s = np.diff(joined[STREAMS[0].name][:, 0]) / 1e9
    rate = 1.0 / statistics.fmean(gaps_s)
    found[f"{prefix}wrench_rate_hz"] = {"value": rate, "low": rate, "high": rate, "n": len(gaps_s)}
    return found


def _pipeline_figures(timings: Timings, seed: int) -> Figures:
    found = timings.figures("belief", "p50", "p90", "p99", "max", seed=seed)
    found |= timings.figures("belief_cpu", "p50", "p99", seed=seed)
    found |= timings.figures("belief_after_pause", "p50", "p99", seed=seed)
    for primitive in (Primitive.LOOK, Primitive.TAP, Primitive.PRESS, Primitive.SLIDE, Primitive.DWELL, Primitive.LIFT):
        for step in ("belief", "context", "features"):
            found |= timings.figures(f"{step}_{primitive.name.lower()}", "p50", "p99", seed=seed)
    found |= timings.figures("cut", "p50", "p99", seed=seed)
    found |= timings.figures("fusion", "p50", "p90", "p99", "max", seed=seed)
    for count in range(1, MAX_PROBES + 1):
        found |= timings.figures(f"fusion_{count}_probes", "p50", "p99", seed=seed)
    return found
