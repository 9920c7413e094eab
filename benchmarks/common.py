"""What the benchmarks share: memory of a process tree, tables in Markdown, their place in the docs."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path


def timed(command: Sequence[str]) -> tuple[float, float, float]:
    """Run a command; give wall seconds, CPU seconds of all its processes, and the peak of their summed memory in GB (Linux; nan elsewhere)."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, process = time.perf_counter(), subprocess.Popen(command)
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - start
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code != 0:
        raise SystemExit(f"{' '.join(command)} failed with {code}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak[0] or float("nan")


def _watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], _tree_gb(process.pid))
        time.sleep(0.5)


def _tree_gb(root: int) -> float:
    """Proportional memory (shared pages counted once) of a process and all below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    total, todo = 0.0, [root]
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        try:
            found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        except OSError:
            continue
        total += int(found.group(1)) / 1e6 if found else 0.0
    return total


def markdown(rows: Sequence[dict[str, object]]) -> str:
    """Give rows as a Markdown table."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join([*lines, *["| " + " | ".join(_cell(row[n]) for n in names) + " |" for row in rows]])


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def put_in_docs(name: str, text: str) -> None:
    """Replace what stands between the markers `name` in docs/benchmarks.md."""
    file = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
    old = file.read_text(encoding="utf8")
    new = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}\n{text}\n\n{m[2]}", old, flags=re.DOTALL)
    file.write_text(new, encoding="utf8")
