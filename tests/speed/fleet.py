"""tests/bench fleet: role images of many nodes, as base and changed blocks."""
import pathlib
import subprocess
import tempfile
import time


def profile_of(count):
    """A cluster of so many workers and a control plane."""
    lines = ["name: fleet", "kubernetes: {version: 1.34.1}", "network: {subnet: 10.20.0.0/16, gateway: 10.20.0.1, pods: 10.64.0.0/12}",
             "api: {balancer: none}", "nodes:", "  master-1: {role: control-plane, address: 10.20.0.10}"]
    for number in range(1, count):
        lines.append(f"  worker-{number}: {{role: worker, address: 10.20.{1 + number // 250}.{1 + number % 250}}}")
    return "\n".join(lines) + "\n"


def build(makina, folder, count):
    """Seconds and bytes of `build --all --blocks` for so many nodes, with new keys each time."""
    profile = folder / f"fleet-{count}.yaml"
    profile.write_text(profile_of(count))
    out = folder / f"out-{count}"
    argv = [makina, "build", "--profile", profile, "--all", "--blocks", "--no-checksum", "--keys", folder / f"keys-{count}",
            "--output", out]
    started = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    files = list(out.glob("*.blocks"))
    if len(files) != count:
        raise SystemExit(f"{len(files)} of {count} nodes were built")
    largest = max(file.stat().st_size for file in files)
    print(f"{count:5} nodes {seconds:7.2f} s, {seconds / count * 1000:6.1f} ms a node, largest {largest} bytes", flush=True)
    return seconds, largest


def fleet(makina, most):
    with tempfile.TemporaryDirectory(prefix="makina-bench-") as name:
        folder = pathlib.Path(name)
        build(makina, folder, 2)  # makes the bases if they are not there
        counts = sorted({10, 100, most})
        rows = {count: build(makina, folder, count) for count in counts}
    per_node = {count: seconds / count for count, (seconds, _) in rows.items()}
    figures = {
        "role_image_s": round(per_node[10], 3),
        "role_image_bytes": max(largest for _, largest in rows.values()),
        "per_node_growth": round(per_node[most] / per_node[10], 3),
        "nodes": most,
    }
    figures["thousand_s" if most == 1000 else f"nodes_{most}_s"] = round(rows[most][0], 1)
    return figures
