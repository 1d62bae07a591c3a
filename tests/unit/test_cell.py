"""The whole simulated cell: parts of all shapes from the first look to the bin, streams, determinism, misuse."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from palpate_agents.errors import CellError, ConfigError, PalpateError
from palpate_agents.observation import Outcome, Primitive, ProbeGoal
from palpate_agents.samples import (
    Burst,
    Execution,
    HeatedTipState,
    JointPath,
    Joints,
    RgbdFrame,
    Spectrum,
    ThermalFrame,
    Wrench,
)
from palpate_sim.cell import CellConfig, SimCell
from palpate_sim.objects import part_from_seed
from palpate_sim.shapes import SHAPES, top_height_m

TICK_NS = 10_000_000
FAST = CellConfig(render=False, nominal_devices=True)


def of(kind, samples):
    return [s for s in samples if isinstance(s, kind)]


def run(cell, goal, index=0, tick_ns=TICK_NS):
    """All samples of one probe, and its execution."""
    cell.start_probe(goal, "session", "part", index)
    samples = []
    for _ in range(round(40e9 / tick_ns)):
        batch = cell.advance(tick_ns)
        samples += batch
        ended = of(Execution, batch)
        if ended:
            assert (ended[0].session_id, ended[0].part_id, ended[0].index) == ("session", "part", index)
            return samples, ended[0].execution
    raise AssertionError(f"the probe did not end; phase {cell.probe_phase}")


def goals(cell, presented):
    """Look, tap, press, slide, dwell, lift and place for the part as it lies."""
    body = cell.world.parts[0]
    x, y, _ = body.position
    width, length, height = presented.part.dimensions_m
    yaw = 2.0 * np.arctan2(body.orientation[2], body.orientation[3])
    top = (x, y, float(top_height_m(presented.part.shape, presented.part.dimensions_m, 0.0, 0.0)))
    along = yaw + (np.pi / 2 if length > width else 0.0)
    return {
        "look": ProbeGoal(Primitive.LOOK, top),
        "tap": ProbeGoal(Primitive.TAP, top),
        "press": ProbeGoal(Primitive.PRESS, top),
        "slide": ProbeGoal(Primitive.SLIDE, top, slide_angle_rad=along, slide_distance_m=0.012),
        "dwell": ProbeGoal(Primitive.DWELL, top, pad_index=1),
        "lift": ProbeGoal(Primitive.LIFT, (x, y, 0.5 * height), grasp_width_m=width, grasp_angle_rad=yaw),
        "place": ProbeGoal(Primitive.PLACE, bin="metal"),
    }


@pytest.fixture(scope="module")
def rendered():
    """One part through every probe, with pictures: samples and execution per probe."""
    cell = SimCell(CellConfig(), seed=3)
    presented = cell.present_part("session", 0, "ABS")
    results = {}
    for index, (name, goal) in enumerate(goals(cell, presented).items()):
        results[name] = run(cell, goal, index)
    rest = cell.world.parts[0].position
    floor = cell.motion.planner.bins["metal"]
    cell.close()
    return presented, results, rest, floor


def test_every_probe_succeeds_and_the_part_lies_in_its_bin(rendered):
    _, results, rest, floor = rendered
    assert {name: e.outcome for name, (_, e) in results.items()} == dict.fromkeys(results, Outcome.SUCCEEDED)
    np.testing.assert_allclose(rest[:2], floor[:2], atol=0.075)
    total = sum(1e-9 * (s[-1].stamp_ns - s[0].stamp_ns) for s, _ in results.values())
    assert total < 22.0


def test_streams_have_their_rates_and_no_gap(rendered):
    _, results, _, _ = rendered
    samples = [s for batch, _ in results.values() for s in batch]
    for kind, period_ms in ((Wrench, 1), (Joints, 10), (HeatedTipState, 100), (RgbdFrame, 100), (ThermalFrame, 200)):
        stamps = np.array([s.stamp_ns for s in of(kind, samples)])
        assert len(stamps) > 20
        assert set(np.diff(stamps)) == {period_ms * 1_000_000}, kind.__name__
    assert len(of(Burst, samples)) == 1, "only taps give bursts"
    assert len(of(Spectrum, samples)) == 1


def test_windows_hold_what_their_probe_measured(rendered):
    presented, results, _, _ = rendered

    def inside(name, kind):
        samples, e = results[name]
        return [s for s in of(kind, samples) if e.window_start_ns <= s.stamp_ns <= e.window_end_ns]

    assert len(inside("look", RgbdFrame)) >= 5
    assert len(inside("look", Spectrum)) == 1
    assert len(inside("tap", Burst)) == 1
    assert inside("tap", Burst)[0].burst.impact_speed_m_s == pytest.approx(0.04, abs=0.002)
    assert len(inside("dwell", ThermalFrame)) >= 15
    for name in ("tap", "press", "slide", "dwell"):
        _, e = results[name]
        free = [s for s in inside(name, Wrench) if s.stamp_ns < e.contact_time_ns - 20_000_000]
        assert len(free) > 100, f"{name}: the free wrench before the touch gives the tool's weight"
        assert e.max_force_n < 8.0
        assert e.contact_point_m[2] == pytest.approx(presented.part.dimensions_m[2], abs=1e-3)
    held = np.array([s.wrench for s in inside("lift", Wrench)])
    assert len(held) == pytest.approx(500, abs=3)


def test_an_execution_comes_after_the_pictures_of_its_window(rendered):
    _, results, _, _ = rendered
    for name, (samples, e) in results.items():
        arrived = [s.stamp_ns for s in of(RgbdFrame, samples)]
        last_due = e.window_end_ns - e.window_end_ns % 100_000_000
        assert max(arrived) >= last_due - 100_000_000, name
        if name == "look":
            assert max(arrived) >= last_due


def test_weighing_with_the_noisy_sensor(rendered):
    presented, results, _, _ = rendered
    look, e_look = results["look"]
    still = [s.wrench for s in of(Wrench, look) if s.stamp_ns > e_look.window_end_ns - 200_000_000]
    lift, e = results["lift"]
    held = [s.wrench for s in of(Wrench, lift) if e.window_start_ns <= s.stamp_ns <= e.window_end_ns]
    weight = np.linalg.norm(np.mean(held, axis=0)[:3] - np.mean(still, axis=0)[:3])
    assert weight / 9.81 == pytest.approx(presented.part.mass_kg, abs=0.004 + 0.02 * presented.part.mass_kg)


def test_the_warm_spot_shows_after_the_dwell(rendered):
    _, results, _, _ = rendered
    samples, e = results["dwell"]
    gone = e.contact_time_ns + round((e.dwell_s + 0.6) * 1e9)
    pictures = [s for s in of(ThermalFrame, samples) if s.stamp_ns > gone]
    first = of(ThermalFrame, results["look"][0])[-1].celsius
    assert len(pictures) >= 4
    rises = [float((p.celsius - first).max()) for p in pictures]
    assert rises[0] > 2.0
    assert rises[-1] < rises[0], "it fades"
    faces = np.array([s.temperature_c[1] for s in of(HeatedTipState, samples)])
    assert faces.max() - faces.min() > 5.0, "the pad cools while it touches"


def test_joint_paths_are_published(rendered):
    _, results, _, _ = rendered
    for name, (samples, _) in results.items():
        paths = of(JointPath, samples)
        assert paths, name
        assert all(p.positions.shape == (len(p.times_s), 7) and len(p.names) == 7 for p in paths)


def test_parts_of_every_shape_go_the_whole_way():
    """One part of each shape without pictures: no force above the limit, and every probe succeeds."""
    cell = SimCell(FAST, seed=11)
    outcomes: Counter[str] = Counter()
    errors = []
    for index, shape in enumerate(SHAPES):
        part = part_from_seed(40 + index, index, ("ABS", "PP", "PC", "Al6061")[index % 4], "clean", shape)
        presented = cell.present_part("session", index, part=part)
        assert presented.part is part
        cell.advance(100_000_000)
        empty = np.mean([s.wrench[:3] for s in of(Wrench, cell.advance(200_000_000))], axis=0)
        todo = goals(cell, presented)
        for name in ("tap", "press", "slide", "lift", "place"):
            samples, e = run(cell, todo[name])
            outcomes[f"{name}:{e.outcome.name}"] += 1
            assert e.max_force_n < 8.0
            if name == "lift" and e.outcome is Outcome.SUCCEEDED:
                held = [s.wrench for s in of(Wrench, samples) if e.window_start_ns <= s.stamp_ns <= e.window_end_ns]
                errors.append(np.linalg.norm(np.mean(held, axis=0)[:3] - empty) / 9.81 - presented.part.mass_kg)
    cell.close()
    failed = {k: v for k, v in outcomes.items() if not k.endswith(":SUCCEEDED")}
    assert not failed
    assert np.abs(errors).max() < 0.005


def test_two_parts_that_touch_are_reported_not_crashed():
    cell = SimCell(CellConfig(render=False, nominal_devices=True, touching_probability=1.0), seed=5)
    for index in range(3):
        presented = cell.present_part("session", index)
        assert presented.neighbour is not None
        assert len(cell.world.parts) == 2
        todo = goals(cell, presented)
        for name in ("press", "lift"):
            _, e = run(cell, todo[name])
            assert e.outcome in (Outcome.SUCCEEDED, Outcome.GRASP_FAILED, Outcome.ABORTED, Outcome.DROPPED)
            assert e.outcome is Outcome.SUCCEEDED or e.message
    cell.close()


def test_cancel_ends_cancelled_and_the_cell_goes_on():
    cell = SimCell(FAST, seed=2)
    todo = goals(cell, cell.present_part("session", 0, "PP"))
    cell.cancel_probe()  # without a probe nothing happens
    for wait_ns in (200_000_000, 1_200_000_000, 1_900_000_000):
        cell.start_probe(todo["press"], "session", "part", 0)
        cell.advance(wait_ns)
        cell.cancel_probe()
        ended = of(Execution, cell.advance(5_000_000_000))
        assert [e.execution.outcome for e in ended] == [Outcome.CANCELLED]
        assert cell.probe_phase == "idle"
    assert run(cell, todo["tap"])[1].outcome is Outcome.SUCCEEDED
    cell.close()


def test_cancel_while_carrying_keeps_the_part_in_the_hand():
    cell = SimCell(FAST, seed=2)
    todo = goals(cell, cell.present_part("session", 0, "ABS"))
    assert run(cell, todo["lift"])[1].outcome is Outcome.SUCCEEDED
    cell.start_probe(todo["place"], "session", "part", 0)
    cell.advance(400_000_000)
    cell.cancel_probe()
    assert of(Execution, cell.advance(3_000_000_000))[0].execution.outcome is Outcome.CANCELLED
    assert cell.world.parts[0].position[2] > 0.05
    assert run(cell, todo["place"])[1].outcome is Outcome.SUCCEEDED
    cell.close()


def test_misuse_is_refused_with_a_sentence():
    cell = SimCell(FAST, seed=1)
    with pytest.raises(PalpateError, match="unobtainium"):
        cell.present_part("session", 0, "unobtainium")
    todo = goals(cell, cell.present_part("session", 0, "ABS"))
    with pytest.raises(CellError, match="no bin"):
        cell.start_probe(ProbeGoal(Primitive.PLACE, bin="moon"), "session", "part", 0)
    cell.start_probe(todo["press"], "session", "part", 0)
    with pytest.raises(CellError, match="running"):
        cell.start_probe(todo["tap"], "session", "part", 1)
    with pytest.raises(CellError, match="running"):
        cell.present_part("session", 1)
    cell.close()
    cell.close()
    with pytest.raises(CellError, match="closed"):
        cell.advance(TICK_NS)


@pytest.mark.parametrize(
    "values", [{"force_limit_n": 0.0}, {"force_limit_n": 90.0}, {"touching_probability": 2.0}, {"color_period_s": 0.0}]
)
def test_wrong_configurations_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        CellConfig(**values)


def test_zeroing_is_refused_in_contact():
    cell = SimCell(CellConfig(render=False), seed=1)
    todo = goals(cell, cell.present_part("session", 0, "ABS"))
    cell.advance(200_000_000)
    cell.zero_wrench()
    after = np.mean([s.wrench for s in of(Wrench, cell.advance(200_000_000))], axis=0)
    np.testing.assert_allclose(after[:3], 0.0, atol=0.02)
    cell.start_probe(todo["press"], "session", "part", 0)
    refused = False
    for _ in range(500):
        if of(Execution, cell.advance(TICK_NS)):
            break
        if cell.contact_force_n > 3.0:
            with pytest.raises(CellError, match="in contact"):
                cell.zero_wrench()
            refused = True
    assert refused
    cell.close()


def test_a_spectrum_can_be_asked_for_at_any_time():
    cell = SimCell(FAST, seed=1)
    cell.present_part("session", 0)
    cell.measure_spectrum()
    spectra = of(Spectrum, cell.advance(200_000_000))
    assert len(spectra) == 1
    assert spectra[0].stamp_ns == cell.config.start_time_ns + 100_000_000
    assert spectra[0].spectrum.values.shape == spectra[0].spectrum.wavelength_nm.shape
    cell.close()


def test_time_adds_up_whatever_the_ticks():
    cell = SimCell(FAST, seed=1)
    count = sum(len(of(Wrench, cell.advance(700_000))) for _ in range(10))
    assert count == 7
    assert cell.time_ns == cell.config.start_time_ns + 7_000_000
    assert cell.advance(0) == []
    cell.close()


def digest(seed):
    """Hash over every sample of a short session with pictures (run in a process of its own)."""
    cell = SimCell(CellConfig(), seed)
    presented = cell.present_part("session", 0)
    sha = hashlib.sha256()
    for name in ("tap",):
        samples, e = run(cell, goals(cell, presented)[name])
        sha.update(repr(e).encode())
        for s in samples:
            for value in vars(s).values():
                data = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
                sha.update(data)
    cell.close()
    return sha.hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += "from test_cell import digest\nif __name__ == '__main__':\n    print(digest(int(sys.argv[1])))\n"

    def start(seed):
        return subprocess.Popen([sys.executable, "-c", code, str(seed)], stdout=subprocess.PIPE, text=True)

    runs = [start(4), start(4)]
    hashes = [r.communicate(timeout=200)[0].split()[-1] for r in runs]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 64


def test_a_dead_renderer_is_a_clear_error_and_no_hang():
    cell = SimCell(CellConfig(), seed=1)
    cell.present_part("session", 0)
    assert of(RgbdFrame, cell.advance(300_000_000))
    os.kill(cell.render_pid, signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(CellError, match="cameras' process"):
        cell.advance(2_000_000_000)
    assert time.monotonic() - started < 30.0
    cell.close()
