"""What each column is: what is decided of a table, what is said, and what overrules it."""

import numpy as np
import pytest
from memory import traced_memory
from tables import refused

from minnet.config import DataConfig
from minnet.data.kinds import DATE, alike, decide
from minnet.data.table import Reading, Table
from minnet.errors import ConfigError, DataError

N = 60
LABELS = ["a", "b", "c"]


def table(numbers=None, n=N, **text):
    """A table as a reader gives it: columns of numbers and of text, the labels last."""
    numbers = numbers or {}
    text = {name: np.array(list(cells), object) for name, cells in text.items()}
    text.setdefault("species", np.array([LABELS[i % 3] for i in range(n)], object))
    X = np.column_stack([np.zeros((n, 0)), *numbers.values()])
    order = [*numbers, *text]
    lines = np.arange(2, n + 2)
    return Table("own.csv", [*numbers], X, text, None, lines, True, {"header": True}, order)


def decided(given, **keys):
    return decide(given, DataConfig(source="own.csv", **keys))


def numbers(n=N):
    return np.random.default_rng(0).normal(size=n)


def words(values, n=N):
    return [values[i % len(values)] for i in range(n)]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ([7] * N, "constant"),
        ([np.nan] * N, "empty"),
        (range(N), "a running number"),
        (range(N, 0, -1), "a running number"),
        (np.random.default_rng(0).permutation(N) + 1000, "a running number"),
        (["x"] * N, "constant"),
        ([""] * N, "empty"),
        ([f"name {i}" for i in range(N)], "unique text"),
        ([f"2024-{1 + i % 12:02d}-03" for i in range(N)], "a date"),
        ([f"{1 + i % 28}/{1 + i % 12}/2024 10:{i:02d}" for i in range(N)], "a date"),
        ([f"Mar {1 + i % 28}, 2024" for i in range(N)], "a date"),
        ([f"person {i % 110}" for i in range(200)], "text that hardly repeats"),
    ],
)
def test_a_column_with_nothing_to_learn_from_is_left_out_for_a_reason(column, reason):
    n = len(column)
    own = {"x": column} if isinstance(column[0], str) else {}
    given = table({"z": numbers(n)} | ({} if own else {"x": np.array(column, float)}), n, **own)
    found, config = decided(given)
    assert config.drop == ["x"] and config.numeric == found.names == ["z"]
    assert f"left out: 'x' ({reason})" in found.notes


def test_a_column_of_other_numbers_is_kept():
    gaps = [*range(N - 1), np.nan], [7.0] * (N - 1) + [np.nan]
    for column in ([1.0, 2.0, 4.0] * 20, np.arange(N) / 2, [*range(N - 1), N - 2], *gaps):
        assert decided(table({"x": np.array(column)}))[1].numeric == ["x"]


def test_categories_may_be_words_truths_and_numbers_beside_words():
    given = table(flag=words(["True", "False"]), size=words(["1", "2", "XL"]), gap=words(["x", ""]))
    found, config = decided(given)
    assert config.categorical == [*found.text] == ["flag", "size", "gap"]
    assert "categories: 'flag', 'size', 'gap'" in found.notes


@pytest.mark.parametrize(
    ("cells", "decimal", "number"),
    [
        (["$4,350", "$1,200.5"], ".", 4350),
        (["4.350,5", "1.200"], ",", 4350.5),
        (["40,3", "1,25"], ",", 40.3),
        (["12 %", "7%"], ".", 0.12),
        (["€ 3", "-€5"], ".", 3),
        (["1 234", "12 345 678"], ".", 1234),
        (["1'234", ""], ".", 1234),
    ],
)
def test_text_that_stands_for_numbers_becomes_numbers(cells, decimal, number):
    given = table(x=words(cells))
    given.reading["decimal"] = decimal
    found, config = decided(given)
    assert config.numeric == ["x"] and found.X[0, 0] == number


def test_a_little_text_among_many_numbers_is_missing_and_said():
    cells = [str(i / 3) for i in range(N)]
    cells[4], cells[9] = "abc", "n.a. yet"
    found, config = decided(table(x=cells))
    assert config.numeric == ["x"] and np.isnan(found.X[[4, 9], 0]).all()
    (note,) = [note for note in found.notes if "'abc'" in note]
    assert note.startswith("own.csv: line 6, column 'x'") and "1 more" in note


def test_much_text_or_few_numbers_make_categories():
    assert decided(table(x=[str(i) if i % 10 else "abc" for i in range(N)]))[1].numeric == []
    assert decided(table(x=[str(i % 5) for i in range(N - 1)] + ["abc"]))[1].categorical == ["x"]


def test_the_config_overrules_by_name_or_place():
    cells = {"kind": words(["1", "2"]), "id": [f"n{i}" for i in range(N)], "x": words(["4", "y"])}
    given = table({"z": numbers(), "k": np.arange(N) % 4.0}, **cells)
    found, config = decided(
        given, drop=["z"], categorical=[3, "kind"], numeric=[-2], target="species"
    )
    assert config.drop == ["z"] and config.categorical == ["kind", "id"]
    assert config.numeric == found.names == ["k", "x"] and np.isnan(found.X[1, 1])


def test_what_was_decided_decides_the_same_again_and_says_nothing():
    given = table({"z": numbers(), "n": np.arange(N)}, c=words(["u", "v"]))
    found, config = decided(given)
    again, same = decide(given, config)
    assert same == config and again.names == found.names and again.notes == []


@pytest.mark.parametrize("name", ["Target", "LABEL", "class", "y"])
def test_the_target_is_found_by_its_name_else_it_is_the_last_column(name):
    for columns in ([name, "c"], ["c", name]):
        given = other(60, **{column: words(LABELS) for column in columns})
        found, config = decided(given)
        assert config.target == name and f"target: {name!r}, by its name" in found.notes
        given.named = False
        assert decided(given)[1].target == 1


def test_rows_without_a_label_are_left_out_and_counted():
    labels = words(LABELS)
    labels[5] = ""
    found, _ = decided(table({"z": numbers()}, species=labels))
    assert len(found) == N - 1 and 7 not in found.numbers
    assert "own.csv: 1 of 60 rows have no label, and are left out" in found.notes


def test_numbers_of_a_large_table_are_not_written_as_text():
    given = table({"z": numbers(20_000)}, 20_000)
    with traced_memory() as risen:
        decided(given)
        assert risen() < 20_000 * 24  # a number as text has 66 bytes


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        ([f"{i / 7:.3f}" for i in range(N)], "looks like a quantity, with 60 different numbers"),
        ([str(i) for i in range(N)], "looks like a quantity"),
        ([f"id {i}" for i in range(N)], "has 60 different labels in 60 rows, like an id"),
        ([""] * N, "has no label in any row"),
        (["a"] * N, "has only one class, 'a'"),
    ],
)
def test_a_target_that_is_no_classes_is_refused(labels, what):
    given = table({"z": numbers()}, kind=words(["u", "v"]), species=labels)
    message = refused(DataError, decided, given)
    assert message.startswith("own.csv: the target, column 'species', ") and what in message
    if "minnet classifies" in message:
        assert "its classes may be in 'kind': name one as data.target" in message
        decided(given, categorical=["species"])


def test_all_problems_are_said_at_once():
    x, w = numbers(), words(["u", "v"])
    x[3] = np.inf
    given = table({"z": x, "x": x}, w=w, species=["a"] * N)
    with pytest.raises(DataError) as error:
        decided(given, numeric=["w"])
    lines = str(error.value).splitlines()
    assert [line.partition(" holds")[0] for line in lines[:3]] == [
        "own.csv: line 5, column 'z'",
        "own.csv: line 5, column 'x'",
        "own.csv: line 2, column 'w'",
    ]
    assert lines[2].endswith("correct it, or leave it out of data.numeric")
    assert len(lines) == 4 and "only one class" in lines[3]


def test_a_target_that_is_named_twice_has_to_be_given_by_place():
    given = table({"z": numbers()}, **{"species.1": words("uv")})
    assert "two columns are called 'species': give data.target by place" in refused(
        DataError, decided, given
    )
    assert decided(given, target=-1)[1].target == "species"


def test_a_kept_column_is_no_unknown_one():
    given = other(z=[1.0, 2, 3], c=["u", "v", "u"], key=["p", "q", "r"], more=["s", "t", "u"])
    reading = Reading("species", ("c", "key"), columns=READING.columns, labels=False)
    assert alike(given, ["z"], ["c"], reading).notes == [
        "own.csv: columns that the model does not know: 'more'"
    ]


@pytest.mark.parametrize("key", ["drop", "categorical", "numeric"])
@pytest.mark.parametrize("column", ["specie", 3, -4])
def test_a_key_that_names_no_column_is_refused(key, column):
    given = table({"z": numbers()}, c=words(["u", "v"]))
    message = refused(ConfigError, decided, given, **{key: [column]})
    assert f"has no data.{key} column {column!r}" in message


def test_a_table_without_a_column_to_learn_from_is_refused():
    message = refused(DataError, decided, table({"id": np.arange(N)}))
    assert "has no column to learn from: 'id' (a running number)" in message


def test_dates_are_told_from_other_text():
    for text in ("2024-01-05", "5.1.24", "1/5/2024", "2024-01-05T10:11:12Z", "5 Jan 2024"):
        assert DATE.fullmatch(text)
    for text in ("1.2.3", "2024-01/05", "red", "5-6", "192.168.0.1", "10:20"):
        assert not DATE.fullmatch(text)


# Another file


READING = Reading("species", columns=("id", "z", "c", "species"))


def other(n=3, **columns):
    found = table({n: np.array(x) for n, x in columns.items() if not isinstance(x[0], str)}, n)
    text = {n: np.array(x, object) for n, x in columns.items() if isinstance(x[0], str)}
    found.text, found.order = text, [*columns]
    return found


def test_columns_of_another_file_are_found_by_name_and_its_others_are_left_out():
    given = other(c=["u", "v", ""], species=["a", "", "c"], new=["1", "2", "3"], z=["1", "x", "$3"])
    found = alike(given, ["z"], ["c"], READING)
    assert found.X.tolist() == [[1], [3]] and found.y.tolist() == ["a", "c"]
    assert found.text["c"].tolist() == ["u", ""]
    assert [note.partition(": ")[2].partition(",")[0] for note in found.notes] == [
        "line 3",
        "columns that the model does not know: 'new'",
        "1 of 3 rows have no label",
    ]


@pytest.mark.parametrize("columns", ["id z c species", "id z c", "z c"])
def test_columns_without_names_are_taken_by_place(columns):
    full = {"id": [7.0, 8, 9], "z": [1.0, 2, 3], "c": ["u", "v", "u"], "species": ["a", "b", "c"]}
    given = other(**{f"x{j}": full[name] for j, name in enumerate(columns.split())})
    given.named = False
    reading = Reading("species", columns=READING.columns, labels="species" in columns)
    found = alike(given, ["z"], ["c"], reading)
    assert found.X.tolist() == [[1], [2], [3]] and found.text["c"].tolist() == ["u", "v", "u"]
    assert (found.y is not None) == ("species" in columns)


def test_another_file_without_what_is_needed_is_refused():
    without = Reading("species", columns=READING.columns, labels=False)
    given = other(c=["u", "v", "w"], species=["a", "b", "c"])
    assert "has no column 'z'" in refused(DataError, alike, given, ["z"], ["c"], READING)
    given = other(z=["x", "y", "3"], c=["u", "v", "w"])
    assert "line 2, column 'z' holds 'x'" in refused(DataError, alike, given, ["z"], ["c"], without)
    given = other(z=[1.0, 2, 3], c=["u", "v", "w"])
    assert "has no column of labels" in refused(DataError, alike, given, ["z"], ["c"], READING)
    assert alike(given, ["z"], ["c"], without).y is None
    given = other(x0=[1.0, 2, 3])
    given.named = False
    assert "has 1 columns without names of their own; the model takes 2: 'z', 'c'" in refused(
        DataError, alike, given, ["z"], ["c"], without
    )


def test_categories_may_stand_as_numbers_in_another_file():
    found = alike(other(z=[1.0, 2, 3], c=[1.0, 2.5, np.nan]), ["z"], ["c"], Reading(labels=False))
    assert found.text["c"].tolist() == ["1", "2.5", ""]
