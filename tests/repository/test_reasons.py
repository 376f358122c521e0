"""A rule that is lifted for a line, and a test that is left out, say why."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.repository.sources import ROOT, files, tree

LIFTS = re.compile(
    r"#\s*(?:(?:ruff:\s*|flake8:\s*)?noqa\b|type:\s*ignore|pragma:\s*no cover|pylint:|mypy:)", re.IGNORECASE
)
# mypy wants a second # before anything but the codes it is to ignore.
WITH_A_REASON = re.compile(
    r"# (?:(?:ruff: )?noqa: [A-Z]+\d+(?:, [A-Z]+\d+)* - |type: ignore\[[a-z, -]+\]  # |pragma: no cover - )"
    r"(?!noqa|type:)[^#]*[a-z]{3}"
)
LEAVES_OUT = re.compile(r"pytest\.(?:mark\.)?(?:skip|skipif|xfail)")


def unexplained(source: str) -> Iterator[str]:
    """The comments of a module that lift a rule and say no reason, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and any(
            not WITH_A_REASON.match(token.string, lift.start()) for lift in LIFTS.finditer(token.string)
        ):
            yield f"{token.start[0]}: {token.string}"


def left_out(module: ast.Module) -> Iterator[str]:
    """The places of a module that leave a test out and say no reason, each with its line."""
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    explained = {id(call.func) for call in calls if says_why(call)}
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and LEAVES_OUT.fullmatch(ast.unparse(node)) and id(node) not in explained:
            yield f"{node.lineno}: {ast.unparse(node)}"


def says_why(call: ast.Call) -> bool:
    """Whether a call has a reason: by its name, or in first place, where a mark would have its condition."""
    by_place = bool(call.args) and not ast.unparse(call.func).endswith((".skipif", "mark.xfail"))
    return by_place or any(keyword.arg == "reason" for keyword in call.keywords)


def test_each_lifted_rule_has_its_reason():
    sources = {path: (ROOT / path).read_text(encoding="utf-8") for path in files() if path.suffix == ".py"}
    assert not [f"{path}:{found}" for path, source in sources.items() for found in unexplained(source)]


def test_each_test_left_out_says_why():
    python = (path for path in files() if path.suffix == ".py" and path.parts[0] == "tests")
    assert not [f"{path}:{found}" for path in python for found in left_out(tree(path))]


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: ARG001",
        "# noqa: ARG001, S104",
        "# NOQA:ARG001",
        "# noqa: S104 (in another form)",
        "# noqa: S104 - ...",
        "# ruff: noqa: PLC0415",
        "# type: ignore",
        "# type: ignore[arg-type]",
        "# type: ignore # some reason but no code",
        "# type: ignore[arg-type]  # noqa: S104 - the reason of one alone",
        "# type: ignore[arg-type]  # checked inside  # noqa: S104",
        "# pragma: no cover",
        "# pylint: disable=all",
    ],
)
def test_a_rule_lifted_without_a_reason_is_seen(comment):
    assert list(unexplained(f"x = 1\ny = 2  {comment}\n")) == [f"2: {comment}"]


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa: ARG001 - as the others of the table",
        "x = 1  # noqa: ARG001, S104 - shown, not chosen",
        "# ruff: noqa: PLC0415 - a command imports what it needs",
        "x = 1  # type: ignore[arg-type]  # checked inside",
        "x = 1  # type: ignore[arg-type]  # checked inside  # noqa: S104 - shown, not chosen",
        "x = 1  # pragma: no cover - only on other systems",
        "x = '# noqa'",
        "x = 1  # the type: it is ignored",
    ],
)
def test_a_rule_lifted_with_a_reason_passes(line):
    assert not list(unexplained(f"{line}\n"))


@pytest.mark.parametrize(
    "call", ["pytest.mark.skip", "pytest.mark.skipif(x)", "pytest.mark.xfail(strict=True)", "pytest.skip()"]
)
def test_a_test_left_out_without_a_reason_is_seen(call):
    assert list(left_out(ast.parse(call))) == [f"1: {call.partition('(')[0]}"]


@pytest.mark.parametrize("call", ["pytest.skip('no data')", "pytest.mark.skipif(x, reason='no x')", "pytest.param(1)"])
def test_a_test_left_out_with_a_reason_passes(call):
    assert not list(left_out(ast.parse(call)))
