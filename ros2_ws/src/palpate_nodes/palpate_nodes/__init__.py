"""The ROS 2 nodes of palpate; the only code that imports rclpy."""
