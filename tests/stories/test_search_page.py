"""Pages without state in the server, stable while others write: https://hl7.org/fhir/R4/http.html#paging."""

import asyncio
import itertools
import random
from typing import Any

import httpx
import pytest

from tests.running import FHIR_JSON, running

JSON = {"content-type": FHIR_JSON, "accept": FHIR_JSON}
SORTS = [
    "",
    "&_sort=birthdate",
    "&_sort=-birthdate",
    "&_sort=family,-birthdate",
    "&_sort=-family",
    "&_sort=gender",
    "&_sort=_id",
    "&_sort=-identifier",
]


def patient(name: str, n: int) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Patient", "id": name, "name": [{"family": f"Fam{n % 7}"}]}
    if n % 3:
        made["birthDate"] = f"19{50 + n % 9}-01-0{1 + n % 5}"
    if n % 4:
        made |= {"gender": ("male", "female", "other")[n % 3], "identifier": [{"value": f"i{n % 11}"}]}
    return made


def links(bundle: dict[str, Any]) -> dict[str, str]:
    return {link["relation"]: link["url"] for link in bundle["link"]}


def names(bundle: dict[str, Any]) -> list[str]:
    return [entry["resource"]["id"] for entry in bundle.get("entry", [])]


@pytest.fixture(scope="module")
def stored(base: str) -> list[str]:
    """Sixty patients that stay as they are."""
    ids = [f"keep-{n:02}" for n in range(60)]
    for n, name in enumerate(ids):
        assert httpx.put(f"{base}/Patient/{name}", json=patient(name, n), headers=JSON).status_code == 201
    return ids


@pytest.mark.parametrize("sort", SORTS)
def test_forwards_and_backwards_every_resource_comes_once_and_in_order(base: str, stored: list[str], sort: str):
    whole = names(httpx.get(f"{base}/Patient?_count=1000{sort}").json())
    assert set(stored) <= set(whole)
    page = httpx.get(f"{base}/Patient?_count=7{sort}").json()
    pages = [page]
    while "next" in links(page):
        page = httpx.get(links(page)["next"]).json()
        pages.append(page)
    assert list(itertools.chain(*map(names, pages))) == whole
    assert "previous" not in links(pages[0])
    back = [page]
    while "previous" in links(page):
        page = httpx.get(links(page)["previous"]).json()
        back.append(page)
    assert list(itertools.chain(*map(names, reversed(back)))) == whole
    assert names(httpx.get(links(back[0])["first"]).json()) == names(pages[0])
    assert names(httpx.get(links(pages[1])["self"]).json()) == names(pages[1])


def test_an_unsorted_search_links_its_last_page(base: str, stored: list[str]):
    whole = names(httpx.get(f"{base}/Patient?_count=1000").json())
    last = httpx.get(links(httpx.get(f"{base}/Patient?_count=7").json())["last"]).json()
    assert names(last) == whole[-7:]
    assert "next" not in links(last)
    assert names(httpx.get(links(last)["previous"]).json()) == whole[-14:-7]
    assert "last" not in links(httpx.get(f"{base}/Patient?_count=7&_sort=birthdate").json())
    assert "last" not in links(httpx.get(f"{base}/Patient?_count=1000").json())


@pytest.mark.parametrize("sort", SORTS)
def test_what_stays_as_it_is_comes_exactly_once_while_others_write(base: str, stored: list[str], sort: str):
    """Others create, change and delete patients between and during the pages."""
    dice = random.Random(sort)

    async def write(http: httpx.AsyncClient, stop: asyncio.Event) -> None:
        for n in itertools.count():
            name = f"come-{dice.randrange(20)}"
            if dice.random() < 0.4:
                await http.delete(f"{base}/Patient/{name}")
            else:
                await http.put(f"{base}/Patient/{name}", json=patient(name, dice.randrange(100)))
            if stop.is_set() or n > 2000:
                return

    async def read(http: httpx.AsyncClient) -> list[str]:
        seen: list[str] = []
        url = f"{base}/Patient?_count=5{sort}"
        while url:
            bundle = (await http.get(url)).json()
            page = names(bundle)
            assert len(page) == len(set(page))
            seen += page
            url = links(bundle).get("next", "")
        return seen

    async def story() -> list[list[str]]:
        stop = asyncio.Event()
        async with httpx.AsyncClient(headers=JSON, timeout=60) as http:
            writers = [asyncio.create_task(write(http, stop)) for _ in range(3)]
            seen = [await read(http) for _ in range(2)]
            stop.set()
            await asyncio.gather(*writers)
        return seen

    for seen in asyncio.run(story()):
        kept = [name for name in seen if name.startswith("keep-")]
        assert sorted(kept) == sorted(stored)


def test_a_page_link_is_bound_to_its_search_and_signed(base: str, stored: list[str], module_database_url: str):
    bundle = httpx.get(f"{base}/Patient?_count=7&_sort=birthdate").json()
    link = links(bundle)["next"]
    assert "195" not in link.partition("_cursor=")[2], "nothing of a patient stands in a link"
    assert httpx.get(link).status_code == 200
    for changed in (
        link.replace("birthdate", "family"),
        link.replace("Patient?", "Person?"),
        link[:-4] + "AAAA",
        link + "A",
        link.replace("_count=7", "_count=8"),
    ):
        answer = httpx.get(changed)
        assert answer.status_code == 400, changed
        assert "first page" in answer.json()["issue"][0]["diagnostics"]
    with running(module_database_url) as other:
        moved = link.replace(base, other)
        assert names(httpx.get(moved).json()) == names(httpx.get(link).json()), "every process reads it"


def test_the_next_page_is_there_although_the_last_resource_of_this_one_is_gone(base: str):
    for n in range(6):
        httpx.put(
            f"{base}/Organization/g{n}", json={"resourceType": "Organization", "id": f"g{n}", "name": "G"}, headers=JSON
        )
    first = httpx.get(f"{base}/Organization?name=g&_count=2").json()
    httpx.delete(f"{base}/Organization/{names(first)[-1]}")
    rest = httpx.get(links(first)["next"]).json()
    assert names(rest) == ["g2", "g3"]
