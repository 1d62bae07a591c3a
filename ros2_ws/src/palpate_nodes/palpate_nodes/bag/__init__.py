"""Recording: rosbag2 directories of MCAP files, written, read, described and recovered.

Only `timeline` (which names the topics) and `reader.MessageDecoder` (where ROS is installed) import rclpy.
"""
