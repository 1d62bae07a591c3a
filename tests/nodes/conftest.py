"""A ROS context of its own for each test, and an executor that is turned by hand."""

import time

import pytest
import rclpy
from rclpy.context import Context


class Ros:
    """Nodes and their executor."""

    def __init__(self):
        self.context = Context()
        rclpy.init(context=self.context)
        from rclpy.experimental import EventsExecutor

        self.executor = EventsExecutor(context=self.context)
        self.nodes = []

    def add(self, *nodes):
        for node in nodes:
            self.executor.add_node(node)
            self.nodes.append(node)
        return nodes[0] if len(nodes) == 1 else nodes

    def spin_until(self, done, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"nothing happened within {seconds} s"
            self.executor.spin_once(timeout_sec=0.05)

    def spin_for(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def close(self):
        for node in self.nodes:
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def ros():
    """Context, executor and helpers."""
    fixture = Ros()
    yield fixture
    fixture.close()
