"""JSON as rt-app's parser takes it, and the places that its nodes remember."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.workload import WorkloadError
from harness.workload.jsontext import parse_json
from harness.workload.source import ListNode, MapNode, Node, ScalarNode


def plain(node: Node) -> object:
    match node:
        case ScalarNode(value=value):
            return value
        case ListNode(items=items):
            return [plain(item) for item in items]
        case MapNode(pairs=pairs):
            return {key: plain(value) for key, _, value in pairs}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_every_json_value_is_read(
    value: object, ascii_only: bool, indent: int | str | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert plain(parse_json(text, "f")) == value


def test_comments_commas_quotes_and_cases() -> None:
    text = """
    // to the end of the line
    { /* between */ 'a': [1, 2.5e1,], "b": TRUE, /* two
    lines */ "c": Null, "d": 'it\\'s', }
    """
    assert plain(parse_json(text, "f")) == {"a": [1, 25.0], "b": True, "c": None, "d": "it's"}


def test_repeated_keys_keep_their_order_and_place() -> None:
    node = parse_json('{"run": 1,\n "sleep": 2,\n "run": 3}', "f")
    assert isinstance(node, MapNode)
    found = [(key, mark.line, mark.column, plain(value)) for key, mark, value in node.pairs]
    assert found == [("run", 1, 2, 1), ("sleep", 2, 2, 2), ("run", 3, 2, 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f:1:1: not JSON: expected a value, found the end of the file"),
        ('{"a" 1}', "f:1:6: not JSON: expected ':', found '1'"),
        ('{"a": 1 "b": 2}', "f:1:9: not JSON: expected ',' or '}', found '\"'"),
        ('{"a": 1', "f:1:8: not JSON: expected ',' or '}', found the end of the file"),
        ("{a: 1}", "f:1:2: not JSON: expected a key in quotes or '}', found 'a'"),
        ("[1\n2]", "f:2:1: not JSON: expected ',' or ']', found '2'"),
        ("[,]", "f:1:2: not JSON: expected a value, found ','"),
        ("[yes]", "f:1:2: not JSON: expected a value, found 'y'"),
        ('["a]', "f:1:2: not JSON: a string has no end, found '\"'"),
        (r'["\q"]', "f:1:4: not JSON: expected an escape that JSON knows, found 'q'"),
        (r'["\u12x4"]', "f:1:4: not JSON: expected an escape that JSON knows, found 'u'"),
        ("1 2", "f:1:3: not JSON: expected the end of the file, found '2'"),
        ("/* no end", "f:1:1: not JSON: expected a value, found '/'"),
        ("[" * 40, "f:1:33: not JSON: brackets nest deeper than 32, found '['"),
    ],
)
def test_what_is_not_json_is_placed(text: str, message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        parse_json(text, "f")
    assert str(caught.value) == message


@given(st.text(alphabet="{}[]:,\"'\\u0d8/* \n1e-t", max_size=40))
def test_noise_is_read_or_refused(text: str) -> None:
    try:
        parse_json(text, "f")
    except WorkloadError as error:
        assert error.place.startswith("f:")
