"""Training of the probing policy: PPO with action masks over `MenuVecEnv`, with checkpoints to go on from.

Inputs are normalised with spreads from a short run of random probes, then kept: what the policy learns and what it
later sees on a cell are the same numbers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from palpate_agents.errors import ConfigError
from palpate_agents.model_io import load_model, load_surface_reader
from palpate_agents.probing.perceptron import normalised
from palpate_agents.probing.policy import PolicyConfig, ProbingPolicy
from palpate_agents.probing.policy_io import save_policy
from palpate_sim.batch.cell import BatchConfig
from palpate_sim.library import PartLibrary
from palpate_sim.menu_env import MenuTask, MenuVecEnv
from palpate_sim.probing_cells import ProbingRules
from palpate_sim.randomisation import randomisation_hash
from palpate_sim.training.perception import LATER_LOTS
from palpate_sim.training.rivals import training_outlines

Progress = Callable[[dict[str, float]], None]
WARM_UP_STEPS = 12
"""Of random probes in every cell, for the normalisation."""
LEAST_SPREAD = 0.05
PROGRESS_FILE = "progress.pt"


@dataclass(frozen=True)
class PolicyTraining:
    """Hyper-parameters.

    Attributes:
        seed: of weights, parts and choices.
        steps: probes in all.
        cells: in parallel; workers: processes that they are shared out to.
        length: probes in every cell between two updates; batch, epochs: of an update.
        learning_rate: at the start, falls to a twentieth; entropy: weight of the bonus for undecided choices.
        smoothing: lambda of the advantage estimate.
        hidden: widths of the policy and of its critic.
        curriculum: shares of the steps, in order, and the mix of conditions in them.
    """

    seed: int = 1
    steps: int = 1_000_000
    cells: int = 256
    workers: int = 2
    length: int = 16
    batch: int = 1024
    epochs: int = 5
    learning_rate: float = 1e-3
    entropy: float = 0.003
    smoothing: float = 0.95
    hidden: tuple[int, ...] = (128, 128)
    curriculum: tuple[tuple[float, str], ...] = ((0.25, "mix"), (0.75, "hard"))
    task: MenuTask = field(default_factory=MenuTask)

    def __post_init__(self) -> None:
        if self.steps < self.cells * self.length:
            raise ConfigError(
                f"{self.steps} steps are less than one round of {self.cells} cells with {self.length} probes each; "
                f"give at least {self.cells * self.length}"
            )
        if abs(sum(share for share, _ in self.curriculum) - 1.0) > 1e-6:
            raise ConfigError(f"the shares of the curriculum {self.curriculum} do not add up to 1")


class _Inputs(BaseFeaturesExtractor):
    """Normalises what policy and critic read."""

    mean: Tensor
    std: Tensor

    def __init__(self, observation_space: spaces.Box, mean: NDArray[np.float32], std: NDArray[np.float32]) -> None:
        super().__init__(observation_space, int(observation_space.shape[0]))
        self.register_buffer("mean", torch.from_numpy(mean.copy()))
        self.register_buffer("std", torch.from_numpy(std.copy()))

    def forward(self, observations: Tensor) -> Tensor:
        return normalised(observations, self.mean, self.std)


class _Watch(BaseCallback):
    """Reports after every round, keeps what is needed to go on, lets the learning rate fall over the whole run."""

    def __init__(self, settings: PolicyTraining, folder: Path | None, progress: Progress | None) -> None:
        super().__init__()
        self.settings, self.folder, self.report = settings, folder, progress
        self.history: list[dict[str, float]] = []
        self._parts: list[tuple[bool, float, bool]] = []
        self._reward, self._began = 0.0, time.perf_counter()

    def _on_step(self) -> bool:
        self._reward += float(np.sum(self.locals["rewards"]))
        for info in self.locals["infos"]:
            if "right" in info:
                self._parts.append((info["right"], info["clock_s"], info["sure"]))
        return True

    def _on_rollout_end(self) -> None:
        parts = np.array(self._parts, float).reshape(-1, 3)
        now = time.perf_counter()
        row = {
            "steps": float(self.model.num_timesteps),
            "reward": self._reward / max(len(parts), 1),
            "accuracy": float(parts[:, 0].mean()) if len(parts) else float("nan"),
            "seconds": float(parts[:, 1].mean()) if len(parts) else float("nan"),
            "steps_per_s": self.settings.cells * self.settings.length / (now - self._began),
        }
        self._parts, self._reward, self._began = [], 0.0, now
        self.history.append(row)
        for name, value in row.items():
            self.logger.record(f"probing/{name}", value)
        if self.report is not None:
            self.report(row)

    def _on_rollout_start(self) -> None:
        if self.folder is not None and self.history:
            assert isinstance(self.model, MaskablePPO)
            keep(self.folder, self.model, self.history)


def train_policy(
    settings: PolicyTraining, library: PartLibrary | None = None, progress: Progress | None = None,
    folder: Path | None = None, tensorboard: Path | None = None,
) -> tuple[ProbingPolicy, list[dict[str, float]]]:  # fmt: skip
    """Trains a policy.

    Args:
        settings: hyper-parameters.
        library: of geometries; None: the cached one.
        progress: called after every round.
        folder: keeps the state after every round; a run that was interrupted goes on from it.
        tensorboard: folder of event files; None: none.

    Returns:
        the policy in evaluation mode, and one row per round: steps, reward per part, accuracy, seconds until sure.

    Raises:
        ConfigError: event files are wanted and TensorBoard is not installed, or the folder is of another run.
    """
    if tensorboard is not None and find_spec("tensorboard") is None:
        raise ConfigError("event files need TensorBoard, which is not installed: pip install -r requirements/bench.txt")
    library = library or PartLibrary.load_or_build()
    torch.set_num_threads(1)
    model: MaskablePPO | None = None
    watch = _Watch(settings, folder, progress)
    done = 0
    for stage, (share, mix) in enumerate(settings.curriculum):
        wanted = round(share * settings.steps)
        config = replace(settings.task.config, mix=mix)
        env = MenuVecEnv(
            settings.cells, replace(settings.task, config=config), library, settings.seed + 1000 * stage,
            settings.workers,
        )  # fmt: skip
        try:
            if model is None:
                model = _model(settings, env, tensorboard)
                if folder is not None:
                    watch.history = restore(folder, model)
            else:
                model.set_env(env)
            done += wanted
            left = done - model.num_timesteps
            if left > 0:
                _learn(model, left, settings, watch)
        finally:
            env.close()
    assert model is not None
    return exported(model, settings), watch.history


def _learn(model: MaskablePPO, steps: int, settings: PolicyTraining, watch: _Watch) -> None:
    start = model.num_timesteps

    def rate(remaining: float) -> float:
        at = (start + (1.0 - remaining) * steps) / settings.steps
        return settings.learning_rate * max(0.05, 1.0 - at)

    model.learning_rate = rate
    model._setup_lr_schedule()
    model.learn(steps, callback=watch, reset_num_timesteps=False, tb_log_name="policy")


def _model(settings: PolicyTraining, env: MenuVecEnv, tensorboard: Path | None) -> MaskablePPO:
    mean, std = _spreads(env, settings.seed)
    env.seed(settings.seed)
    return MaskablePPO(
        "MlpPolicy", env, learning_rate=settings.learning_rate, n_steps=settings.length, batch_size=settings.batch,
        n_epochs=settings.epochs, gamma=1.0, gae_lambda=settings.smoothing, ent_coef=settings.entropy,
        seed=settings.seed, device="cpu", verbose=0, tensorboard_log=None if tensorboard is None else str(tensorboard),
        policy_kwargs={
            "features_extractor_class": _Inputs, "features_extractor_kwargs": {"mean": mean, "std": std},
            "net_arch": {"pi": list(settings.hidden), "vf": list(settings.hidden)}, "activation_fn": nn.Tanh,
        },
    )  # fmt: skip


def _spreads(env: MenuVecEnv, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    seen = [env.reset()]
    for _ in range(WARM_UP_STEPS):
        masks = env.action_masks()
        env.step_async((rng.random(masks.shape) * masks).argmax(axis=1))
        seen.append(np.asarray(env.step_wait()[0]))
    table = np.concatenate(seen)
    return table.mean(axis=0), np.maximum(table.std(axis=0), LEAST_SPREAD)


def exported(model: MaskablePPO, settings: PolicyTraining) -> ProbingPolicy:
    """The acting half of a trained model."""
    inputs: Any = model.policy.features_extractor
    config = PolicyConfig(
        int(inputs.mean.shape[0]), settings.hidden, sure=settings.task.rules.sure,
        deadline_s=settings.task.rules.deadline_s,
    )  # fmt: skip
    policy = ProbingPolicy(config)
    policy.mean.copy_(inputs.mean)
    policy.std.copy_(inputs.std)
    body = {k: v.clone() for k, v in model.policy.mlp_extractor.policy_net.state_dict().items()}
    policy.body.load_state_dict(body)
    head: Any = model.policy.action_net
    policy.head.load_state_dict({k: v.clone() for k, v in head.state_dict().items()})
    return policy.eval()


def keep(folder: Path, model: MaskablePPO, history: list[dict[str, float]]) -> None:
    """Writes what `restore` needs."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "policy": model.policy.state_dict(), "optimiser": model.policy.optimizer.state_dict(),
        "steps": model.num_timesteps, "history": history,
    }  # fmt: skip
    new = folder / (PROGRESS_FILE + ".new")
    torch.save(state, new)
    new.replace(folder / PROGRESS_FILE)


def restore(folder: Path, model: MaskablePPO) -> list[dict[str, float]]:
    """Takes up an interrupted run; returns its rows, none if there was no run.

    Raises:
        ConfigError: it was a run with other settings.
    """
    path = folder / PROGRESS_FILE
    if not path.is_file():
        return []
    state = torch.load(path, weights_only=True)  # tensors and numbers only, nothing is executed
    try:
        model.policy.load_state_dict(state["policy"])
    except RuntimeError:
        raise ConfigError(f"{path} is of a run with other settings; give another folder, or remove it") from None
    model.policy.optimizer.load_state_dict(state["optimiser"])
    model.num_timesteps = int(state["steps"])
    history: list[dict[str, float]] = state["history"]
    return history


def train_policy_to(
    folder: Path | str, settings: PolicyTraining | None = None, library: PartLibrary | None = None,
    progress: Progress | None = None, state: Path | None = None, tensorboard: Path | None = None, command: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Trains and writes a policy with its card.

    Args:
        folder: of the policy; its name is the last part.
        settings: None: the usual ones.
        library: of geometries; None: the cached one.
        progress: called after every round.
        state: folder that keeps the state after every round; None: nowhere.
        tensorboard: folder of event files; None: none.
        command: that was given, for the card.

    Returns:
        the `training` entry of its card: command, settings, and the learning curve.
    """
    settings, folder = settings or PolicyTraining(task=training_task()), Path(folder)
    began = time.perf_counter()
    policy, history = train_policy(settings, library, progress, state, tensorboard)
    task = settings.task
    fusion, reader = load_model(task.model), load_surface_reader(task.reader)
    policy.config = replace(policy.config, fusion_sha256=fusion.hash, reader_sha256=reader.hash)
    training: dict[str, Any] = {
        "command": command or f"palpate train policy --steps {settings.steps} --seed {settings.seed}",
        "settings": json.loads(json.dumps(asdict(settings))), "randomisation_hash": randomisation_hash(),
        "history": [_rounded(row) for row in history if np.isfinite(list(row.values())).all()],
        "wall_s": round(time.perf_counter() - began, 1), "torch": torch.__version__,
    }  # fmt: skip
    save_policy(policy, folder, folder.name, training)
    return training


def _rounded(row: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in row.items()}


def training_task(rules: ProbingRules | None = None, model: str = "cell29", reader: str = "surface8") -> MenuTask:
    """Parts of the outlines and lots on which nothing is tested."""
    outlines, _ = training_outlines()
    config = BatchConfig(mix="hard", outlines=outlines, lots=(0, LATER_LOTS))
    return MenuTask(config, rules or ProbingRules(), model, reader)
