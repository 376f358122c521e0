"""How far the jobs are, from nothing to all: https://hl7.org/fhir/R4/parameters.html."""

from typing import Any

from fhir_server.context import Context
from fhir_server.operations.operation import Call
from fhir_server.operations.reindex import reindex_status
from tests.fhir_server.search.test_reindex import NAMES, NICKNAME, job, put, put_patients, run


async def told(context: Context) -> dict[str, Any]:
    """The parts of the one job."""
    (one,) = (await reindex_status(context, Call()))["parameter"]
    return {part["name"]: next(value for name, value in part.items() if name != "name") for part in one["part"]}


def test_the_percentage_goes_up_until_the_job_is_complete(database_url: str):
    async def story(context: Context) -> None:
        await put_patients(context, NAMES)
        await put(context, NICKNAME)
        seen = [await told(context)]
        while await job(context).step(10) is not None:
            seen.append(await told(context))
        assert [(one["state"], one["done"], one["percent"]) for one in seen] == [
            ("running", 0, 0), ("running", 10, 40), ("running", 20, 80), ("running", 25, 100), ("complete", 25, 100),
        ]  # fmt: skip
        assert {one["total"] for one in seen} == {25}
        assert seen[-1]["searchParameter"] == NICKNAME["url"]
        assert "ended" in seen[-1]
        assert "ended" not in seen[0]

    run(database_url, story)
