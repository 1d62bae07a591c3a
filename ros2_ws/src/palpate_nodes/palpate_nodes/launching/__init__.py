"""ROS 2 launch files in YAML, run with ROS's own launch where it is installed and by ourselves elsewhere.

Start with `palpate_nodes.launching.api`. Nothing here imports rclpy: a launcher stays light and starts fast.
"""
