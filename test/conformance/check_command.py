#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command's contract (docs/command.md): usage errors, exit codes, JSON keys, files written whole or not at all."""
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

TINYSLIM = os.environ["TINYSLIM"]
MODEL = os.path.join(os.path.dirname(__file__), "../../examples/models/fashion_resnet.onnx")
PREPARE = ["--scale", "0.00392156862745098", "--mean", "0.2860", "--std", "0.3530"]
VERBS = ["inspect", "check", "run", "compare", "eval", "gate", "bench", "sensitivity", "prune", "calibrate", "quantize",
         "export", "convert", "verify", "report"]
passed = failed = 0


def check(condition, what):
    global passed, failed
    passed += bool(condition)
    failed += not condition
    if not condition:
        print("FAIL", what)


def run(*words, code=0, says="", env=None):
    """Runs the command; checks its exit code and that stderr says something. Returns stdout."""
    done = subprocess.run([TINYSLIM, *words], capture_output=True, text=True, env={**os.environ, **(env or {})})
    check(done.returncode == code, f"{' '.join(words)}: exit {done.returncode}, not {code}: {done.stderr.strip()}")
    check(says in done.stderr, f"{' '.join(words)}: '{says}' is not in '{done.stderr.strip()}'")
    check("Sanitizer" not in done.stderr, f"{' '.join(words)}: {done.stderr}")
    return done.stdout


def run_json(*words, code=0, keys=()):
    text = run(*words, "--json", code=code)
    try:
        result = json.loads(text)
    except ValueError:
        check(False, f"{' '.join(words)}: not JSON: {text[:200]}")
        return {}
    check(next(iter(result)) == "schema" and result["schema"] == f"tinyslim.{words[0]}/1", f"{words[0]}: schema first")
    for key in keys:
        check(key in result, f"{words[0]} --json: no key '{key}'")
    return result


def make_data(folder):
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    labels = random.integers(0, 10, 40)
    np.save(f"{folder}/images.npy", images)
    np.save(f"{folder}/labels.npy", labels)
    np.save(f"{folder}/few.npy", labels[:39])
    np.savez_compressed(f"{folder}/images.npz", input=images)
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in images.shape)
    with gzip.open(f"{folder}/images.idx.gz", "wb") as file:
        file.write(header + images.tobytes())
    x = ((images[:, None].astype(np.float32) * np.float32(PREPARE[1]) - np.float32(0.2860)) / np.float32(0.3530))
    np.save(f"{folder}/float.npy", x)
    np.save(f"{folder}/one.npy", x[:1])
    open(f"{folder}/text.onnx", "w").write("no model\n" * 100)


def usage():
    run(code=2)
    run("nonsense", code=2, says="nonsense")
    check("inspect" in run("--help"), "--help lists the verbs")
    check(run("--version").startswith("tinyslim "), "--version")
    for verb in VERBS:
        text = run(verb, "--help")
        check("example:" in text and f"tinyslim {verb} " in text and "--threads" in text, f"{verb} --help has an example")
        run(verb, "--no-such-flag", code=2, says="--no-such-flag")
        run(verb, MODEL, MODEL, MODEL, "-h")
    run("inspect", code=2, says="MODEL")
    run("inspect", MODEL, "extra", code=2, says="extra")
    run("bench", MODEL, "--batch", "4x", code=2, says="--batch takes a whole number from 1 to 65536, not '4x'")
    run("bench", MODEL, "--batch", "-1", code=2, says="--batch")
    run("bench", MODEL, "--seconds", "nan", code=2, says="--seconds")
    run("bench", MODEL, "--seconds", code=2, says="--seconds needs a value")
    run("bench", MODEL, "--threads", "0", code=2, says="--threads")
    run("bench", MODEL, "--shape", "1x0x28x28", code=2, says="--shape")
    run("bench", MODEL, "--isa", "mmx", code=2, says="mmx")
    run("bench", MODEL, "--backend", "tpu", code=2, says="tpu")
    run("inspect", MODEL, "--json=yes", code=2, says="--json takes no value")
    # What belongs to later versions is not accepted and ignored.
    run("repair", MODEL, code=2, says="repair")
    run("quantize", MODEL, "--adaround", code=2, says="--adaround")


def exit_codes(folder):
    run("inspect", f"{folder}/missing.onnx", code=5, says="missing.onnx")
    run("inspect", f"{folder}/text.onnx", code=4, says="text.onnx")
    run("bench", MODEL, "--backend", "cuda", code=7)
    if "avx512_vnni" not in open("/proc/cpuinfo").read():
        run("bench", MODEL, "--isa", "avx512vnni", code=7, says="avx512vnni")
        run("bench", MODEL, code=7, env={"TINYSLIM_ISA": "avx512vnni"}, says="TINYSLIM_ISA")
    data = ["--data", f"{folder}/images.npy", *PREPARE]
    run("eval", MODEL, *data, code=2, says="--labels")
    run("eval", MODEL, *data, "--labels", f"{folder}/few.npy", code=2, says="39 labels for 40 samples")
    run("eval", MODEL, *data, "--labels", f"{folder}/labels.npy", "--metric", "top7", code=2, says="top7")
    run("eval", MODEL, "--data", f"{folder}/missing.npy", "--labels", f"{folder}/labels.npy", code=5, says="missing.npy")
    run("eval", MODEL, "--data", f"{folder}/text.onnx", "--labels", f"{folder}/labels.npy", code=4, says="text.onnx")
    run("eval", MODEL, *data, "--labels", f"{folder}/labels.npy", "--min", "1.01", code=1)
    run("compare", MODEL, *data, code=2, says="second model")
    run("prune", MODEL, "-o", f"{folder}/x.onnx", code=2, says="--ratio")
    run("prune", MODEL, "-o", f"{folder}/x.onnx", "--ratio", "1", code=2, says="--ratio")
    run("prune", MODEL, "-o", f"{folder}/x.onnx", "--ratio", "0.3", "--max-loss", "0.1", code=2, says="together")
    run("prune", MODEL, "-o", f"{folder}/x.txt", "--ratio", "0.3", code=2, says="x.txt")
    run("prune", MODEL, "-o", f"{folder}/none/x.onnx", "--ratio", "0.3", code=5, says="none")
    detector = os.path.join(os.environ["TSLIM_MODELS"], "320n.onnx") # does not run at the size 1 of dims without a shape
    run("prune", detector, "-o", f"{folder}/x.onnx", "--ratio", "0.3", code=2, says="--shape")
    run("export", MODEL, "--qdq", "-o", f"{folder}/x.onnx", code=2, says="not quantized")
    check(not os.path.exists(f"{folder}/x.onnx"), "a failed verb leaves no file")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([TINYSLIM, "inspect", MODEL], stdout=full, stderr=subprocess.PIPE)
            check(done.returncode == 5, f"a full disk is exit 5, not {done.returncode}")


def the_way(folder):
    images = ["--data", f"{folder}/images.npy", *PREPARE]
    labelled = [*images, "--labels", f"{folder}/labels.npy"]
    inspect = run_json("inspect", MODEL, "--groups", keys=["file_bytes", "precision", "parameters", "macs", "inputs",
                       "outputs", "operators", "nodes", "groups", "history"])
    check(inspect["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["N", 1, 28, 28]}], "inspect: inputs")
    check(all(node["precision"] == "float32" for node in inspect["nodes"]), "inspect: precision of nodes")
    check(run_json("check", MODEL, keys=["issues"])["runs"] is True, "check: runs")
    metrics = ["top1", "top5", "f1", "recall", "precision"]
    evaluated = run_json("eval", MODEL, *labelled, "--metric", ",".join(metrics), keys=["samples", *metrics])
    check(evaluated["samples"] == 40, "eval: samples")
    for other in (["--data", f"{folder}/images.npz"], ["--data", f"{folder}/images.idx.gz"], ["--data", f"{folder}/float.npy"]):
        again = run_json("eval", MODEL, *other, *PREPARE, "--labels", f"{folder}/labels.npy", "--metric", ",".join(metrics))
        check({**again} == {**evaluated}, f"eval: {other[1]} gives the same")
    check(run_json("eval", MODEL, *labelled, "--limit", "7")["samples"] == 7, "eval --limit")

    run_json("run", MODEL, "--input", f"input={folder}/float.npy", "--output", f"{folder}/all.npy", keys=["outputs"])
    run("run", MODEL, "--input", f"{folder}/one.npy", "--output", f"{folder}/outputs/")
    everything, one = np.load(f"{folder}/all.npy"), np.load(f"{folder}/outputs/logits.npy")
    check(everything.shape == (40, 10) and np.allclose(everything[:1], one, atol=1e-4), "run: one and all agree")
    right = (everything.argmax(1) == np.load(f"{folder}/labels.npy")).mean()
    check(abs(right - evaluated["top1"]) < 1e-9, "eval: top1 is that of the outputs")
    run("run", MODEL, "--input", f"other={folder}/one.npy", "--output", f"{folder}/x.npy", code=5)

    bench = run_json("bench", MODEL, "--seconds", "0.05", "--warmup", "0.01", "--per-layer", "--threads", "1", keys=[
        "p50_ms", "p90_ms", "p99_ms", "min_ms", "mean_ms", "throughput", "load_ms", "peak_rss_mb", "macs", "cpu", "isa",
        "threads", "layers"])
    check(bench["min_ms"] <= bench["p50_ms"] <= bench["p90_ms"] <= bench["p99_ms"], "bench: percentiles in order")
    check(bench["threads"] == 1 and bench["macs"] == inspect["macs"], "bench: threads and MACs")
    check(run_json("bench", MODEL, "--seconds", "0.01", "--isa", "portable")["isa"] == "portable", "bench --isa")
    check(run_json("bench", MODEL, "--seconds", "0.01", "--batch", "3")["batch"] == 3, "bench --batch")

    sens = [*labelled, "--ratios", "0.3,0.6"]
    whole = run_json("sensitivity", MODEL, *sens, "-o", f"{folder}/s.json", "--plot", f"{folder}/s.svg",
                     keys=["baseline", "ratios", "groups"])
    check(abs(whole["baseline"] - evaluated["top1"]) < 1e-9, "sensitivity: the baseline is eval's")
    for shard in ("1/2", "2/2"):
        run("sensitivity", MODEL, *sens, "-o", f"{folder}/s{shard[0]}.json", "--shard", shard)
    run("sensitivity", "--merge", f"{folder}/s1.json", f"{folder}/s2.json", "-o", f"{folder}/sm.json")
    check(open(f"{folder}/sm.json", "rb").read() == open(f"{folder}/s.json", "rb").read(), "sensitivity: shards merge to one run")
    check(open(f"{folder}/s.svg").read().startswith(("<svg", "<?xml")), "sensitivity: the plot is SVG")

    dry = run_json("prune", MODEL, "--ratio", "0.3", "--dry-run", keys=["before", "after", "groups"])
    pruned = run_json("prune", MODEL, "--ratio", "0.3", "-o", f"{folder}/p.onnx", "--plan", f"{folder}/plan.json")
    check(dry["after"] == pruned["after"] and dry["after"]["macs"] < dry["before"]["macs"], "prune: --dry-run foretells")
    check(run_json("inspect", f"{folder}/p.onnx")["macs"] == pruned["after"]["macs"], "prune: the MACs foretold")
    json.dump({"stage3.block0.conv1": 0.5}, open(f"{folder}/ratios.json", "w"))
    chosen = run_json("prune", MODEL, "--ratios", f"{folder}/ratios.json", "-o", f"{folder}/r.onnx")
    check([(g["name"], g["pruned"]) for g in chosen["groups"] if g["pruned"]] == [("stage3.block0.conv1", 32)], "prune --ratios")
    run("prune", MODEL, "--max-loss", "0.5", "--sensitivity", f"{folder}/s.json", "-o", f"{folder}/l.onnx")
    json.dump({"no.such.layer": 0.5}, open(f"{folder}/ratios.json", "w"))
    run("prune", MODEL, "--ratios", f"{folder}/ratios.json", "-o", f"{folder}/x.onnx", code=2, says="no.such.layer")

    run_json("calibrate", MODEL, *images, "-o", f"{folder}/c.json", keys=["samples", "values"])
    quantized = run_json("quantize", MODEL, "--calibration", f"{folder}/c.json", "-o", f"{folder}/q.tslim",
                         keys=["nodes", "nodes_by_precision", "file_bytes"])
    check(quantized["file_bytes"] == os.path.getsize(f"{folder}/q.tslim") < os.path.getsize(MODEL) / 3, "quantize: smaller")
    # The .tslim file knows how its images are prepared.
    plain = ["--data", f"{folder}/images.npy", "--labels", f"{folder}/labels.npy"]
    check(run_json("eval", f"{folder}/q.tslim", *plain)["top1"] == run_json("eval", f"{folder}/q.tslim", *labelled)["top1"],
          "eval: the stored preparation is used")
    stored = run_json("inspect", f"{folder}/q.tslim")
    check("preparation" in stored and any(line.startswith("quantize") for line in stored["history"]), "inspect: .tslim")
    compared = run_json("compare", MODEL, f"{folder}/q.tslim", *images, "--per-layer", "--min-sqnr", "10", keys=["outputs", "layers", "pass"])
    check(compared["pass"] and compared["outputs"][0]["elements"] == 400, "compare: outputs")
    run("compare", MODEL, f"{folder}/q.tslim", *images, "--min-sqnr", "200", code=1)
    run("compare", MODEL, f"{folder}/q.tslim", *images, "--max-abs", "0", code=1)
    same = run_json("compare", f"{folder}/q.tslim", *images, "--isa-b", "portable", "--max-abs", "0")
    check(same["pass"], "compare: INT8 is the same on portable C")
    gate = ["gate", f"{folder}/q.tslim", "--baseline", MODEL, *plain]
    run_json(*gate, "--max-drop", "0.5", keys=["metrics", "pass"])
    run(*gate, "--max-drop", "-1.1", code=1)
    run(*gate, code=2, says="--max-drop")
    run_json("convert", MODEL, "-o", f"{folder}/f.tslim", keys=["file_bytes"])
    check(run_json("compare", MODEL, f"{folder}/f.tslim", *images, "--min-sqnr", "90")["pass"], "convert: the same outputs")
    run_json("export", MODEL, "-o", f"{folder}/e.onnx")
    check(run_json("verify", f"{folder}/q.tslim")["pass"] is True, "verify: good")
    broken = bytearray(open(f"{folder}/q.tslim", "rb").read())
    broken[len(broken) // 2] ^= 1
    open(f"{folder}/broken.tslim", "wb").write(broken)
    check(run_json("verify", f"{folder}/broken.tslim", code=1)["pass"] is False, "verify: a changed bit is found")
    open(f"{folder}/short.tslim", "wb").write(broken[:1000])
    run("verify", f"{folder}/short.tslim", code=1)
    run("inspect", f"{folder}/short.tslim", code=4)


def report(folder):
    """One page from what the steps print."""
    steps = f"{folder}/steps"
    os.mkdir(steps)
    images = ["--data", f"{folder}/images.npy", *PREPARE]
    plain = ["--data", f"{folder}/images.npy", "--labels", f"{folder}/labels.npy"]
    for name, words in {"1": ["inspect", MODEL], "2": ["inspect", f"{folder}/q.tslim"],
                        "3": ["bench", f"{folder}/q.tslim", "--seconds", "0.01", "--per-layer"],
                        "4": ["prune", MODEL, "--ratio", "0.3", "--dry-run"],
                        "5": ["compare", MODEL, f"{folder}/q.tslim", *images, "--per-layer"],
                        "6": ["quantize", MODEL, "--calibration", f"{folder}/c.json", "-o", f"{folder}/q.tslim"],
                        "7": ["gate", f"{folder}/q.tslim", "--baseline", MODEL, *plain, "--max-drop", "0.5"]}.items():
        with open(f"{steps}/{name}.json", "w", encoding="utf-8") as file:
            file.write(run(*words, "--json"))
    shutil.copy(f"{folder}/s.json", f"{steps}/8.json")
    with open(f"{steps}/9.json", "w", encoding="utf-8") as file:
        json.dump({"schema": "tinyslim.inspect/1", "model": "<script>alert(1)", "file_bytes": 1}, file)
    page = f"{folder}/report.html"
    made = run_json("report", steps, "-o", page, keys=["output", "files"])
    check(len(made["files"]) == 9 and made["file_bytes"] == os.path.getsize(page), "report: files")
    text = open(page, encoding="utf-8").read()
    for wanted in ("Before and after", "fashion_resnet.onnx", "q.tslim", "Latency", "Pruning", "Quantization", "Gate",
                   "Distance between two models", "<svg", "stage3.block0.conv1", "</html>"):
        check(wanted in text, f"report: '{wanted}' is not in the page")
    check("<script" not in text and "&lt;script&gt;" in text, "report: text from files is escaped")
    check(not [name for name in os.listdir(folder) if name.endswith(".part")], "report: nothing is left behind")
    open(f"{steps}/bad.json", "w").write("{")
    run("report", steps, "-o", f"{folder}/none.html", code=4, says="bad.json")
    check(not os.path.exists(f"{folder}/none.html"), "report: a failed run leaves no page")
    run("report", f"{folder}/nowhere", "-o", page, code=5, says="nowhere")
    run("report", steps, code=2, says="-o")
    os.mkdir(f"{folder}/empty")
    run("report", f"{folder}/empty", "-o", page, code=5, says="no JSON files")


def interruption(folder):
    """A run that is stopped leaves the old file, and nothing beside it."""
    target = f"{folder}/stopped.json"
    open(target, "w").write("old")
    before = sorted(os.listdir(folder))
    data = np.zeros((200000, 28, 28), np.uint8)
    np.save(f"{folder}/../many.npy", data)
    process = subprocess.Popen([TINYSLIM, "calibrate", MODEL, "--data", f"{folder}/../many.npy", *PREPARE, "-o", target],
                               stderr=subprocess.PIPE)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    check(process.returncode == 130, f"interrupted: exit {process.returncode}")
    check(open(target).read() == "old" and sorted(os.listdir(folder)) == before, "interrupted: the old file is there")
    progress = subprocess.run([TINYSLIM, "calibrate", MODEL, "--data", f"{folder}/images.npy", *PREPARE, "-o", target,
                               "--progress"], capture_output=True, text=True)
    check("40/40" in progress.stderr and "/s" in progress.stderr, "--progress shows a count and a rate")


with tempfile.TemporaryDirectory() as top:
    os.mkdir(f"{top}/files")
    make_data(f"{top}/files")
    usage()
    exit_codes(f"{top}/files")
    the_way(f"{top}/files")
    report(f"{top}/files")
    interruption(f"{top}/files")
print(f"{passed} checks passed, {failed} failed")
sys.exit(failed > 0)
