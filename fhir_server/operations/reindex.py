"""`POST [base]/$reindex` and `GET [base]/$reindex-status`: index rows for older resources, and how far they are.

https://hl7.org/fhir/R4/operations.html; docs/search.md
"""

import asyncio

from fhir_server.context import Context
from fhir_server.operations.operation import Call, Operation, Resource, defined, parameter
from fhir_server.search.reindex import Job, Reindex

_running: set[asyncio.Task[int]] = set()  # asyncio itself keeps no more than a weak reference
_PARTS = [
    parameter("job", "out", "1..1", "integer", "Its number."),
    parameter("state", "out", "1..1", "code", "running, complete or retired."),
    parameter("done", "out", "1..1", "integer", "How many resources are done."),
    parameter("total", "out", "1..1", "integer", "How many there were when it began."),
    parameter("percent", "out", "1..1", "integer", "The same as a percentage."),
    parameter("begun", "out", "1..1", "dateTime", "When it began."),
    parameter(
        "searchParameter", "out", "0..1", "uri", "The SearchParameter it is for; none where all rows are made anew."
    ),
    parameter("ended", "out", "0..1", "dateTime", "When it ended."),
]
_JOBS = [parameter("job", "out", "0..*", _PARTS, "One job, the latest first.")]


def _reindex(context: Context) -> Reindex:
    return Reindex(context.pool, context.tenant, context.parameters, context.types, context.shapes)


async def reindex(context: Context, call: Call) -> Resource:
    """Begins with the jobs that are waiting, at once; the answer says which there are."""
    jobs = await _reindex(context).status()
    if any(job.ended is None for job in jobs) and not _running:
        task = asyncio.create_task(_reindex(context).run())
        _running.add(task)
        task.add_done_callback(_running.discard)
    return await reindex_status(context, call)


async def reindex_status(context: Context, call: Call) -> Resource:  # noqa: ARG001 - as every operation
    """Parameters with one `job` for each job, the latest first."""
    jobs = await _reindex(context).status()
    parameters: Resource = {"resourceType": "Parameters", "parameter": [_part(job) for job in jobs]}
    return parameters if jobs else {"resourceType": "Parameters"}


def _part(job: Job) -> dict[str, object]:
    state = "running" if job.ended is None else "complete" if job.state != "retired" else "retired"
    percent = 100 if job.ended is not None or not job.total else min(100, 100 * job.done // job.total)
    parts: list[dict[str, object]] = [
        {"name": "job", "valueInteger": job.job},
        {"name": "state", "valueCode": state},
        {"name": "done", "valueInteger": job.done},
        {"name": "total", "valueInteger": job.total},
        {"name": "percent", "valueInteger": percent},
        {"name": "begun", "valueDateTime": job.begun.isoformat(timespec="seconds")},
    ]
    if job.url:
        parts.append({"name": "searchParameter", "valueUri": job.url})
    if job.ended is not None:
        parts.append({"name": "ended", "valueDateTime": job.ended.isoformat(timespec="seconds")})
    return {"name": "job", "part": parts}


REINDEX = Operation(
    defined(
        "reindex", "Makes the index rows that older resources lack, and says which jobs there are.", ("system",), _JOBS
    ),
    reindex,
    affects_state=True,
)
REINDEX_STATUS = Operation(
    defined("reindex-status", "Says how far the making of index rows is.", ("system",), _JOBS),
    reindex_status,
    affects_state=False,
)
