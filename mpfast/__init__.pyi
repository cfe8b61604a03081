# SPDX-License-Identifier: MIT
from . import shared as shared
from .channel.channel import ShutDown as ShutDown
from .context import (
    AuthenticationError as AuthenticationError,
)
from .context import (
    BufferTooShort as BufferTooShort,
)
from .context import Process as Process
from .context import (
    ProcessError as ProcessError,
)
from .context import (
    TimeoutError as TimeoutError,
)
from .context import (
    _default_context as _default_context,
)
from .diagnostics import LockInfo as LockInfo
from .diagnostics import QueueStats as QueueStats
from .diagnostics import Waiter as Waiter
from .diagnostics import locks as locks
from .errors import CorruptedQueueError as CorruptedQueueError
from .errors import CorruptedSharedError as CorruptedSharedError
from .errors import LockOwnerDied as LockOwnerDied
from .errors import ManagerDied as ManagerDied
from .executor import ProcessPoolExecutor as ProcessPoolExecutor
from .sharedctypes import Atomic as Atomic
from .standin.install import install as install
from .standin.install import installed as installed
from .tasks.errors import BrokenPool as BrokenPool
from .tasks.errors import RemoteError as RemoteError
from .tasks.errors import TaskTimeout as TaskTimeout
from .tasks.errors import WorkerDied as WorkerDied
from .tasks.stats import PoolStats as PoolStats
from .tasks.stats import WorkerStats as WorkerStats

__all__ = [
    "Array",
    "Atomic",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BrokenPool",
    "BufferTooShort",
    "Condition",
    "CorruptedQueueError",
    "CorruptedSharedError",
    "Event",
    "JoinableQueue",
    "Lock",
    "LockInfo",
    "LockOwnerDied",
    "Manager",
    "ManagerDied",
    "Pipe",
    "Pool",
    "PoolStats",
    "Process",
    "ProcessError",
    "ProcessPoolExecutor",
    "Queue",
    "QueueStats",
    "RLock",
    "RawArray",
    "RawValue",
    "RemoteError",
    "Semaphore",
    "ShutDown",
    "SimpleQueue",
    "TaskTimeout",
    "TimeoutError",
    "Value",
    "Waiter",
    "WorkerDied",
    "WorkerStats",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "install",
    "installed",
    "locks",
    "log_to_stderr",
    "parent_process",
    "prewarm",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
    "shared",
    "start_many",
    "strict_pickling",
]

__version__: str
strict_pickling: bool
SUBDEBUG: int
SUBWARNING: int

Array = _default_context.Array
Barrier = _default_context.Barrier
BoundedSemaphore = _default_context.BoundedSemaphore
Condition = _default_context.Condition
Event = _default_context.Event
JoinableQueue = _default_context.JoinableQueue
Lock = _default_context.Lock
Manager = _default_context.Manager
Pipe = _default_context.Pipe
Pool = _default_context.Pool
Queue = _default_context.Queue
RLock = _default_context.RLock
RawArray = _default_context.RawArray
RawValue = _default_context.RawValue
Semaphore = _default_context.Semaphore
SimpleQueue = _default_context.SimpleQueue
Value = _default_context.Value
active_children = _default_context.active_children
allow_connection_pickling = _default_context.allow_connection_pickling
cpu_count = _default_context.cpu_count
current_process = _default_context.current_process
freeze_support = _default_context.freeze_support
get_all_start_methods = _default_context.get_all_start_methods
get_context = _default_context.get_context
get_logger = _default_context.get_logger
get_start_method = _default_context.get_start_method
log_to_stderr = _default_context.log_to_stderr
parent_process = _default_context.parent_process
prewarm = _default_context.prewarm
reducer = _default_context.reducer
set_executable = _default_context.set_executable
set_forkserver_preload = _default_context.set_forkserver_preload
set_start_method = _default_context.set_start_method
start_many = _default_context.start_many
