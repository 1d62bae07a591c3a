"""The ROS 2 nodes of palpate (ament_python)."""

from setuptools import find_packages, setup

NODES = ["cell", "probing", "distillation", "recorder", "session"]

setup(
    name="palpate_nodes",
    version="0.1.0",
    packages=find_packages(include=["palpate_nodes", "palpate_nodes.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/palpate_nodes"]),
        ("share/palpate_nodes", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    license="Apache-2.0",
    description="ROS 2 nodes of palpate",
    entry_points={
        "console_scripts": [
            "palpate = palpate_nodes.cli:main",
            *[f"{name}_node = palpate_nodes.{name}_node:main" for name in NODES],
        ]
    },
)
