"""What the guest's tasks do: described in Python or in a file, checked, encoded for the guest."""

from harness.workload.encode import decode, encode
from harness.workload.errors import WorkloadError
from harness.workload.image import BlobError, Image
from harness.workload.loader import library_names, load
from harness.workload.model import Task, Workload, fold_cpus
from harness.workload.validate import validate

__all__ = [
    "BlobError",
    "Image",
    "Task",
    "Workload",
    "WorkloadError",
    "decode",
    "encode",
    "fold_cpus",
    "library_names",
    "load",
    "validate",
]
