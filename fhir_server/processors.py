"""How many processors a process may use: what the machine has, less what it is bound to, less what its container may take.

https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
"""

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processors(quota: Path = QUOTA) -> int:
    """At least one. A container's quota of two and a half processors counts as two."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, _granted(quota) or bound))


def _granted(quota: Path) -> int | None:
    """What the control group grants, None where there is none, or no limit."""
    try:
        most, period = quota.read_text().split()
    except (OSError, ValueError):
        return None
    return max(1, int(most) // int(period)) if most.isdigit() and period.isdigit() and int(period) else None
