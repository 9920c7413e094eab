"""Run a stage's work: cached by content, in parallel, one bad case never killing the rest."""

from __future__ import annotations

import multiprocessing
import os
import platform
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sarcofuse.errors import CaseError, ConfigError, SarcofuseError, StageError
from sarcofuse.records import SetAside
from sarcofuse.runtime.digest import digest
from sarcofuse.runtime.files import publish_folder
from sarcofuse.runtime.progress import progress_bar
from sarcofuse.runtime.threads import VARIABLES, single_thread

STEPS = "steps"


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work.

    Attributes
    ----------
    patient_id : str
        Whom it concerns (or ``fold 2``, say).
    key : str
        Digest of everything that the result depends on.
    arguments : tuple
        Passed to the function after the folder; must pickle.
    """

    patient_id: str
    key: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished piece of work.

    Attributes
    ----------
    patient_id : str
        As in the task.
    folder : Path
        Cache folder with what the function wrote; read only.
    """

    patient_id: str
    folder: Path


@dataclass
class Engine:
    """Runs tasks and keeps their results in a content-keyed cache.

    Parameters
    ----------
    cache : Path
        Folder of the cache.
    scheduler : str
        ``processes``, ``serial``, or the address of a dask scheduler (``tcp://host:8786``) that shares the file system.
    workers : int, optional
        Processes; by default the cores this process may use.
    progress : bool
        Whether to show progress bars on a terminal.
    """

    cache: Path
    scheduler: str = "processes"
    workers: int | None = None
    progress: bool = True
    timings: dict[str, float] = field(default_factory=dict)
    _executor: Executor | None = None
    _client: Any = None

    def __post_init__(self) -> None:
        self.cache = self.cache.resolve()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(kill=kind is not None)

    def close(self, *, kill: bool = False) -> None:
        """Let the workers go.

        Parameters
        ----------
        kill : bool
            Do not wait for work in progress.
        """
        executor, self._executor = self._executor, None
        if executor is None:
            return
        processes = list(getattr(executor, "_processes", None) or {})
        if self._client is not None:
            self._client.close()
            self._client = None
            return
        for pid in processes if kill else ():
            with _gone_is_fine():
                os.kill(pid, signal.SIGTERM)
        executor.shutdown(wait=True, cancel_futures=kill)

    def say(self, *lines: str) -> None:
        """Tell whoever watches, on standard error, unless `progress` is off.

        Parameters
        ----------
        *lines : str
            What to tell.
        """
        if self.progress:
            sys.stderr.write("".join(f"{line}\n" for line in lines))
            sys.stderr.flush()

    def run(self, stage: str, function: Callable[..., None], tasks: Sequence[Task], *, unit: str = "patient", steps: int = 1) -> tuple[list[Entry], list[SetAside]]:
        """Do the tasks whose results are not there yet.

        Parameters
        ----------
        stage : str
            Name of the stage; a folder of the cache.
        function : callable
            Importable function ``function(folder, *arguments)`` that writes its result into `folder`. With `steps` above 1 the folder survives a crash and
            is given again, so that the function can go on from what it left there; it then reports with `report_step`.
        tasks : sequence of Task
            What to do.
        unit : str
            What the progress bar counts.
        steps : int
            Steps a task reports.

        Returns
        -------
        done : list of Entry
            In the order of the tasks.
        set_aside : list of SetAside
            Cases that failed, with reasons.

        Raises
        ------
        StageError
            If a worker died.
        """
        start, room = time.perf_counter(), self.cache / stage
        room.mkdir(parents=True, exist_ok=True)
        _sweep(room)
        todo = {t.key: t for t in tasks if not (room / t.key).is_dir()}
        failed: dict[str, SetAside] = {}
        bar = progress_bar(stage, len(tasks) * steps, unit, show=self.progress)
        try:
            bar.update((len({t.key for t in tasks}) - len(todo)) * steps)
            for key, problem in self._work(stage, function, list(todo.values()), steps, bar.update):
                if problem is not None:
                    failed[key] = SetAside(todo[key].patient_id, stage, problem)
        finally:
            bar.close()
            self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start
        done = [Entry(t.patient_id, room / t.key) for t in tasks if t.key not in failed]
        return done, [SetAside(t.patient_id, stage, failed[t.key].reason) for t in tasks if t.key in failed]

    def _work(self, stage: str, function: Callable[..., None], tasks: list[Task], steps: int, tick: Callable[[int], object]) -> Iterator[tuple[str, str | None]]:
        room, kept = self.cache / stage, steps > 1
        if self.scheduler == "serial":
            for task in tasks:
                yield task.key, _do(function, room / task.key, task, kept)
                tick(steps)
            return
        executor = self._start()
        with _main_left_alone():
            futures: dict[Future[str | None], Task] = {executor.submit(_do, function, room / t.key, t, kept): t for t in tasks}
        seen = {t.key: _steps(room, t.key) if kept else 0 for t in tasks}
        tick(sum(seen.values()))
        waiting = set(futures)
        while waiting:
            finished, waiting = wait(waiting, timeout=1.0 if kept else None, return_when=FIRST_COMPLETED)
            for future in waiting if kept else ():
                key, now = futures[future].key, _steps(room, futures[future].key)
                tick(max(0, now - seen[key]))
                seen[key] = max(now, seen[key])
            for future in finished:
                task = futures[future]
                try:
                    problem = future.result()
                except BrokenProcessPool as error:
                    self._executor = None
                    message = f"{stage}: a worker process died, most often for want of memory; finished work is kept: run again, with fewer --workers"
                    raise StageError(message) from error
                tick(steps - seen[task.key])
                yield task.key, problem

    def _start(self) -> Executor:
        if self._executor is None:
            if self.scheduler == "processes":
                count = self.workers or available_cores()
                self._executor = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
            else:
                self._client = _dask_client(self.scheduler)
                self._executor = self._client.get_executor()
        return self._executor


def available_cores() -> int:
    """Give the number of cores that this process may use.

    Returns
    -------
    int
        At least 1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def report_step(folder: Path, done: int) -> None:
    """Note how many steps of a long task are done, for the progress bar.

    Parameters
    ----------
    folder : Path
        The folder that the task was given.
    done : int
        Steps done.
    """
    (folder / STEPS).write_text(str(done), encoding="utf8")


def _steps(room: Path, key: str) -> int:
    file = room / f"{key}.part" / STEPS
    text = file.read_text(encoding="utf8") if file.exists() else ""
    return int(text) if text.isdigit() else 0


def _dask_client(address: str) -> Any:  # noqa: ANN401 - dask has no types
    try:
        from dask.distributed import Client
    except ImportError as error:
        message = f"scheduler {address} needs dask: pip install sarcofuse[cluster]"
        raise ConfigError(message) from error
    try:
        return Client(address, timeout=20)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        message = f"no dask scheduler answers at {address}; expected processes, serial or an address such as tcp://host:8786"
        raise ConfigError(message) from error


def _begin() -> None:
    """Prepare a worker process: one thread, quiet on Ctrl-C, gone when its parent is."""
    for variable in VARIABLES:
        os.environ[variable] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own lock would be reported as leaked when the worker is stopped
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    from multiprocessing.connection import wait as wait_for

    wait_for([sentinel])
    os._exit(1)


def _node() -> str:
    """Give a name of this machine without dots."""
    return digest(platform.node())[:8]


def _sweep(room: Path) -> None:
    """Remove what killed workers of this machine left half done; what other machines or living processes write stays."""
    for part in room.glob(f"*.{_node()}.*.part"):
        if os.name != "posix":  # elsewhere signal 0 would end the process instead of asking after it
            return
        try:
            os.kill(int(part.name.split(".")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(part, ignore_errors=True)
        except PermissionError:
            continue


def _do(function: Callable[..., None], folder: Path, task: Task, kept: bool) -> str | None:
    """Do one task; give None, or the reason why it failed."""
    part = folder.with_name(f"{folder.name}.part" if kept else f"{folder.name}.{_node()}.{os.getpid()}.part")
    if not kept:
        shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True, exist_ok=True)
    try:
        with single_thread():
            function(part, *task.arguments)
    except CaseError as error:
        shutil.rmtree(part, ignore_errors=True)
        return f"{error.problem}" if error.file is None else f"{error.file.name}: {error.problem}"
    except SarcofuseError:
        raise
    except Exception as error:  # noqa: BLE001 - one bad case never kills a cohort
        shutil.rmtree(part, ignore_errors=True)
        return f"unexpected {type(error).__name__}: {error}"
    (part / STEPS).unlink(missing_ok=True)
    publish_folder(part, folder)
    return None


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """Keep new workers from importing the user's script again: tasks are importable functions, and a script without a guard would start itself anew."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    vars(main).pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return
