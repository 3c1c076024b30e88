"""The network between guests: a bridge in a network namespace of its own, which ends with the run."""

import os
import subprocess
import sys

import image
from guest import tap_device
from rig import RigError, runs_directory

# Set once this program has started itself again inside of the namespace.
INSIDE = "ZS_VM_NETWORK"
BRIDGE = "br0"


def unshare_command():
    """Root needs no user namespace; others become root of one, to be allowed a network namespace."""
    return ["unshare", "--net"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])


def enter():
    """Starts this program again inside of a new network namespace; returns if it is inside already.

    A namespace without a name cannot be left behind: it is gone when the last process in it is, which are this
    program and its QEMUs."""
    if INSIDE in os.environ:
        return
    unshare = unshare_command()
    attempt = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if attempt.returncode != 0:
        raise RigError(f"several guests need a network namespace, and '{' '.join(unshare)}' failed: "
                       f"{attempt.stderr.strip()}; run it as root")
    os.environ.update({INSIDE: "1", "ZS_VM_RUNS": runs_directory()})
    sys.stdout.flush()
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def create_bridge(guests, mtu):
    image.run_tool("ip", "link", "add", BRIDGE, "mtu", str(mtu), "type", "bridge")
    image.run_tool("ip", "link", "set", BRIDGE, "up")
    for number in range(1, guests + 1):
        tap = tap_device(number)
        image.run_tool("ip", "tuntap", "add", tap, "mode", "tap")
        image.run_tool("ip", "link", "set", tap, "mtu", str(mtu), "master", BRIDGE, "up")


def set_connected(pid, number, connected):
    """Plugs a guest into the bridge or out of it, seen from outside: pid is that of its QEMU. The guest notices
    nothing but silence."""
    tap = tap_device(number)
    enter_namespace = ["nsenter", f"--target={pid}", "--net"]
    if os.geteuid() != 0:
        enter_namespace += ["--user", "--preserve-credentials"]
    image.run_tool(*enter_namespace, "ip", "link", "set", tap, *(["master", BRIDGE] if connected else ["nomaster"]))
