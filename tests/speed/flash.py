"""tests/bench flash: a card written and read back, beside dd, bmaptool and cp, which do not read back.

A card is a loop device whose reads and writes the kernel holds back: to 25 MB/s of writing as a plain card, and to 90 MB/s
as a quick one in a USB 3 reader; reading is 90 MB/s for both, as SD's UHS-I bus has it. The loop device is new each time.
"""
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

READ_RATE = 90_000_000


class Card:
    """A loop device over a new file, held back to so many bytes a second."""

    def __init__(self, file, size, rate):
        self.file, self.rate = file, rate
        with open(file, "wb") as new:
            new.truncate(size)
        self.device = subprocess.run(["losetup", "--find", "--show", file], check=True, capture_output=True, text=True).stdout.strip()
        self.number = pathlib.Path("/sys/block", pathlib.Path(self.device).name, "dev").read_text().strip()
        self.hold(rate, READ_RATE)

    def hold(self, write, read):
        # Version 1 has its own files; in version 2 the limit is a group's, into which the writers are put.
        first = pathlib.Path("/sys/fs/cgroup/blkio")
        if first.is_dir():
            (first / "blkio.throttle.write_bps_device").write_text(f"{self.number} {write}")
            (first / "blkio.throttle.read_bps_device").write_text(f"{self.number} {read}")
            return
        root = pathlib.Path("/sys/fs/cgroup")
        (root / "cgroup.subtree_control").write_text("+io")
        group = root / "makina-bench"
        group.mkdir(exist_ok=True)
        (group / "io.max").write_text(f"{self.number} wbps={write or 'max'} rbps={read or 'max'}")
        (group / "cgroup.procs").write_text(str(os.getpid()))

    def close(self):
        self.hold(0, 0)
        subprocess.run(["losetup", "--detach", self.device], check=True)
        os.unlink(self.file)


def measured(argv):
    """Wall and CPU seconds and peak KiB of a command and its children; a card's kernel threads are not among them."""
    started = time.monotonic()
    process = subprocess.Popen([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, argv))} failed:\n{output}")
    return {"wall": time.monotonic() - started, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss, "output": output}


def contenders(makina, image, target):
    return {
        "makina-image flash": [makina, "flash", image, target, "--yes-device", target, "--json"],
        "bmaptool copy": ["bmaptool", "--quiet", "copy", "--bmap", f"{image}.theirs", image, target],
        "dd bs=4M conv=fsync": ["dd", f"if={image}", f"of={target}", "bs=4M", "conv=fsync", "status=none"],
        "cp --sparse=always, sync": ["sh", "-c", f"cp --sparse=always {image} {target} && sync {target}"],
    }


def run_on(makina, image, folder, rate, names):
    """One row for each contender: on a card of that rate, or into a file."""
    rows = {}
    for name in names:
        target = folder / "target"
        card = None if rate is None else Card(target, 4 << 30, rate)
        try:
            rows[name] = measured(contenders(makina, image, target if card is None else card.device)[name])
        finally:
            target.unlink(missing_ok=True) if card is None else card.close()
        row = rows[name]
        where = "a file" if rate is None else f"{rate // 1_000_000} MB/s"
        print(f"{where:9} {name:26} {row['wall']:7.2f} s wall {row['cpu']:6.2f} s cpu {row['peak'] / 1024:6.1f} MiB peak", flush=True)
    return rows


def event_of(row):
    return [json.loads(line) for line in row["output"].splitlines() if '"flashed"' in line][-1]


def packed_rate(makina, image, folder, argv, ending):
    """Flashing the packed first 600 MiB of the image into a file, and seconds that one core takes to unpack it."""
    packed = folder / f"packed.img{ending}"
    subprocess.run(["sh", "-c", f"head -c 600M {image} | {' '.join(argv)} -c > {packed}"], check=True)
    one = "xz -d -c -T1" if argv[0] == "xz" else "zstd -d -c -q"
    alone = measured(["sh", "-c", f"{one} {packed} > /dev/null"])["wall"]
    ours = measured([makina, "flash", packed, folder / "target", "--json"])
    (folder / "target").unlink()
    print(f"{argv[0]:9} one core unpacks in {alone:.2f} s; flashed and read back in {ours['wall']:.2f} s, "
          f"{ours['peak'] / 1024:.1f} MiB peak", flush=True)
    return ours, alone


def flash(makina, image, rounds):
    """The figures; `image` is raw."""
    with tempfile.TemporaryDirectory(prefix="makina-bench-") as name:
        folder = pathlib.Path(name)
        theirs = subprocess.run(["bmaptool", "create", image], check=True, capture_output=True, text=True).stdout
        pathlib.Path(f"{image}.theirs").write_text(theirs)
        names = list(contenders(makina, image, ""))
        files = [run_on(makina, image, folder, None, names) for _ in range(rounds)]
        slow = run_on(makina, image, folder, 25_000_000, names[:2])
        quick = run_on(makina, image, folder, 90_000_000, names)
        xz, xz_alone = packed_rate(makina, image, folder, ["xz", "-T0", "-1", "--block-size=4MiB"], ".xz")
        zstd, zstd_alone = packed_rate(makina, image, folder, ["zstd", "-q"], ".zst")
    ours, bmaptool = names[0], names[1]
    limits = {rate: event_of(rows[ours])["written"] / rate for rate, rows in ((25_000_000, slow), (90_000_000, quick))}
    every = [rows[ours] for rows in (*files, slow, quick)] + [xz, zstd]
    return {
        "write_ratio_to_limit": round(event_of(slow[ours])["write_s"] / limits[25_000_000], 3),
        "write_ratio_to_limit_90": round(event_of(quick[ours])["write_s"] / limits[90_000_000], 3),
        "total_ratio_to_bmaptool": round(slow[ours]["wall"] / slow[bmaptool]["wall"], 3),
        "total_ratio_to_bmaptool_90": round(quick[ours]["wall"] / quick[bmaptool]["wall"], 3),
        "total_ratio_to_bmaptool_file": round(statistics.median(r[ours]["wall"] / r[bmaptool]["wall"] for r in files), 3),
        "total_ratio_to_dd_90": round(quick[ours]["wall"] / quick[names[2]]["wall"], 3),
        "cpu_ratio_to_bmaptool": round(statistics.median(r[ours]["cpu"] / r[bmaptool]["cpu"] for r in files), 3),
        "xz_ratio_to_one_core": round(xz["wall"] / xz_alone, 3),
        "zstd_ratio_to_one_core": round(zstd["wall"] / zstd_alone, 3),
        "peak_kib": max(row["peak"] for row in every),
    }
