"""The simulated sorting cell: scene, contact physics, sensors. No ROS."""
