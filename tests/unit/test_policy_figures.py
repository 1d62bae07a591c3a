"""Pictures of the policy are whole SVG files that say what they show."""

import xml.etree.ElementTree as ET

from palpate_nodes.report.policy_figures import learning_figure, probing_figure


def test_learning_curve():
    history = [{"steps": 4096.0 * k, "accuracy": 0.8 + 0.01 * k, "seconds": 9.0 - 0.2 * k} for k in range(1, 12)]
    svg = learning_figure(history)
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "91 % right" in svg or "89 % right" in svg


def test_every_strategy_has_its_line_and_its_dot():
    curve = [[0.85, 4.0, 0.93], [0.9, 5.0, 0.95], [0.97, 6.0, 0.96]]
    names = ("policy", "fixed", "condition", "rule", "greedy", "greedy_macros")
    result = {
        "curves": {mix: dict.fromkeys(names, curve) for mix in ("mix", "hard")}, "parts": 10, "seeds": [0],
        "rules": {"sure": 0.9},
    }  # fmt: skip
    svg = probing_figure(result)
    root = ET.fromstring(svg)
    dots = [e for e in root.iter() if e.tag.endswith("circle")]
    assert len(dots) == 2 * len(names)
    for css in {e.get("class") for e in dots}:
        assert f"path.{css}{{stroke" in svg
