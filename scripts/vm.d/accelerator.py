"""Whether guests run on the processor itself (KVM) or are emulated."""

import os
import re

from rig import CACHE, read_text, write_text

PROBED = os.path.join(CACHE, "kvm")
PROBE_SECONDS = 30


def choose(boots_with_kvm):
    """Returns "kvm" or "tcg". boots_with_kvm(seconds) tries a guest under KVM.

    A /dev/kvm that can be opened proves nothing: on some machines guests hang under it. So KVM has to boot a guest
    once; the answer holds until this machine boots again."""
    if not (processor_can_virtualize() and os.access("/dev/kvm", os.R_OK | os.W_OK)):
        return "tcg"
    boot = read_text("/proc/sys/kernel/random/boot_id")
    if (read_text(PROBED) or "").split()[:1] != [boot]:
        write_text(PROBED, f"{boot} {'kvm' if boots_with_kvm(PROBE_SECONDS) else 'tcg'}\n")
    return read_text(PROBED).split()[1]


def processor_can_virtualize():
    flags = re.search(r"^flags\s*:(.*)$", read_text("/proc/cpuinfo") or "", re.MULTILINE)
    return bool(flags) and not {"svm", "vmx"}.isdisjoint(flags[1].split())
