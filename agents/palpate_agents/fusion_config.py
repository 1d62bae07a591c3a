"""What fixes a fusion network's shape and meaning: stored in the model's card, read back with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from palpate_agents.encoders.features import FeatureConfig
from palpate_agents.errors import ConfigError
from palpate_agents.observation import Modality

PROPERTIES = (
    "log10_effusivity_w_s05_m2_k", "restitution", "log10_stiffness_pa", "log10_density_kg_m3", "friction",
    "blend_fraction",
)  # fmt: skip
"""Physical properties that a part is given beside its name; friction, restitution and the share of the second polymer
of a blend are dimensionless."""

CONDITIONS = ("black", "painted", "wet", "aged")
"""States of a part that are estimated beside its material; several can hold at once, none is "clean"."""

FEATURE_DIMS = {"visual": 2048, "tactile": 128, "spectral": 256, "thermal": 64, "inductive": 16}
"""Size of each modality's encoded features."""

SENSES = tuple(m.value for m in Modality if m is not Modality.INDUCTIVE)
"""What every cell has; the inductive tip is optional."""


def default_experts(modalities: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Sets of modalities that experts read: everything, all but the spectrum, all but vision, neither of the two.

    Black parts blind the spectrometer, paint fools the camera, and touch and heat reach below both.
    """
    sets = [
        tuple(m for m in modalities if m not in left_out)
        for left_out in ((), ("spectral",), ("visual",), ("spectral", "visual"))
    ]
    return tuple(dict.fromkeys(s for s in sets if s))


@dataclass(frozen=True)
class FusionConfig:
    """Shape and meaning of a network.

    Attributes:
        labels: class names in the order of the logits.
        label_set: name of that set.
        modalities: what the network reads; others are ignored.
        experts: sets of modalities, one expert each, every one a subset of `modalities`; empty: `default_experts`.
        properties: names of the estimated properties.
        conditions: names of the estimated conditions.
        novelty: whether it says how unlike every label a part is.
        features: feature configuration (spectral grid).
        feature_dims: size of the encoded features per modality.
        queries: attention queries per modality: how many different probes can be told apart after pooling.
        hidden: width of the experts; state_dim: size of the fused state.
        told: number of facts that it is given beside the probes (a reference that knows the condition; 0 in use).
        backbone: folder of a user's pretrained vision model that reads the crops instead of ours; empty: ours.
        backbone_fingerprint: of that model, checked when the network is loaded.
        dropout: share of hidden units dropped in training.
        noise: spread of noise added to normalised features in training, in standard deviations.
    """

    labels: tuple[str, ...]
    label_set: str = "catalogue"
    modalities: tuple[str, ...] = SENSES
    experts: tuple[tuple[str, ...], ...] = ()
    properties: tuple[str, ...] = PROPERTIES
    conditions: tuple[str, ...] = CONDITIONS
    novelty: bool = True
    features: FeatureConfig = field(default_factory=FeatureConfig)
    feature_dims: dict[str, int] = field(default_factory=lambda: dict(FEATURE_DIMS))
    queries: int = 4
    hidden: int = 256
    state_dim: int = 512
    told: int = 0
    backbone: str = ""
    backbone_fingerprint: str = ""
    dropout: float = 0.1
    noise: float = 0.0

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"a model needs at least 2 different labels, got {list(self.labels)}")
        known = {m.value for m in Modality}
        if not self.modalities or not set(self.modalities) <= known:
            raise ConfigError(f"modalities are {list(self.modalities)}, known are {sorted(known)}")
        if not self.experts:
            object.__setattr__(self, "experts", default_experts(self.modalities))
        for expert in self.experts:
            if not expert or not set(expert) <= set(self.modalities):
                raise ConfigError(f"expert {list(expert)} must read some of the modalities {list(self.modalities)}")
        for m in self.modalities:
            size = self.feature_dims.get(m, 0)
            if size < self.queries or size % self.queries:
                raise ConfigError(f"{m} features have size {size}; it must be a multiple of the {self.queries} queries")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"features": self.features.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FusionConfig:
        """From `to_dict` (lists where JSON has no tuples)."""
        plain = dict(values)
        plain["features"] = FeatureConfig.from_dict(plain["features"])
        for name in ("labels", "modalities", "properties", "conditions"):
            plain[name] = tuple(plain[name])
        plain["experts"] = tuple(tuple(e) for e in plain["experts"])
        return cls(**plain)

    @classmethod
    def single(cls, modality: Modality, labels: Sequence[str], label_set: str, **options: Any) -> FusionConfig:
        """For a data set of one modality with labels of its own, without properties, conditions and novelty."""
        given: dict[str, Any] = {"properties": (), "conditions": (), "novelty": False} | options
        name = modality.value
        return cls(tuple(labels), label_set, (name,), ((name,),), **given)
