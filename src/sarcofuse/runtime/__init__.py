"""Cache, parallel execution, atomic files, progress, provenance."""

from sarcofuse.runtime.digest import digest, digest_file
from sarcofuse.runtime.engine import Engine, Entry, Task, available_cores, report_step
from sarcofuse.runtime.files import atomic_file, plain, publish_folder, read_json, write_json, write_text
from sarcofuse.runtime.progress import progress_bar
from sarcofuse.runtime.provenance import hardware, memory_gb, versions
from sarcofuse.runtime.tables import read_table, write_table
from sarcofuse.runtime.threads import single_thread

__all__ = [
    "Engine",
    "Entry",
    "Task",
    "atomic_file",
    "available_cores",
    "digest",
    "digest_file",
    "hardware",
    "memory_gb",
    "plain",
    "progress_bar",
    "publish_folder",
    "read_json",
    "read_table",
    "report_step",
    "single_thread",
    "versions",
    "write_json",
    "write_table",
    "write_text",
]
