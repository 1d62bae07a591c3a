"""How palpate thinks: materials, observations, encoders, fusion, probing, knowledge. No ROS, no PyBullet."""
