#!/usr/bin/env python3
"""Runs the queries of a folder through a program that answers them, and tells which answers are wrong.

    score.py DIR 'PROGRAM' [--image TEXT] [--every N] [--images N] [--one-process] [--seconds N] [--memory MIB] [--show N]

DIR has images/ and queries*.jsonl. One process an image, in DIR; with --one-process one for all of them, which spares what each begins with. An answer is right when every key of `expect` has an equal value in `result`;
`{"error": true}` wants an error, `{"terminates": true}` anything that ends. Late answers and deaths are failures."""
import argparse, collections, glob, json, os, resource, select, signal, struct, subprocess, sys, time


def same(expect, got):
    if isinstance(expect, dict) and "f64" in expect and isinstance(got, int):
        return struct.unpack(">d", bytes.fromhex(expect["f64"]))[0] == got
    if isinstance(expect, dict) and isinstance(got, dict):
        return all(k in got and same(v, got[k]) for k, v in expect.items())
    if isinstance(expect, list) and isinstance(got, list):
        return len(expect) == len(got) and all(map(same, expect, got))
    return type(expect) is type(got) and expect == got


def verdict(expect, answer):
    if isinstance(answer, str):
        return answer
    if answer.get("unsupported") or answer.get("panic"):
        return "unsupported" if answer.get("unsupported") else "crash"
    if expect.get("terminates"):
        return "pass"
    if expect.get("error"):
        return "pass" if "error" in answer else "silent"
    if "error" in answer:
        return "error"
    return "pass" if same(expect, answer["result"]) else "wrong"


def ask(command, folder, queries, seconds, memory):
    """The answers in order; "hang" or "crash" where there is none."""
    limits = lambda: resource.setrlimit(resource.RLIMIT_DATA, (memory << 20, memory << 20))
    out = []
    while len(out) < len(queries):
        p = subprocess.Popen(command, shell=True, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=limits, start_new_session=True)
        rest = b""
        for query in queries[len(out):]:
            line = json.dumps({k: query[k] for k in ("id", "image", "format", "traversal", "args")}) + "\n"
            started = time.time()
            try:
                p.stdin.write(line.encode())
                p.stdin.flush()
                while b"\n" not in rest:
                    left = started + seconds - time.time()
                    if not select.select([p.stdout], [], [], max(left, 0))[0]:
                        raise TimeoutError
                    piece = os.read(p.stdout.fileno(), 1 << 16)
                    if not piece:
                        raise BrokenPipeError
                    rest += piece
            except (TimeoutError, BrokenPipeError) as error:
                out.append(("hang" if isinstance(error, TimeoutError) else "crash", seconds))
                break
            line, rest = rest.split(b"\n", 1)
            out.append((json.loads(line), time.time() - started))
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
    return out


def main():
    options = argparse.ArgumentParser()
    options.add_argument("folder")
    options.add_argument("program")
    options.add_argument("--image", default="")
    options.add_argument("--every", type=int, default=1, help="only every so many-th query of an image")
    options.add_argument("--images", type=int, default=1, help="only every so many-th image")
    options.add_argument("--one-process", action="store_true")
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--memory", type=int, default=2048)
    options.add_argument("--show", type=int, default=20)
    o = options.parse_args()
    by_image, table, slow, shown = {}, collections.defaultdict(collections.Counter), [], 0
    for name in sorted(glob.glob(o.folder + "/queries*.jsonl")):
        for query in map(json.loads, open(name)):
            if o.image in query["image"]:
                by_image.setdefault(query["image"], []).append(query)
    rounds = [queries[:: o.every] for queries in list(by_image.values())[:: o.images]]
    for queries in [sum(rounds, [])] if o.one_process else rounds:
        for query, (answer, took) in zip(queries, ask(o.program, o.folder, queries, o.seconds, o.memory)):
            v = verdict(query["expect"], answer)
            table[query["traversal"]][v] += 1
            slow.append((took, query["id"]))
            if v != "pass" and shown < o.show:
                shown += 1
                print("%s: %s %s: want %s, got %s" % (v, query["id"], json.dumps(query["args"])[:120], json.dumps(query["expect"])[:240], json.dumps(answer)[:240]))
    total = sum(table.values(), collections.Counter())
    for name, counts in sorted(table.items()) + [("all", total)]:
        print("%-24s %s" % (name, ", ".join("%d %s" % (n, v) for v, n in sorted(counts.items()))))
    print("slowest: " + ", ".join("%s %.2f s" % (i, t) for t, i in sorted(slow, reverse=True)[:4]))
    sys.exit(total["pass"] != sum(total.values()))


if __name__ == "__main__":
    main()
