"""Threat case 17: what must differ between two VMs of one zygote, a line each."""
import os

print("random", os.getrandom(32).hex())
print("urandom", open("/dev/urandom", "rb").read(32).hex())
print("boot_id", open("/proc/sys/kernel/random/boot_id").read().strip())
print("uuid", open("/proc/sys/kernel/random/uuid").read().strip())
libc = None
for line in open("/proc/self/maps"):
    address, _, _, _, _, *name = line.split()
    if name and name[0] in ("[stack]", "[heap]", "[vdso]"):
        print(name[0], address)
    elif name and name[0].split("/")[-1].startswith("libc"):
        libc = libc or address
print("libc", libc)
