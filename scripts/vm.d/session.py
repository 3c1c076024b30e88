"""A run of one or several guests: starts them, passes on what they print, bounds their time, cleans up."""

import contextlib
import dataclasses
import fcntl
import os
import selectors
import shutil
import sys
import termios
import time

import network
from guest import Guest
from rig import EXIT_RIG_FAILED, EXIT_TIMEOUT, RigError, runs_directory, write_text


@dataclasses.dataclass
class Settings:
    """What the user asked for. Sizes: memory in megabytes, zns and disk in bytes (0: none), timeout in seconds (None: none)."""

    name: str
    command: str
    directory: str
    accelerator: str
    guests: int = 1
    memory: int = 1024
    cpus: int = 2
    mtu: int = 1500
    zns: int = 0
    zasl: int = 0
    disk: int = 0
    rdma: bool = True
    timeout: float | None = None
    writable: tuple = ()
    shell: bool = False


def run(settings):
    """Runs the command in all guests; returns the largest of their exit codes."""
    with run_directory(settings.name) as directory:
        guests = [Guest(number, os.path.join(directory, str(number)), settings)
                  for number in range(1, settings.guests + 1)]
        try:
            if settings.guests > 1:
                network.create_bridge(settings.guests, settings.mtu)
                write_text(os.path.join(directory, "bridged"), "")
            for guest in guests:
                guest.start()
            if settings.shell:
                in_time = wait_for_shell(guests[0])
            else:
                in_time = pass_on_output(guests, settings.timeout)
        finally:
            for guest in guests:
                guest.stop()
        return max(exit_code(guest, in_time) for guest in guests)


@contextlib.contextmanager
def run_directory(name):
    """A fresh folder for the run's files. It is locked as long as the run lives, so that what a killed run left
    behind is told from a running one."""
    base = runs_directory()
    os.makedirs(base, mode=0o700, exist_ok=True)
    if os.stat(base).st_uid != os.geteuid() and network.INSIDE not in os.environ:
        raise RigError(f"{base} belongs to somebody else")
    path = os.path.join(base, name)
    try:
        os.makedirs(path, exist_ok=True)
        lock = os.open(path, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RigError(f"a run named '{name}' is going on; choose another --name") from None
    remove_contents(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def remove_contents(path):
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.remove(entry.path)


def wait_for_shell(guest):
    """The guest has the terminal; QEMU puts it back as it was unless it is killed."""
    terminal = termios.tcgetattr(sys.stdin)
    try:
        guest.process.wait()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, terminal)
    return True


def pass_on_output(guests, timeout):
    """Copies what the guests print until all have ended; returns False if time ran out before."""
    deadline = time.monotonic() + timeout
    prefixed = len(guests) > 1
    with selectors.DefaultSelector() as selector:
        for guest in guests:
            selector.register(guest.process.stdout, selectors.EVENT_READ, Output(guest.number if prefixed else None))
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                flush_outputs(selector)
                return False
            for key, _ in selector.select(remaining):
                data = os.read(key.fileobj.fileno(), 65536)
                key.data.write(data)
                if not data:
                    selector.unregister(key.fileobj)
    for guest in guests:
        guest.process.wait()
    return True


def flush_outputs(selector):
    for key in selector.get_map().values():
        key.data.write(b"")


class Output:
    """Writes one guest's output to ours: as it is, or line by line behind the guest's number."""

    def __init__(self, number):
        self.prefix = b"" if number is None else b"%d: " % number
        self.line = b""

    def write(self, data):
        """Empty data is the end: the last line may lack its newline."""
        if not self.prefix:
            emit(data)
            return
        *lines, self.line = (self.line + data).split(b"\n")
        if not data and self.line:
            lines, self.line = [self.line], b""
        emit(b"".join(self.prefix + line + b"\n" for line in lines))


def emit(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def exit_code(guest, in_time):
    """The command's, or one of the rig's, with the reason on standard error."""
    status = guest.status()
    if status is not None:
        return status
    if not in_time:
        why, code = f"did not end within {guest.settings.timeout} s and was stopped", EXIT_TIMEOUT
    else:
        why, code = "ended without an exit status", EXIT_RIG_FAILED
    complain(f"guest {guest.number} {why}; the end of its console:\n{guest.console_tail()}")
    return code


def complain(message):
    print(f"vm: {message}", file=sys.stderr, flush=True)
