"""What the ball feels of a body through paint or a label: a thin compliant layer on a half-space.

The contact of a ball on metal is a tenth of a millimetre wide at 10 N, as wide as paint is thick: a tap on painted
steel is a tap on paint. On polymers the layer is about as soft as the body and changes little.
"""

from __future__ import annotations

from palpate_sim.backend import Array, namespace
from palpate_sim.elastic import BALL_RADIUS_M, effective_modulus_pa
from palpate_sim.part_batch import PartBatch

COAT_MODULUS_PA, LABEL_MODULUS_PA = 2.0e9, 0.4e9
"""Under a ball: cured pigmented paint, paper with its adhesive; assumed."""
COAT_RESTITUTION, LABEL_RESTITUTION = 0.5, 0.35
"""Assumed."""
REFERENCE_N = 10.0
"""Force at which the width of the contact is taken, between that of a press and the peak of a tap."""
LAYER_DECAY = 1.0
"""`1/E = w/E_body + (1-w)/E_layer` with `w = exp(-LAYER_DECAY t/a)` (King, Int. J. Solids Struct. 23:1657, 1987: 0.5 to
1.5 for contacts as wide as the layer is thick)."""


def felt_through(batch: PartBatch, coat: Array, label: Array) -> dict[str, Array]:
    """Indentation modulus and restitution of n parts where layers cover them.

    Args:
        batch: the parts, with the body's own values.
        coat: (n,) share of the contact that is coated.
        label: (n,) share that is labelled.

    Returns:
        fields of the batch, (n,) each.
    """
    xp = namespace(coat)
    body_pa, e = batch.indentation_modulus_pa, batch.restitution
    for share, thickness_um, layer_pa, layer_e in (
        (coat, batch.coat_um, COAT_MODULUS_PA, COAT_RESTITUTION),
        (label, batch.label_um, LABEL_MODULUS_PA, LABEL_RESTITUTION),
    ):
        layer_m, felt_pa = 1e-6 * share * thickness_um, body_pa
        for _ in range(2):  # a softer contact is wider
            met = batch.replace(indentation_modulus_pa=felt_pa)
            radius = (0.75 * REFERENCE_N * BALL_RADIUS_M / effective_modulus_pa(met)) ** (1.0 / 3.0)
            seen = xp.exp(-LAYER_DECAY * layer_m / radius)
            felt_pa = 1.0 / (seen / body_pa + (1.0 - seen) / layer_pa)
        body_pa, e = felt_pa, seen * e + (1.0 - seen) * layer_e
    return {"indentation_modulus_pa": body_pa, "restitution": e}
