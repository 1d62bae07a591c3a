from palpate_nodes.bag.benchmark import measure


def test_every_step_is_measured_over_all_messages(tmp_path):
    speeds = {speed.what: speed for speed in measure(tmp_path, seconds=0.2)}
    assert list(speeds) == [
        f"{step} {what}" for what in ("pictures", "small messages") for step in ("record", "read", "recover")
    ]
    assert all(speed.messages_s > 10 and speed.megabytes_s > 0.1 for speed in speeds.values())
    picture = speeds["record pictures"]
    assert abs(picture.megabytes_s / picture.messages_s - 0.921612) < 1e-6  # 640 x 480 x 3 bytes and a header
