"""Scopes: understood in both versions, compared letter by letter, narrowed, and returned as they were asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_auth.scope import (
    LETTERS,
    LONGEST,
    Scope,
    is_version_1,
    is_within,
    narrowed,
    parse_scope,
    parse_scopes,
    scope_of,
)

TYPES = ("Patient", "Observation", "Condition")
LAB = (("category", "http://c|laboratory"),)


@pytest.mark.parametrize(
    ("word", "scope"),
    [
        ("patient/Observation.rs", Scope("patient", "Observation", "rs")),
        ("user/*.cruds", Scope("user", "*", "cruds")),
        ("system/Patient.c", Scope("system", "Patient", "c")),
        ("patient/Observation.read", Scope("patient", "Observation", "rs")),
        ("patient/Observation.write", Scope("patient", "Observation", "cud")),
        ("user/*.*", Scope("user", "*", "cruds")),
        ("patient/Observation.rs?category=http://c|laboratory", Scope("patient", "Observation", "rs", LAB)),
        ("patient/Observation.rs?category=http%3A%2F%2Fc%7Claboratory", Scope("patient", "Observation", "rs", LAB)),
        ("patient/*.r?a=1&b=2", Scope("patient", "*", "r", (("a", "1"), ("b", "2")))),
        ("patient/Observation.rs?_tag=x", Scope("patient", "Observation", "rs", (("_tag", "x"),))),
        ("patient/Observation.rs?code:in=x", Scope("patient", "Observation", "rs", (("code:in", "x"),))),
    ],
)
def test_a_scope_is_understood(word, scope):
    """S-S3, S-S8 (@126-@128): both versions, granular ones decoded; the text stays what was asked for."""
    found = parse_scope(word)
    assert found == Scope(scope.level, scope.type, scope.letters, scope.criteria, word)
    assert is_version_1(found) == word.endswith((".read", ".write", ".*"))


@pytest.mark.parametrize(
    "word",
    [
        "patient/Observation", "patient/Observation.", "patient/Observation.sr", "patient/Observation.rr", "patient/Observation.x",
        "patient/observation.rs", "patient/.rs", "group/Observation.rs", "patient/Observation.rs?", "patient/Observation.rs?x",
        "patient/Observation.read?category=x", "patient/Observation.rs?_include=x", "patient/Observation.rs?_count=1",
        "patient/Observation.rs?=x", "patient/Observation.rs?a=%ff", "patient/Observation.rs?a=\"x", "patient/Observation.rs\\",
        "patient/Observation.rs?" + "&".join(f"a{n}=1" for n in range(11)), "Patient/Observation.rs", "patient/Observation.rs ", "",
    ],
)  # fmt: skip
def test_what_is_no_scope_is_none(word):
    """@129: letters out of order, unknown ones, parameters that restrict nothing."""
    assert parse_scope(word) is None


def test_a_string_of_scopes_is_sorted_out():
    asked = "openid launch/patient?role=x patient/Observation.rs user/Unknown.rs nonsense patient/Observation.rs __introspect"
    scopes = parse_scopes(asked, TYPES)
    assert scopes.others == {"openid", "launch/patient", "__introspect"}
    assert [scope.text for scope in scopes.resources] == ["patient/Observation.rs"]
    assert scopes.unknown == ("user/Unknown.rs", "nonsense")
    assert scopes.text() == "__introspect launch/patient openid patient/Observation.rs"
    assert "openid" in scopes
    assert "fhirUser" not in scopes
    assert scopes.has_level("patient")
    assert not scopes.has_level("system")


def test_what_cannot_be_applied_is_left_out():
    """S-S5, S-D8: a criterion the server cannot judge is refused, not ignored."""
    scopes = parse_scopes("patient/*.rs?foo=1 patient/*.r", TYPES, lambda scope: not scope.criteria)
    assert scopes.unknown == ("patient/*.rs?foo=1",)


def test_a_string_is_bounded():
    assert not parse_scopes("openid " * (LONGEST // 6), TYPES)
    many = parse_scopes(" ".join(f"patient/Observation.rs?code={n}" for n in range(250)), TYPES)
    assert len(many.resources) == 200
    assert len(many.unknown) == 50


@pytest.mark.parametrize(
    ("asked", "allowed", "within"),
    [
        ("patient/Observation.rs", "patient/Observation.rs", True),
        ("patient/Observation.r", "patient/*.cruds", True),
        ("patient/*.r", "patient/Observation.r", False),
        ("patient/Observation.rs", "patient/Observation.r patient/Observation.s", True),
        ("patient/Observation.rs", "patient/Observation.r", False),
        ("patient/Observation.rs", "user/Observation.rs", False),
        ("patient/Observation.rs?code=1", "patient/Observation.rs", True),
        ("patient/Observation.rs?code=1&status=final", "patient/Observation.rs?status=final", True),
        ("patient/Observation.rs", "patient/Observation.rs?code=1", False),
        ("patient/Observation.rs?code=1", "patient/Observation.rs?code=2", False),
        ("patient/Observation.read", "patient/Observation.rs", True),
        ("patient/Observation.*", "patient/*.read patient/*.write", True),
    ],
)
def test_whether_a_scope_is_allowed(asked, allowed, within):
    """S-R1, S-B1 (@104, @250)."""
    assert is_within(parse_scope(asked), parse_scopes(allowed, TYPES).resources) is within


@pytest.mark.parametrize(
    ("asked", "allowed", "granted"),
    [
        ("patient/Observation.rs", "patient/*.cruds", "patient/Observation.rs"),
        ("patient/Observation.read", "patient/*.rs", "patient/Observation.read"),
        ("patient/*.cruds", "patient/Observation.rs", "patient/Observation.rs"),
        ("patient/*.read", "patient/Observation.cruds", "patient/Observation.read"),
        ("patient/*.*", "patient/Observation.rs", "patient/Observation.read"),
        ("patient/*.write", "patient/*.c", "patient/*.c"),
        ("patient/*.rs", "patient/Observation.rs?code=1", "patient/Observation.rs?code=1"),
        ("patient/*.read", "patient/Observation.rs?code=1", "patient/Observation.rs?code=1"),
        ("patient/Observation.rs?status=final", "patient/Observation.r?code=1", "patient/Observation.r?status=final&code=1"),
        ("patient/Observation.rs", "user/*.cruds", ""),
        ("patient/Observation.rs", "patient/Condition.rs", ""),
        ("patient/Observation.r", "patient/*.s", ""),
        ("openid fhirUser patient/*.rs", "openid", "openid"),
    ],
)  # fmt: skip
def test_what_is_asked_for_and_allowed_is_granted(asked, allowed, granted):
    """@119, S-S3 (@127): in the version in which it was asked for, where that can say it."""
    assert narrowed(parse_scopes(asked, TYPES), parse_scopes(allowed, TYPES)).text() == granted


SCOPES = st.builds(
    scope_of,
    st.sampled_from(("patient", "user")),
    st.sampled_from((*TYPES, "*")),
    st.integers(1, 31).map(lambda bits: "".join(letter for place, letter in enumerate(LETTERS) if bits >> place & 1)),
    st.lists(
        st.tuples(st.sampled_from("ab"), st.text('xy&=%"\\+ é', min_size=1, max_size=3)), max_size=2, unique=True
    ).map(tuple),
)


@given(SCOPES)
def test_a_scope_that_is_written_is_read_back(scope):
    """Also what a scope cannot hold as it is: blanks, quotes, backslashes."""
    assert " " not in scope.text
    assert parse_scope(scope.text) == scope


@given(st.lists(SCOPES, max_size=4), st.lists(SCOPES, max_size=4))
def test_nothing_is_granted_that_was_not_both_asked_for_and_allowed(asked, allowed):
    wanted, most = (parse_scopes(" ".join(scope.text for scope in each), TYPES) for each in (asked, allowed))
    granted = narrowed(wanted, most)
    for scope in granted.resources:
        assert is_within(scope, wanted.resources)
        assert is_within(scope, most.resources)


@given(st.lists(SCOPES, max_size=4), st.lists(SCOPES, max_size=4))
def test_nothing_is_lost_that_was_both_asked_for_and_allowed(asked, allowed):
    """Each letter at a type with the criteria of both sides."""
    wanted, most = (parse_scopes(" ".join(scope.text for scope in each), TYPES) for each in (asked, allowed))
    granted = narrowed(wanted, most).resources
    for one in wanted.resources:
        for other in most.resources:
            shared = set(one.letters) & set(other.letters)
            if one.level == other.level and "*" in (one.type, other.type, *({one.type} & {other.type})) and shared:
                type_ = other.type if one.type == "*" else one.type
                both = tuple(dict.fromkeys((*one.criteria, *other.criteria)))
                for letter in shared:
                    assert is_within(scope_of(one.level, type_, letter, both), granted)
