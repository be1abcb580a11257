"""Writes a file to standard output in small uneven pieces, so that a reader meets every kind of cut in a line."""
import os
import random
import sys

data = open(sys.argv[1], "rb").read()
rng = random.Random(1)
at = 0
pauses = 0
while at < len(data):
    size = rng.choice((1, 17, 300, 4096, 65536)) if len(data) < 1 << 20 else rng.choice((1, 4096, 65536, 500000))
    piece = data[at:at + size]
    while piece:
        piece = piece[os.write(1, piece):]
    at += size
    if pauses < 200:
        os.sched_yield()
        pauses += 1
