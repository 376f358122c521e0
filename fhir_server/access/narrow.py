"""A Query narrowed to what the caller may see: at its top, and wherever it leads to other resources.

https://hl7.org/fhir/R4/security.html#6.1.0.4.1

What the caller may not see does not exist for the query: neither in what it finds, counts and includes, nor in the order,
nor behind a chain, a reverse chain or a list.
"""

from dataclasses import replace

from fhir_server.access.element import hidden_references
from fhir_server.access.logic import ALL, all_of
from fhir_server.access.rights import Rights
from fhir_server.outcome import Refusal, refuse
from fhir_server.search.query import Chain, Either, Every, Except, Has, Include, Listed, Query, Sort, Term, Words

NOTHING = Either(())


def missing(rights: Rights, letter: str, resource_type: str) -> Refusal:
    """The refusal (403) of an interaction for which a token has no scope, or its bearer no role."""
    level = "system" if rights.token.account is None else "patient" if rights.token.patient is not None else "user"
    scope = f"{level}/{resource_type}.{letter}"
    granted = any(letter in one.letters and one.type in ("*", resource_type) for one in rights.token.scopes.resources)
    why = "the roles of its bearer do not allow it" if granted else "its scopes do not allow it"
    return Refusal(
        refuse("forbidden", f"this needs the scope {scope}, which the token does not have: {why}").issues,
        headers=[("www-authenticate", f'Bearer error="insufficient_scope", scope="{scope}"')],
    )


def narrowed(query: Query, rights: Rights | None) -> Query:
    """The query that finds what the caller may see of it; the same without rights to keep to.

    Raises Refusal (403) where the caller may search none of its types.
    """
    if rights is None:
        return query
    own = rights.visible("s", query.types)
    if own is None:
        raise missing(rights, "s", query.types[0] if len(query.types) == 1 else "*")
    _refuse_words(query, rights)
    terms = tuple(_term(one, rights) for one in query.terms)
    contained = query.contained != "false"
    held = () if own == ALL else (own,)
    return replace(
        query,
        terms=terms if contained else (*terms, *held),
        alone=held,
        containers=_all_visible(rights) if contained else (),
        sort=tuple(_sort(one, rights) for one in query.sort),
        includes=tuple(_include(one, rights) for one in query.includes),
        total="accurate" if query.total == "estimate" else query.total,
    )


def _refuse_words(query: Query, rights: Rights) -> None:
    """Words stand for all elements, the hidden among them."""
    hiding = [kind for kind in rights.hidden_types() if not query.types or kind in query.types]
    if hiding and any(_asks_words(one) for one in query.terms):
        raise refuse("forbidden", f"{hiding[0]} may not be searched by its words with this token", "_content")


def _asks_words(term: Term) -> bool:
    match term:
        case Words():
            return True
        case Either(terms=terms) | Every(terms=terms):
            return any(_asks_words(one) for one in terms)
        case Except(term=one):
            return _asks_words(one)
        case _:
            return False


def _all_visible(rights: Rights) -> tuple[Term, ...]:
    found = rights.visible("s")
    return (NOTHING,) if found is None else () if found == ALL else (found,)


def _term(term: Term, rights: Rights) -> Term:
    """The term, wherever it leads to other resources narrowed to those that may be searched."""
    match term:
        case Chain(parameter=parameter, targets=targets):
            inside = tuple((kind, _inner(kind, inner, rights)) for kind, inner in targets)
            own = {kind: rights.term("s", kind) for kind, _ in targets}
            seen = tuple((kind, NOTHING if one is None else one) for kind, one in own.items() if one != ALL)
            return Chain(parameter, inside, seen)
        case Has(type=kind, parameter=parameter, term=inner):
            behind = all_of((_inner(kind, inner, rights), rights.term("s", kind)))
            return NOTHING if behind is None else Has(kind, parameter, behind)
        case Listed(lists=lists):
            seen_lists = rights.term("s", "List")
            return NOTHING if seen_lists is None else Listed(lists, None if seen_lists == ALL else seen_lists)
        case Either(terms=terms):
            return Either(tuple(_term(one, rights) for one in terms))
        case Every(terms=terms):
            return Every(tuple(_term(one, rights) for one in terms))
        case Except(term=one):
            return Except(_term(one, rights))
        case _:
            return term


def _inner(kind: str, inner: Term, rights: Rights) -> Term:
    """What is asked of the resource at the other end of a reference. Raises Refusal (403) for words that would tell."""
    if kind in rights.hidden_types() and _asks_words(inner):
        raise refuse("forbidden", f"{kind} may not be searched by its words with this token", "_content")
    return _term(inner, rights)


def _sort(sort: Sort, rights: Rights) -> Sort:
    behind = [*sort.links, *([sort.parameter] if sort.parameter.type == "reference" else [])]
    if not behind:
        return sort
    seen = tuple(_seen(rights, "s", one.targets) for one in behind)
    return replace(sort, seen=seen) if any(one is not None for one in seen) else sort


def _include(include: Include, rights: Rights) -> Include:
    """What an include adds may be read by its id as well, so either letter will do; what refers here has to be searched."""
    if include.reverse:
        seen = _seen(rights, "s", (include.type,) if include.type != "*" else ())
    else:
        seen = _seen(rights, "rs", (include.target,) if include.target else ())
    return replace(include, seen=seen, without=hidden_references(rights, rights.library.parameters))


def _seen(rights: Rights, letters: str, types: tuple[str, ...]) -> Term | None:
    """What must hold for what is seen of the types; None where everything is."""
    found = rights.visible(letters, () if "Resource" in types else types)
    return NOTHING if found is None else None if found == ALL else found
