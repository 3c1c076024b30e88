"""The kernel and the initramfs that guests boot from, kept under build/vm.

The kernel is Debian's own package, fetched with apt-get from wherever this machine gets its packages. Its unpacked
tree stays, so that a guest can load any other module of it with modprobe.
"""

import contextlib
import fcntl
import glob
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tempfile

from rig import CACHE, MEGABYTE, PARTS, RigError, read_text, write_text

# The package that always depends on the current kernel. Not the cloud variant: that one has no soft-RoCE.
META_PACKAGE = "linux-image-amd64"
KERNEL = os.path.join(CACHE, "kernel")
KERNEL_IMAGE = os.path.join(KERNEL, "image")
INITRAMFS = os.path.join(CACHE, "initramfs.cpio")
STAMP = os.path.join(CACHE, "initramfs.stamp")
FIRST_STAGE = os.path.join(PARTS, "initramfs-init")
XZ_MAGIC = b"\xfd7zXZ\0"
ELF_MAGIC = b"\x7fELF"
SPACE_NEEDED = 700 * MEGABYTE

# Loaded at boot, with what they depend on, in this order. Without crc32_generic no rxe link can be added.
MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay",
           "virtio_net", "dummy", "nvme",
           "crc32_generic", "ib_uverbs", "rdma_ucm", "rdma_rxe")

REQUIRED_PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "modprobe": "kmod",
                     "depmod": "kmod", "rdma": "iproute2", "setpriv": "util-linux", "dpkg": "dpkg"}


def prepare(announce):
    """Makes whatever is missing. announce(text) is told what takes long. Safe to run several times at once."""
    check_programs()
    if is_ready():
        return
    os.makedirs(CACHE, exist_ok=True)
    with exclusive_lock(os.path.join(CACHE, "lock")):
        if not os.path.exists(KERNEL_IMAGE):
            fetch_kernel(announce)
        if not is_ready():
            announce("building the initramfs")
            build_initramfs()


def kernel_version():
    """Of the unpacked kernel, such as 6.1.0-56-amd64."""
    versions = os.listdir(os.path.join(KERNEL, "lib", "modules"))
    if len(versions) != 1:
        raise RigError(f"{KERNEL} should hold one kernel, not {versions}; remove it and run 'scripts/vm setup'")
    return versions[0]


def modules_directory():
    return os.path.join(KERNEL, "lib", "modules", kernel_version())


def search_path():
    """PATH with the system programs, which an ordinary user's may lack."""
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def check_programs():
    missing = {package for program, package in REQUIRED_PROGRAMS.items()
               if not shutil.which(program, path=search_path())}
    if missing:
        raise RigError(f"not installed: {', '.join(sorted(missing))}; run scripts/setup")


def recipe():
    """Changes whenever the initramfs has to be built anew."""
    digest = hashlib.sha256()
    for path in (FIRST_STAGE, os.path.abspath(__file__), shutil.which("busybox", path=search_path())):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def is_ready():
    return os.path.exists(KERNEL_IMAGE) and os.path.exists(INITRAMFS) and read_text(STAMP) == recipe()


@contextlib.contextmanager
def exclusive_lock(path):
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_tool(*command, **options):
    """Runs a program, returns its output; what it said on failure becomes part of the error."""
    environment = dict(os.environ, LC_ALL="C", PATH=search_path())
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip()
        raise RigError(f"'{' '.join(command)}' failed with {result.returncode}: {said}")
    return result.stdout


def check_space():
    free = shutil.disk_usage(CACHE).free
    if free < SPACE_NEEDED:
        raise RigError(f"the kernel needs {SPACE_NEEDED // MEGABYTE} MB below {CACHE}, "
                       f"only {free // MEGABYTE} MB are free there")


def fetch_kernel(announce):
    check_space()
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="unpack.") as scratch:
        announce("downloading Debian's kernel package")
        package = download_package(scratch)
        announce(f"unpacking {os.path.basename(package)}")
        tree = os.path.join(scratch, "kernel")
        run_tool("dpkg", "-x", package, tree)
        version, = os.listdir(os.path.join(tree, "lib", "modules"))
        run_tool("depmod", "--basedir", tree, version)
        decompress_kernel(os.path.join(tree, "boot", f"vmlinuz-{version}"), os.path.join(tree, "image"))
        shutil.rmtree(KERNEL, ignore_errors=True)
        os.rename(tree, KERNEL)


def decompress_kernel(packed, image):
    """A kernel that unpacks itself takes seconds under emulation, at each boot; QEMU boots the plain ELF file too.

    Debian packs with xz. Should that change, the kernel goes on to unpack itself."""
    with open(packed, "rb") as file:
        data = file.read()
    start = data.find(XZ_MAGIC)
    if start >= 0:
        unpacked = lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(data[start:])
        if unpacked.startswith(ELF_MAGIC):
            data = unpacked
    with open(image, "wb") as file:
        file.write(data)


def download_package(directory):
    """Returns the path of the .deb. Refreshes the package lists once if they are missing or too old."""
    try:
        return download_with_current_lists(directory)
    except RigError as error:
        if os.geteuid() != 0:
            raise RigError(f"{error}\nPerhaps the package lists are missing or old: run 'apt-get update' as root, "
                           f"then 'scripts/vm setup'") from error
        run_tool("apt-get", "update", "--quiet")
        return download_with_current_lists(directory)


def download_with_current_lists(directory):
    description = run_tool("apt-cache", "--no-all-versions", "show", META_PACKAGE)
    depends = re.search(r"^Depends:.*?\b(linux-image-[0-9][^ ,]*)", description, re.MULTILINE)
    if not depends:
        raise RigError(f"apt-cache does not say which kernel {META_PACKAGE} stands for; the rig needs Debian on amd64")
    # Without its sandbox apt-get can write to a folder that only this user may enter.
    run_tool("apt-get", "download", "--quiet", "--option", "APT::Sandbox::User=", depends[1], cwd=directory)
    package, = glob.glob(os.path.join(directory, "*.deb"))
    return package


def module_files():
    """The files of MODULES and of what they depend on, each once, in the order to load them."""
    files = {}
    for module in MODULES:
        lines = run_tool("modprobe", "--dirname", KERNEL, "--set-version", kernel_version(), "--show-depends", module)
        for line in lines.splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "insmod":  # the other kind is "builtin"
                files[rest.split()[0]] = True
    return list(files)


def build_initramfs():
    """busybox, the modules and the first stage; not compressed, because unpacking is slow under emulation."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="initramfs.") as tree:
        for folder in ("bin", "modules", "proc", "sys", "dev"):
            os.mkdir(os.path.join(tree, folder))
        shutil.copy(shutil.which("busybox", path=search_path()), os.path.join(tree, "bin", "busybox"))
        shutil.copy(FIRST_STAGE, os.path.join(tree, "init"))
        os.chmod(os.path.join(tree, "init"), 0o755)
        for number, path in enumerate(module_files()):
            shutil.copy(path, os.path.join(tree, "modules", f"{number:02}-{os.path.basename(path)}"))
        archive = INITRAMFS + ".new"
        with open(archive, "wb") as output:
            names = "\n".join(sorted(os.path.relpath(os.path.join(folder, name), tree)
                                     for folder, folders, files in os.walk(tree) for name in folders + files))
            subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], input=names.encode(), stdout=output,
                           stderr=subprocess.DEVNULL, cwd=tree, check=True)
        os.rename(archive, INITRAMFS)
        write_text(STAMP, recipe())
