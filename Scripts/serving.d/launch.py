"""Hands sockets over to a program as systemd does: they become its numbers 3, 4, …, and LISTEN_FDS speaks of them.

usage: launch.py NAMES NUMBERS PROGRAM ARGUMENTS…      names for LISTEN_FDNAMES, inherited descriptors, each with colons
"""

import os
import sys

names, numbers = sys.argv[1], [int(number) for number in sys.argv[2].split(":")]
# Out of the way first, so that none is overwritten.
copies = [os.dup(number) for number in numbers]
high = [os.dup2(copy, 100 + place) for place, copy in enumerate(copies)]
for place, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + place)
os.closerange(3 + len(high), 256)
# The process stays the same, so that its number is known.
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=names)
os.execv(sys.argv[3], sys.argv[3:])
