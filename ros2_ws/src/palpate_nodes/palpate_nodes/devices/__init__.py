"""Device ports and their backends. No rclpy in here."""
