"""A film and a window of the cell: what they show, that nobody waits for them, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from palpate_agents.errors import ConfigError
from palpate_nodes.commands.sim import watched
from palpate_sim.cell import CellConfig, SimCell
from palpate_sim.mirror import CellState, Mirror, check_display
from palpate_sim.objects import PartBatch, part_from_seed
from palpate_sim.planning import HOME
from palpate_sim.render_process import PartsJob, SurfaceJob
from palpate_sim.rendering import resting_pose
from palpate_sim.spectators import MAX_BEHIND, film, window
from palpate_sim.surface import SurfaceMaps, scrape
from palpate_sim.video import OverviewRenderer, VideoWriter, check_video_path

PART = part_from_seed(3, 0, "ABS", "painted", "block")
POSE = resting_pose(PART, 0.5, 0.0, 0.3)


def joints(turn=0.0):
    q = HOME.copy()
    q[0] += turn
    return (*q.tolist(), 0.04, 0.04)


def surface():
    return SurfaceMaps.of_part(PART)


def frames_of(path):
    """(N, H, W, 3) BGR and frames per second of a film."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        good, frame = capture.read()
        if not good:
            return np.stack(frames), capture.get(cv2.CAP_PROP_FPS)
        frames.append(frame)


@pytest.fixture(scope="module")
def renderer():
    renderer = OverviewRenderer()
    renderer.set_parts([PART], [surface()])
    yield renderer
    renderer.close()


def test_the_overview_shows_arm_bins_part_and_words(renderer):
    frame = renderer.frame((POSE,), joints())
    assert frame.shape == (480, 640, 3)
    assert frame.dtype == np.uint8
    assert not np.array_equal(frame, renderer.frame((POSE,), joints(0.1))), "the arm moved"
    moved = renderer.frame((resting_pose(PART, 0.45, 0.1, 0.3),), joints())
    assert not np.array_equal(frame[200:, :400], moved[200:, :400]), "the part moved"
    told = renderer.frame((POSE,), joints(), ("ABS, painted", "3.0 s"))
    assert np.array_equal(told[:420], frame[:420])
    assert told[440:].max() == 255
    assert np.mean(told[440:]) < 0.5 * np.mean(frame[440:])


def test_a_scratch_shows_in_the_overview(renderer):
    before = renderer.frame((POSE,), joints())
    half = 0.3 * np.array([PART.dimensions_m[:2]])
    scraped, _ = scrape(PartBatch.of([PART]), surface(), -half, half, 0.006, 6.0)
    renderer.set_surface(0, scraped)
    after = renderer.frame((POSE,), joints())
    renderer.set_surface(0, surface())
    assert np.any(before != after, axis=-1).sum() > 100


def test_a_film_has_every_frame_and_can_be_played(tmp_path):
    watcher = film(tmp_path / "cell.mp4")
    watcher.send(PartsJob((PART,), (surface(),)))
    for k in range(12):
        watcher.send(CellState((POSE,), joints(0.05 * k), (f"frame {k}",)))
        time.sleep(0.02)
    watcher.send(SurfaceJob(0, surface()))
    watcher.close()
    watcher.close()
    frames, pace = frames_of(tmp_path / "cell.mp4")
    assert len(frames) == 12
    assert pace == pytest.approx(10.0)
    assert frames.shape[1:] == (480, 640, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 1.0


def test_a_film_that_falls_behind_repeats_frames_and_keeps_time(tmp_path):
    watcher = film(tmp_path / "cell.mp4")
    watcher.send(PartsJob((PART,), (surface(),)))
    start = time.perf_counter()
    for k in range(20 * MAX_BEHIND):
        watcher.send(CellState((POSE,), joints(0.002 * k)))
    assert time.perf_counter() - start < 1.0, "nobody waits for a film"
    watcher.close()
    assert len(frames_of(tmp_path / "cell.mp4")[0]) == 20 * MAX_BEHIND


def test_a_film_of_a_cell_that_was_killed_can_be_played(tmp_path):
    path = tmp_path / "cell.mp4"
    code = (
        "import time, sys\n"
        "from pathlib import Path\n"
        "from palpate_sim.spectators import film\n"
        "from palpate_sim.mirror import CellState\n"
        "from palpate_sim.planning import HOME\n"
        "if __name__ == '__main__':\n"
        "    watcher = film(Path(sys.argv[1]))\n"
        "    for k in range(5): watcher.send(CellState((), (*HOME.tolist(), 0.04, 0.04)))\n"
        "    time.sleep(3.0)\n"
        "    print(watcher.pid, flush=True)\n"
        "    time.sleep(60.0)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(next(line for line in iter(parent.stdout.readline, "") if line.strip().isdigit()))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline and Path(f"/proc/{child}").exists():
        time.sleep(0.1)
    assert len(frames_of(path)[0]) == 5


def test_a_window_follows_the_cell_and_may_be_closed():
    mirror = Mirror(visible=False)
    assert mirror.take(PartsJob((PART,), (surface(),)))
    assert mirror.take(CellState((POSE,), joints()))
    assert mirror.take(SurfaceJob(0, surface()))
    mirror.close()
    assert not mirror.take(CellState((POSE,), joints()))
    watcher = window(visible=False)
    watcher.send(PartsJob((PART,), (surface(),)))
    for k in range(50):
        watcher.send(CellState((POSE,), joints(0.01 * k)))
    assert watcher.watching
    os.kill(watcher.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5.0
    while watcher.watching and time.monotonic() < deadline:
        time.sleep(0.02)
    watcher.send(CellState((POSE,), joints()))
    watcher.close()


def test_without_a_display_a_window_says_what_to_do(monkeypatch):
    with pytest.raises(ConfigError, match=r"DISPLAY.*--video"):
        check_display({})
    check_display({"DISPLAY": ":0"})
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(ConfigError, match="DISPLAY"):
        window()
    with pytest.raises(ConfigError, match="DISPLAY"):
        CellConfig(gui=True)


def test_films_that_cannot_be_written_are_refused_before_anything_starts(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    for path, word in (
        (tmp_path / "cell.avi", "cell.mp4"),
        (tmp_path / "none" / "cell.mp4", "missing"),
        (tmp_path / "folder.mp4", "is a folder"),
    ):
        with pytest.raises(ConfigError, match=word):
            check_video_path(path)
        with pytest.raises(ConfigError, match=word):
            CellConfig(video=str(path))
    with pytest.raises(ConfigError, match="render"):
        CellConfig(video=str(tmp_path / "cell.mp4"), render=False)
    with pytest.raises(ConfigError, match="neither of the encoders"):
        VideoWriter(tmp_path / "none" / "cell.mp4", (64, 48), 10.0)


def test_the_command_looks_before_it_starts_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert watched(Path("cell.mp4"), gui=False) == str(tmp_path / "cell.mp4")
    assert watched(None, gui=False) == ""
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(ConfigError, match="DISPLAY"):
        watched(None, gui=True)
    with pytest.raises(ConfigError, match=r"cell\.mp4"):
        watched(Path("cell.gif"), gui=False)


def test_the_cell_is_filmed_while_it_runs(tmp_path):
    path = tmp_path / "cell.mp4"
    cell = SimCell(CellConfig(video=str(path)), seed=1)
    cell.present_part("s", 0)
    cell.advance(1_500_000_000)
    cell.close()
    cell.close()
    assert len(frames_of(path)[0]) == 15
