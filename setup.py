"""The root ROS package `palpate`: agents, simulated cell, launch files and parameters (ament_python)."""

from glob import glob

from setuptools import find_packages, setup

# Named explicitly: find_packages() on the root would install top-level packages called `agents` and `sim`.
agents = find_packages("agents")
sim = find_packages("sim")

setup(
    name="palpate",
    version="0.1.0",
    packages=agents + sim,
    package_dir={"palpate_agents": "agents/palpate_agents", "palpate_sim": "sim/palpate_sim"},
    package_data={
        "palpate_agents": ["materials/*.csv", "models/*/*", "probing/*.json"],
        "palpate_sim": ["*.csv", "assets/*", "assets/*/*"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/palpate"]),
        ("share/palpate", ["package.xml"]),
        ("share/palpate/launch", glob("launch/*.yaml")),
        ("share/palpate/config", glob("config/*")),
        ("share/palpate/requirements", glob("requirements/*.txt")),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    license="Apache-2.0",
    description="Embodied material characterisation: agents and simulated sorting cell",
)
