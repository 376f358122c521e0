"""`POST [base]/$reindex` and `GET [base]/$reindex-status`: index rows for older resources, and how far they are.

https://hl7.org/fhir/R4/operations.html; docs/search.md
"""

import asyncio

from fhir_server.interactions.context import Context
from fhir_server.json import dump_json
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response
from fhir_server.search.reindex import Job, Reindex

_running: set[asyncio.Task[int]] = set()  # asyncio itself keeps no more than a weak reference


def _reindex(context: Context) -> Reindex:
    return Reindex(context.pool, context.tenant, context.parameters, context.types, context.shapes)


async def reindex(context: Context, request: Request) -> Response:
    """Begins with the jobs that are waiting, at once; the answer says which there are."""
    jobs = await _reindex(context).status()
    if any(job.ended is None for job in jobs) and not _running:
        task = asyncio.create_task(_reindex(context).run())
        _running.add(task)
        task.add_done_callback(_running.discard)
    return await reindex_status(context, request)


async def reindex_status(context: Context, request: Request) -> Response:  # noqa: ARG001 (as every interaction)
    """Parameters with one `job` for each job, the latest first."""
    jobs = await _reindex(context).status()
    parameters = {"resourceType": "Parameters", "parameter": [_part(job) for job in jobs]}
    return Response(200, dump_json(parameters if jobs else {"resourceType": "Parameters"}))


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
