import pytest

from profiles.version import meets, order


def test_versions_sort_from_old_to_new() -> None:
    versions = [
        None,
        "0.1",
        "1.0.0-ballot",
        "1.0.0",
        "1.9.0",
        "1.10.0-alpha.2",
        "1.10.0-alpha.10",
        "1.10.0",
        "2022.4.20221006",
        "draft",
    ]
    assert sorted({*versions}, key=order) == versions


@pytest.mark.parametrize(
    ("version", "wanted", "answer"),
    [
        ("4.0.1", "4.0.1", True),
        ("4.0.1", "4.0.x", True),
        ("4.0.1", "4.0.*", True),
        ("4.1.0", "4.0.x", False),
        ("4.0.10", "4.0.1", False),
        ("1.0.0-ballot", "1.0.0", False),
        ("1.0.0", "latest", True),
        ("1.0.0", "current", True),
    ],
)
def test_a_dependency_means_a_version_or_any_patch_of_it(version: str, wanted: str, answer: bool) -> None:
    assert meets(version, wanted) is answer
