#!/usr/bin/python3
"""A guest is reset in the midst of writing, again and again; what its node has then must be what was acknowledged, or
nothing. Zones keep their data over a reset, the journal is on a disk, the guest's memory is lost.

    zone_power.py zslabd RESETS"""

import os
import random
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
VM = os.path.join(os.path.dirname(os.path.dirname(HERE)), "scripts", "vm")


def wait_for(path, process, seconds):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if process.poll() is not None:
            sys.exit("the guest ended with %d" % process.returncode)
        if time.monotonic() > end:
            sys.exit("%s did not come within %d s" % (os.path.basename(path), seconds))
        time.sleep(0.1)


def main():
    zslabd, resets = sys.argv[1], int(sys.argv[2])
    name = "power%d" % os.getpid()
    with tempfile.TemporaryDirectory() as folder:
        guest = subprocess.Popen([VM, "run", "--name", name, "--no-rdma", "--disk", "512M", "--writable", folder,
                                  "--timeout", str(200 + 120 * resets), "--", "/usr/bin/python3",
                                  os.path.join(HERE, "zone_power_guest.py"), zslabd, folder, str(resets)])
        try:
            for boot in range(1, resets + 1):
                wait_for(os.path.join(folder, "busy.%d" % boot), guest, 150)
                time.sleep(random.uniform(0, 3))
                subprocess.run([VM, "control", name + "/1", "reset"], check=True)
            status = guest.wait(200)
        finally:
            if guest.poll() is None:
                guest.terminate()
                guest.wait()
    if status:
        sys.exit("failed: the guest ended with %d" % status)
    print("%d resets, nothing stale" % resets)


main()
