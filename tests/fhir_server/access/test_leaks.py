"""Nothing tells of what a token does not admit: neither entries nor counts, order, pages or errors.

https://hl7.org/fhir/R4/security.html#6.1.0.4.1
"""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fhir_server.access import leaks
from tests.fhir_server.search.world import World, world

LEVELS = ("patient", "user", "system")


@pytest.fixture(scope="module")
def empty(module_database_url: str) -> Iterator[World]:
    with world(module_database_url) as made:
        yield made


def test_a_token_is_answered_as_if_there_were_nothing_but_what_it_admits(empty):
    """S-S5, S-S8: the rest of the world changes no entry, count, order, page or error."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
    @given(st.randoms(use_true_random=False))
    def check(random):
        compared(empty, random, paths=25)

    check()


def test_a_partner_is_answered_as_if_there_were_nothing_but_what_consents_permit(empty):
    """Consents that permit and deny by class, code, label, period, actor, purpose and instance, with exceptions."""

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
    @given(st.randoms(use_true_random=False))
    def check(random):
        compared_for_a_partner(empty, random, paths=25)

    check()


def compared_for_a_partner(empty: World, random: Random, paths: int) -> None:
    versions, patient, permitted = leaks.a_world(random), random.choice((None, None, "1")), random.random() < 0.5
    with leaks.stored(empty, versions):
        context = leaks.context_of(empty)
        bearer = leaks.rights_of(context, leaks.a_scope(random, "system"), {}, patient=patient)
        rights = empty.runner.run(leaks.partner_of(context, bearer, permitted=permitted))
        asked = [leaks.a_path(random) for _ in range(paths)]
        empty.runner.run(leaks.compare(context, rights, asked))


def compared(empty: World, random: Random, paths: int) -> None:
    versions, scope, policy = (
        leaks.a_world(random),
        leaks.a_scope(random, random.choice(LEVELS)),
        leaks.a_policy(random),
    )
    with leaks.stored(empty, versions):
        context = leaks.context_of(empty)
        rights = leaks.rights_of(
            context, scope, {"practitioner": policy}, roles=("practitioner",), patient="1", fhir_user="Practitioner/1"
        )
        asked = [leaks.a_path(random) for _ in range(paths)]
        empty.runner.run(leaks.compare(context, rights, asked))
