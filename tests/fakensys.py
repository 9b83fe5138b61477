"""A stand-in for nsys: it answers for its version and help like a given generation, and fails on request.

FAKE_NSYS says what a capture does: "" writes the report where told; the others are the keys of the branches
below. The help texts in data/nsys_help are those of real versions, reduced to their option lines; that of 2026.4
is written from the documentation.
"""

from __future__ import annotations

import sys
from pathlib import Path

HELP = Path(__file__).parent / "data" / "nsys_help"
GENERATIONS = ("2022.4.2", "2023.4.4", "2024.2.3", "2025.3.1", "2026.4")

_SCRIPT = """#!{python}
import os, shutil, signal, subprocess, sys, tempfile, time

arguments = sys.argv[1:]
behaviour = os.environ.get("FAKE_NSYS", "")
if arguments == ["--version"]:
    if behaviour == "strange version":
        sys.stdout.buffer.write(bytes([255, 254, 10]))
        sys.stdout.flush()
    print("NVIDIA Nsight Systems version {version}.99-0v0")
    sys.exit(0)
if arguments[1:] == ["--help"]:
    print(open({help!r} + "/{version}_" + arguments[0] + ".txt").read())
    sys.exit(0)
if arguments[0] == "export":
    target = arguments[arguments.index("--output") + 1]
    if behaviour == "export fails":
        print("Importer error status: broken.", file=sys.stderr)
        sys.exit(1)
    if behaviour == "export is locked":
        sys.stderr.write("." * 4_000_000 + chr(10) + "Exporter error: database is locked" + chr(10))
        sys.exit(1)
    if behaviour == "export leaves a child":
        with open("child", "w") as file:
            file.write(str(subprocess.Popen(["sleep", "600"]).pid))
    if behaviour == "export hangs":
        open(target, "w").write("half")
        time.sleep(60)
    while behaviour == "export prints on":
        print("." * 1_000_000)
    kind = arguments[arguments.index("--type") + 1]
    if kind == "sqlite":
        shutil.copy({export!r}, target)
    elif os.path.isdir({export!r} + "." + kind):
        print("Processing 12 events: [==50%  ]" + chr(13) + "Processing 12 events: [====100%]")
        shutil.copytree({export!r} + "." + kind, target)
    else:
        sys.exit("Exporter error: out of memory")
    sys.exit(0)

def write(path):
    with open(path, "w") as file:
        file.write("recording " + path)


def valued(option):
    return next(word.partition("=")[2] for word in arguments if word.startswith(option + "="))


if arguments[0] == "launch":
    first = next(i for i, word in enumerate(arguments) if i and not word.startswith("--"))
    open(os.path.join(tempfile.gettempdir(), valued("--session-new")), "w").close()
    code = subprocess.call(arguments[first:])
    sys.exit(code if code >= 0 else 128 - code)
if arguments[0] in ("start", "stop"):
    session = os.path.join(tempfile.gettempdir(), valued("--session"))
    if not os.path.exists(session):
        sys.exit("There is no session of that name.")
    if arguments[0] == "start":
        if behaviour == "start fails":
            sys.exit("The collection cannot be started.")
        open(session, "w").write(valued("--output").replace("%%", "%"))
        open(os.path.join(tempfile.gettempdir(), "opened"), "w").close()
    elif behaviour == "stop hangs":
        time.sleep(600)
    elif behaviour != "nothing":
        write(open(session).read() + ".nsys-rep")
    sys.exit(0)
split = next(i for i, word in enumerate(arguments) if word.startswith("--output="))
output, command = arguments[split].partition("=")[2].replace("%%", "%"), arguments[split + 1:]
left = os.path.join(tempfile.gettempdir(), "nsys-report-" + str(os.getpid()))

if behaviour == "deaf":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
workload = subprocess.Popen(command, restore_signals=False)
if behaviour == "dies":
    write(left + ".nsys-rep")
    os.kill(os.getpid(), signal.SIGKILL)
code = workload.wait()
if behaviour == "deaf":
    while True:
        time.sleep(600)
if behaviour == "two ranges":
    for number in (1, 2):
        write(output + "." + str(number) + ".nsys-rep")
        os.utime(output + "." + str(number) + ".nsys-rep", (number, number))
elif behaviour == "elsewhere":
    write(left + ".nsys-rep")
elif behaviour == "raw stream":
    write(left + ".qdstrm")
elif behaviour == "ended at duration":
    write(output + ".nsys-rep")
    sys.exit(143)
elif behaviour != "nothing":
    write(output + ".nsys-rep")
sys.exit(code if code >= 0 else 128 - code)
"""


def fake_nsys(folder: Path, version: str = "2024.2.3", export: Path | None = None) -> Path:
    """An executable nsys of that version in `folder`; what it exports is a copy of `export`, or of `export`.KIND."""
    script = folder / "nsys"
    script.write_text(
        _SCRIPT.format(python=sys.executable, version=version, help=str(HELP), export=str(export)), encoding="utf-8"
    )
    script.chmod(0o755)
    return script
