"""A package of dummy executables for tests of the launcher: small processes that behave well or badly on request."""

import sys
from pathlib import Path

SCRIPT = '''#!{python} -IS
"""Dummy process. Arguments before --ros-args say how to behave."""
import json, os, signal, subprocess, sys, time

me = os.path.basename(sys.argv[0])
own = sys.argv[1:sys.argv.index("--ros-args")] if "--ros-args" in sys.argv else sys.argv[1:]
options = dict(word.split("=", 1) for word in own if "=" in word)
folder = os.environ["DUMMY_OUT"]

def note(what):
    with open(os.path.join(folder, "events"), "a") as file:
        file.write(f"{{time.monotonic():.4f}} {{me}} {{what}}\\n")

def on_signal(number, frame):
    name = signal.Signals(number).name
    note(name)
    if name in options.get("ignore", "").split(","):
        return
    time.sleep(float(options.get("slow", 0)))
    note("end")
    os.write(1, f"{{me}} says goodbye\\n".encode())
    sys.exit(int(options.get("code", 0)))

if options.get("signals") != "default":
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
files = [open(sys.argv[i + 1]).read() for i, word in enumerate(sys.argv) if word == "--params-file"]
arguments = ["FILE" if i and sys.argv[i - 1] == "--params-file" else word for i, word in enumerate(sys.argv)]
environment = {{key: value for key, value in os.environ.items() if key.startswith(("ROS_", "FASTDDS_", "DUMMY_"))}}
record = {{"pid": os.getpid(), "arguments": arguments, "files": files, "environment": environment, "cwd": os.getcwd()}}
with open(os.path.join(folder, f"{{me}}.json.part"), "w") as file:
    json.dump(record, file)
os.rename(file.name, file.name[:-5])
if "child" in options:
    child = subprocess.Popen(["/bin/sleep", "600"])
    note(f"child {{child.pid}}")
print(f"{{me}} on stdout", flush=True)
print(f"{{me}} on stderr", file=sys.stderr, flush=True)
note("start")
if "fail" in options:
    time.sleep(float(options.get("after", 0)))
    print("the reason why", file=sys.stderr)
    sys.exit(int(options["fail"]))
if "crash" in options:
    os.kill(os.getpid(), signal.SIGSEGV)
deadline = time.monotonic() + float(options.get("for", 600))
while time.monotonic() < deadline:
    time.sleep(0.05)
note("done")
sys.exit(int(options.get("code", 0)))
'''


def make_prefix(root: Path, package: str, names: tuple[str, ...]) -> Path:
    """An install prefix with `package` and one dummy executable per name."""
    markers = root / "share/ament_index/resource_index/packages"
    markers.mkdir(parents=True, exist_ok=True)
    (markers / package).touch()
    folder = root / "lib" / package
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / name
        path.write_text(SCRIPT.format(python=sys.executable))
        path.chmod(0o755)
    return root


def events(folder: Path) -> list[tuple[float, str, str]]:
    """What the dummies noted: time, name, event; in time order."""
    path = folder / "events"
    lines = path.read_text().splitlines() if path.exists() else []
    split = (line.split(" ", 2) for line in lines)
    return sorted((float(moment), name, event) for moment, name, event in split)
