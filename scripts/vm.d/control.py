"""What can be done to a running guest from outside: through QEMU's monitor (QMP), and by its network cable."""

import json
import os
import re
import socket
import time

import network
from rig import RigError, read_text, runs_directory

ACTIONS = {
    "stop": "freeze it: its processors stand still, memory, disk and network stay as they are",
    "cont": "let it go on",
    "reset": "press its reset button and wait until it is up; it runs COMMAND again, with ZS_BOOT one higher;\n"
             "         memory and files are lost, zones keep their data",
    "cut": "pull it off the bridge: packets are lost without notice",
    "heal": "plug it in again",
}

# How long a guest may take to boot again. Several on a busy machine need a while.
RESET_SECONDS = 120


def control(name, action):
    directory, number = find_guest(name)
    if action == "reset":
        reset(directory)
    elif action in ("stop", "cont"):
        ask_monitor(directory, action)
    elif not os.path.exists(os.path.join(os.path.dirname(directory), "bridged")):
        raise RigError(f"{name} is alone: there is no network to {action}")
    else:
        pid = read_text(os.path.join(directory, "pid"))
        network.set_connected(pid, number, connected=action == "heal")


def reset(directory):
    """QEMU was told to end when a guest resets itself, because a panic does so. Its BIOS does it too, on the way up
    from a reset: until it is up, QEMU must not end."""
    boots = os.path.join(directory, "rig", "boots")
    before = read_text(boots)
    if before is None:
        raise RigError("the guest has not booted yet")
    ask_monitor(directory, "set-action", reboot="reset")
    ask_monitor(directory, "system_reset")
    ask_monitor(directory, "cont")  # it may have been frozen
    deadline = time.monotonic() + RESET_SECONDS
    while read_text(boots) == before:
        if not os.path.exists(directory):
            raise RigError("the run ended before the guest came up again")
        if time.monotonic() > deadline:
            raise RigError(f"the guest did not come up again within {RESET_SECONDS} s")
        time.sleep(0.05)
    ask_monitor(directory, "set-action", reboot="shutdown")


def find_guest(name):
    """NAME or NAME/NUMBER to the guest's folder and number."""
    match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:/([0-9]+))?", name)
    if not match:
        raise RigError(f"'{name}' is not NAME or NAME/NUMBER")
    number = int(match[2] or 1)
    directory = os.path.join(runs_directory(), match[1], str(number))
    if not os.path.exists(os.path.join(directory, "pid")):
        raise RigError(f"no guest '{name}' is running; running are: {', '.join(running()) or 'none'}")
    return directory, number


def running():
    """Names of all guests of this user."""
    base = runs_directory()
    runs = sorted(os.listdir(base)) if os.path.isdir(base) else []
    return [f"{run}/{number}" for run in runs for number in sorted(os.listdir(os.path.join(base, run)))
            if os.path.exists(os.path.join(base, run, number, "pid"))]


def ask_monitor(directory, command, **arguments):
    """One QMP command on a connection of its own."""
    path = os.path.join(directory, "qmp")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(path)
            with connection.makefile("rw", encoding="utf-8") as monitor:
                monitor.readline()  # its greeting
                exchange(monitor, "qmp_capabilities", {})
                exchange(monitor, command, arguments)
    except OSError as error:
        raise RigError(f"QEMU does not answer at {path}: {error}") from error


def exchange(monitor, command, arguments):
    json.dump({"execute": command, "arguments": arguments}, monitor)
    monitor.flush()
    for line in monitor:
        answer = json.loads(line)
        if "error" in answer:
            raise RigError(f"QEMU refuses '{command}': {answer['error']['desc']}")
        if "return" in answer:
            return
    raise RigError(f"QEMU closed its monitor at '{command}'")
