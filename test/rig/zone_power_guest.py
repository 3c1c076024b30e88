#!/usr/bin/python3
"""Run in a guest by zone_power.py, at each boot: checks what a node over the zoned disk has of what was acknowledged
before the guest was reset, then writes until it is reset again.

    zone_power_guest.py zslabd FOLDER RESETS

FOLDER is the host's: what is to be known after a reset stands in its file `log`, a line for each batch of keys before
it is sent and one after it was acknowledged. The last boot, after RESETS resets, only checks."""

import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "node"))

import raw_resp  # noqa: E402 (its folder has to be known first)

BATCH = 100
BATCHES = 900
JOURNAL = "/tmp/journal"


def key(number):
    return b"key:%d" % number


def value(number, version):
    return (b"value-%d-%d-" % (number, version) * 10)[:100]


def version_of(text):
    return int(text.split(b"-")[2])


def start(zslabd):
    if not os.path.ismount(JOURNAL):
        os.makedirs(JOURNAL, exist_ok=True)
        subprocess.run(["modprobe", "ext4"], check=True)
        if os.environ["ZS_BOOT"] == "1":
            subprocess.run(["mkfs.ext4", "-q", os.environ["ZS_DISK"]], check=True)
        subprocess.run(["mount", os.environ["ZS_DISK"], JOURNAL], check=True)
    node = subprocess.Popen([zslabd, "--port", "7999", "--memory", "8mb", "--workers", "1", "--crash-domain", "host",
                             "--warm", os.environ["ZS_ZNS_GENERIC"], "--warm-journal", JOURNAL])
    for _ in range(300):
        try:
            return node, raw_resp.RawClient(("127.0.0.1", 7999))
        except OSError:
            time.sleep(0.1)
        if node.poll() is not None:
            sys.exit("the node ended with %d" % node.returncode)
    sys.exit("the node does not answer")


def info(client):
    text = client.call("INFO", "warm").split(b"\r\n", 1)[1].decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


def run(client, commands):
    client.socket.sendall(b"".join(raw_resp.encode(command) for command in commands))
    return [client.reply() for _ in commands]


def read_log(path):
    """Of each batch the versions that may be found; version 0 is a deletion."""
    may = {}
    if os.path.exists(path):
        with open(path, encoding="ascii") as log:
            for line in log:
                if not line.endswith("\n"):
                    break
                what, batch, version = line.split()
                known = may.setdefault(int(batch), {0})
                if what == "acknowledged":
                    known.clear()
                known.add(int(version))
    return may


def check(client, may):
    """How many keys are there; ends with an error if one has what it must not have."""
    found = 0
    for batch in range(BATCHES):
        numbers = range(batch * BATCH, (batch + 1) * BATCH)
        for number, reply in zip(numbers, run(client, [["GET", key(number)] for number in numbers])):
            if reply in (b"$-1\r\n", b"_\r\n"):
                continue
            text = reply.split(b"\r\n")[1]
            version = version_of(text)
            if text != value(number, version) or version not in may.get(batch, {0}) or version == 0:
                sys.exit("key %d has %r; it may have versions %s" % (number, text, may.get(batch)))
            found += 1
    return found


def write(client, log, draw, version):
    batch = draw.randrange(BATCHES)
    numbers = range(batch * BATCH, (batch + 1) * BATCH)
    deletes = draw.random() < 0.15
    stored = 0 if deletes else version
    log.write("sent %d %d\n" % (batch, stored))
    log.flush()
    os.fsync(log.fileno())
    run(client, [["DEL", key(number)] if deletes else ["SET", key(number), value(number, version)]
                 for number in numbers])
    log.write("acknowledged %d %d\n" % (batch, stored))
    log.flush()


def main():
    zslabd, folder, resets = sys.argv[1], sys.argv[2], int(sys.argv[3])
    boot = int(os.environ["ZS_BOOT"])
    path = os.path.join(folder, "log")
    node, client = start(zslabd)
    check(client, read_log(path))
    while info(client)["zs_warm_rebuilding"] == "1":
        time.sleep(0.1)
    figures = info(client)
    found = check(client, read_log(path))
    print("boot %d: start %s, %s objects on flash, %d keys found" % (
        boot, figures["zs_warm_start"], figures["zs_warm_rebuilt_objects"], found), flush=True)
    if boot > 1 and (figures["zs_warm_start"] != "crashed" or figures["zs_warm_rebuilt_objects"] == "0"):
        sys.exit("nothing was found again")
    if boot > resets:
        node.terminate()
        node.wait()
        return
    draw = random.Random(boot)
    with open(path, "a", encoding="ascii") as log:
        for batch in range(10 ** 9):
            write(client, log, draw, boot * 10 ** 6 + batch)
            if batch == 400:
                with open(os.path.join(folder, "busy.%d" % boot), "w", encoding="ascii"):
                    pass


main()
