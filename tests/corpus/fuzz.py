#!/usr/bin/env python3
"""Flips random bytes of small images and asks the queries of the sound ones again: an answer must come in time, and be the sound one's or an error.

    fuzz.py DIR 'PROGRAM' [--image TEXT] [--rounds N] [--seed N] [--most BYTES]

Of each image in DIR up to --most bytes, N copies are made with one to eight bytes changed, half of them within the first blocks and where bytes are not zero.
Hangs and deaths are failures. Answers that are neither an error nor what the sound image gives are counted: content that no checksum covers, names, times
and sizes may well change."""
import argparse, glob, json, os, random, sys, tempfile
from score import ask, verdict


def main():
    options = argparse.ArgumentParser()
    options.add_argument("folder")
    options.add_argument("program")
    options.add_argument("--image", default="")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--most", type=int, default=64 << 20)
    options.add_argument("--queries", type=int, default=60)
    o = options.parse_args()
    dice = random.Random(o.seed)
    by_image = {}
    for name in sorted(glob.glob(o.folder + "/queries*.jsonl")):
        for query in map(json.loads, open(name)):
            if o.image in query["image"]:
                by_image.setdefault(query["image"], []).append(query)
    bad, counts = 0, {}
    for image, queries in by_image.items():
        with open(os.path.join(o.folder, image), "rb") as f:
            sound = f.read(o.most + 1)
        if len(sound) > o.most or not sound:
            continue
        used = [i for i in range(0, len(sound), 64) if any(sound[i:i + 64])]
        for number in range(o.rounds):
            data = bytearray(sound)
            for _ in range(dice.randint(1, 8)):
                at = dice.choice(used) + dice.randrange(64) if dice.random() < 0.7 else dice.randrange(min(len(data), 8192))
                if at < len(data):
                    data[at] = dice.choice((0, 0xff, 1, 0x80, data[at] ^ 1 << dice.randrange(8), dice.randrange(256)))
            chosen = dice.sample(queries, min(o.queries, len(queries)))
            changed = image + ".fuzz"
            with open(os.path.join(o.folder, changed), "wb") as f:
                f.write(data)
            for query, (answer, took) in zip(chosen, ask(o.program, o.folder, [{**q, "image": changed} for q in chosen], 10, 2048)):
                v = verdict(query["expect"], answer)
                counts[v] = counts.get(v, 0) + 1
                if v in ("hang", "crash") or took > 5:
                    bad += 1
                    kept = os.path.join(tempfile.gettempdir(), "fuzz-%d-%d-%s" % (o.seed, bad, os.path.basename(image)))
                    with open(kept, "wb") as f:
                        f.write(data)
                    print("%s after %.1f s: %s %s in %s" % (v, took, query["traversal"], json.dumps(query["args"])[:150], kept), flush=True)
            os.remove(os.path.join(o.folder, changed))
    print(", ".join("%d %s" % (n, v) for v, n in sorted(counts.items())))
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
