"""What all parts of the rig share: where its files are, its exit codes, its errors."""

import os
import tempfile

PARTS = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(PARTS))
CACHE = os.path.join(ROOT, "build", "vm")

# The codes of timeout(1) and docker: a command that returns them itself is to blame for the confusion.
EXIT_TIMEOUT = 124
EXIT_RIG_FAILED = 125

MEGABYTE = 1 << 20


class RigError(Exception):
    """The rig itself failed, with a message for the user; the command is not to blame."""


def runs_directory():
    """Where running guests keep their files. Short, because the paths of Unix sockets have to be."""
    return os.environ.get("ZS_VM_RUNS") or os.path.join(tempfile.gettempdir(), f"zs-vm-{os.getuid()}")


def read_text(path):
    """The stripped text of a small file, None if it is not there (yet)."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
