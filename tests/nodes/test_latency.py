"""Latency is measured on the real calls and real messages, with lateness that cannot hide, and processes that end."""

import os
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import typer
from typer.testing import CliRunner

from palpate_agents.errors import ModelError, PalpateError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork, TokenBatch
from palpate_agents.materials import MATERIALS
from palpate_agents.observation import MAX_PROBES, Primitive
from palpate_nodes import latency, latency_streams, topics
from palpate_nodes.commands import bench_latency
from palpate_nodes.latency import Timings, one_core
from palpate_nodes.latency_concat import ConcatBelief
from palpate_nodes.latency_parts import RecordedPart, messages_of
from palpate_nodes.latency_streams import due_stamps, measure_streams
from palpate_nodes.windows import WindowCutter
from palpate_sim.kinematics import UrdfModel

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import synthetic_windows as synthetic

PROBES = (
    synthetic.look, synthetic.look, synthetic.tap, synthetic.press, synthetic.slide, synthetic.dwell, synthetic.dwell,
    synthetic.look, synthetic.lift,
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MultimodalFusionNetwork(FusionConfig(labels=tuple(MATERIALS))).eval()


@pytest.fixture(scope="module")
def parts():
    return [RecordedPart(tuple(synthetic.CENTRE), tuple(make() for make in PROBES)) for _ in range(2)]


def test_a_late_sensor_process_does_not_hide_its_lateness():
    assert due_stamps(0, 1000, 5_000) == [5_000], "the first sample"
    assert due_stamps(5_000, 1000, 6_000) == [6_000]
    assert due_stamps(5_000, 1000, 6_300) == [6_000], "was due before the process ran"
    assert due_stamps(5_000, 1000, 8_300) == [6_000, 7_000, 8_000]
    assert due_stamps(5_000, 1000, 5_990) == [5_990], "a timer never fires before its sample is due"


def test_quantiles_of_calls_with_an_interval_over_objects():
    timings = Timings()
    for part, offset in enumerate((0.0, 10.0, 20.0)):
        for ms in range(100):
            timings.add("call", part, offset + ms)
    found = timings.figures("call", "p50", "max")
    assert found["call_max_ms"]["value"] == 119.0
    assert found["call_p50_ms"]["value"] == pytest.approx(59.5)
    assert found["call_p50_ms"]["low"] == pytest.approx(49.5), "all three draws were the fastest part"
    assert found["call_p50_ms"]["high"] == pytest.approx(69.5)
    assert found["call_p50_ms"]["n"] == 300


def test_one_core_and_one_thread_and_afterwards_as_before():
    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    with one_core() as core:
        assert {frozenset(os.sched_getaffinity(int(t))) for t in os.listdir("/proc/self/task")} == {frozenset({core})}
        assert torch.get_num_threads() == 1
    assert os.sched_getaffinity(0) == before
    assert torch.get_num_threads() == threads


def cut_again(execution, windows):
    cutter = WindowCutter(UrdfModel())
    for topic, data in messages_of(execution, windows):
        cutter.add(topic)(data)
    return cutter.cut(execution)


@pytest.mark.parametrize("make", [synthetic.press, synthetic.slide, synthetic.dwell])
def test_the_messages_that_are_cut_give_the_same_window_again(make):
    execution, windows = make()
    found = cut_again(execution, windows)
    for name in ("wrench", "joint", "pad"):
        times = getattr(windows, f"{name}_times_s")
        first, last = (
            1e-9 * (t - execution.contact_time_ns) for t in (execution.window_start_ns, execution.window_end_ns)
        )
        inside = (times >= first - 1e-9) & (times <= last + 1e-9)
        np.testing.assert_allclose(getattr(found, f"{name}_times_s"), times[inside], atol=1e-9)
        values = {"wrench": "wrench", "joint": "joint_positions", "pad": "pad_temperature_c"}[name]
        if inside.any():
            np.testing.assert_allclose(getattr(found, values), getattr(windows, values)[inside], rtol=1e-6)
    assert len(found.wrench) + len(found.pad_times_s) > 20


def test_bursts_and_pictures_go_through_messages_too():
    execution, windows = synthetic.tap()
    burst = cut_again(execution, windows).burst
    np.testing.assert_allclose(burst.acceleration_m_s2, windows.burst.acceleration_m_s2, rtol=1e-6)
    execution, windows = synthetic.look()
    found = {topic.name for topic, _ in messages_of(execution, windows)}
    assert {topics.COLOR.name, topics.DEPTH.name, topics.COLOR_INFO.name} <= found


def test_every_step_of_every_probe_is_timed(network, parts):
    timings, rival, told = Timings(), ConcatBelief(network.config), []
    share = latency.time_probes(network, rival, parts, 2, timings, lambda *what: told.append(what))
    latency.time_beliefs(network, rival, latency._features(network, parts), 3, timings, lambda *what: told.append(what))
    assert 0.0 < share <= 1.05
    assert len(timings.values("belief")) == len(timings.values("belief_cpu")) == 2 * 2 * len(PROBES)
    assert len(timings.values("belief_after_pause")) == 2 * len(PROBES)
    assert len(timings.values("belief_dwell")) == 2 * 2 * 2
    assert len(timings.values("fusion")) == len(timings.values("tokens")) == 3 * MAX_PROBES
    figures = latency._pipeline_figures(timings, 0)
    assert {"belief_p50_ms", "belief_p99_ms", "features_look_p99_ms", "cut_p99_ms", "fusion_10_probes_p99_ms"} <= set(
        figures
    )
    assert all(np.isfinite(v["value"]) and v["value"] > 0 for v in figures.values())
    assert figures["belief_p99_ms"]["value"] >= figures["belief_p50_ms"]["value"]
    # What is inside of a call cannot take longer than the call does.
    assert figures["context_look_p50_ms"]["value"] < figures["belief_look_p50_ms"]["value"]
    assert told[-1][1] == told[-1][2]


def test_the_rival_reads_the_same_probes_and_is_as_wide(network, parts):
    features = latency._features(network, parts)
    assert [len(f) for f in features] == [MAX_PROBES] * 2
    assert sum(f.primitive is Primitive.LIFT for f in features[0]) == 1
    rival = ConcatBelief(network.config, seed=3)
    belief = rival(features[0])
    assert belief.shape == (len(MATERIALS),)
    assert float(belief.detach().sum()) == pytest.approx(1.0, abs=1e-5)
    assert not torch.equal(belief, rival(features[0][:1])), "it looks at the probes"
    assert torch.equal(belief, ConcatBelief(network.config, seed=3)(features[0]))
    state = rival.state(TokenBatch.of(features, network.config))
    assert (
        state.shape
        == (2, network.config.state_dim)
        == tuple(network(TokenBatch.of(features, network.config)).state.shape)
    )


def test_a_wrench_at_1_khz_and_pictures_arrive_and_no_process_stays():
    joined = measure_streams(1.0)
    wrench = joined[topics.WRENCH.name]
    assert 900 <= len(wrench) <= 1100
    assert 900 <= 1e9 / np.diff(wrench[:, 0]).mean() <= 1100
    assert 5 <= len(joined[topics.COLOR.name]) <= 15
    for rows in joined.values():
        assert (rows[:, 1] >= 0).all(), "lost"
        assert (rows[:, 1] >= rows[:, 0]).all(), "received before it was acquired"
        assert np.median(rows[:, 1] - rows[:, 0]) < 0.5e9
    assert not [p for p in psutil.Process().children(recursive=True) if "latency_streams" in " ".join(p.cmdline())]


def test_a_process_that_dies_is_an_error_with_its_reason(monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no middleware >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(latency_streams.sys, "executable", str(broken))
    with pytest.raises(PalpateError, match=r"code 7: no middleware"):
        measure_streams(1.0)


def test_a_process_that_does_not_end_is_ended(monkeypatch, tmp_path):
    stuck = tmp_path / "python"
    stuck.write_text("#!/bin/sh\nexec sleep 300\n")
    stuck.chmod(0o755)
    monkeypatch.setattr(latency_streams.sys, "executable", str(stuck))
    monkeypatch.setattr(latency_streams, "START_TIMEOUT_S", -1.0)
    monkeypatch.setattr(latency_streams, "END_TIMEOUT_S", 0.5)
    with pytest.raises(PalpateError, match="did not end"):
        measure_streams(0.1)
    assert not [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE and "sleep" in p.name()]


def test_lost_messages_are_counted():
    published = {topics.WRENCH.name: np.array([10, 20, 30])}
    arrived = {topics.WRENCH.name: np.array([[10, 12], [30, 33], [40, 44]])}
    joined = latency_streams._joined(published, arrived)[topics.WRENCH.name]
    assert joined.tolist() == [[10, 12], [20, -1], [30, 33]]


def test_the_streams_have_figures_per_topic(monkeypatch):
    stamps = np.arange(3000) * 1_000_000
    rows = np.stack([stamps, stamps + 200_000], axis=1)
    rows[7, 1] = -1
    pictures = np.stack([stamps[::100], stamps[::100] + 900_000], axis=1)
    streams = {topics.WRENCH.name: rows, topics.COLOR.name: pictures, topics.DEPTH.name: pictures}
    monkeypatch.setattr(latency, "measure_streams", lambda seconds, core: streams)
    found = latency.time_streams(3.0, None, "free_", lambda *_: None)
    assert found["free_wrench_p99_ms"]["value"] == pytest.approx(0.2)
    assert found["free_wrench_lost"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 3000}
    assert found["free_depth_p50_ms"]["value"] == pytest.approx(0.9)
    assert found["free_wrench_rate_hz"]["value"] == pytest.approx(1000.0)


def test_the_command_refuses_an_unknown_model_before_it_probes_anything():
    app = typer.Typer()
    app.command("latency", help=bench_latency.HELP)(bench_latency.latency)
    refused = CliRunner().invoke(app, ["--model", "no-such-model", "--quick"])
    assert isinstance(refused.exception, ModelError)
    assert "no-such-model" in str(refused.exception)
    assert "--quick" in CliRunner().invoke(app, ["--help"]).output
