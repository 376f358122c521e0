import pytest

from profiles.element_tree import Node, listed, tree
from tests.profiles.npm import CORE, structure_definitions


def ids(*elements: dict[str, str]) -> list[str]:
    return [one["id"] for one in listed(tree(elements))]


def test_a_published_snapshot_comes_back_as_it_was() -> None:
    for name in ("Observation", "Questionnaire", "bp", "Timing"):
        elements = next(one for one in structure_definitions(CORE) if one["id"] == name)["snapshot"]["element"]
        assert listed(tree(elements)) == elements


def test_without_ids_an_element_stands_below_the_last_at_the_path_of_its_parent() -> None:
    assert ids(
        {"path": "Patient"},
        {"path": "Patient.name", "sliceName": "a"},
        {"path": "Patient.name.family"},
        {"path": "Patient.name", "sliceName": "b"},
        {"path": "Patient.name.given"},
    ) == [
        "Patient",
        "Patient.name",
        "Patient.name:a",
        "Patient.name:a.family",
        "Patient.name:b",
        "Patient.name:b.given",
    ]


def test_an_id_that_does_not_fit_its_path_is_not_believed() -> None:
    assert ids({"path": "Patient"}, {"path": "Patient.name", "id": "Patient.contact"}) == ["Patient", "Patient.name"]


def test_slices_of_a_slice_follow_it() -> None:
    node = Node("component")
    for name in ("a", "b", "a/x", "c", "a/y"):
        node.add_slice(Node("component", name))
    assert [one.slice_name for one in node.slices] == ["a", "a/x", "a/y", "b", "c"]


def test_a_copy_shares_no_node() -> None:
    one = tree([{"path": "Patient"}, {"path": "Patient.name"}])
    other = one.copy()
    other.children[0].members["min"] = 1
    assert one.children[0].members == {}


@pytest.mark.parametrize("elements", [[], [{"path": "Patient"}, {"path": "Group.member"}]])
def test_elements_without_one_root_are_no_tree(elements: list[dict[str, str]]) -> None:
    with pytest.raises(ValueError, match=r"no elements|does not stand below"):
        tree(elements)
