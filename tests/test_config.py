"""Configs: what may stand in one, what may not, and what is said about that."""

import dataclasses
import math
import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from minnet import config
from minnet.config import KEYS, Config, dumps, load, locate, parse_override
from minnet.core.activations import ACTIVATIONS
from minnet.errors import ConfigError

PARTS = ["data.test_size", "data.validation_size"]
FLOATS = [name for name, f in KEYS.items() if f.type is float]
INTS = [name for name, f in KEYS.items() if f.type is int]
CHOICES = [name for name, f in KEYS.items() if f.metadata["choices"]]


def message(*overrides: str, path: Path | None = None) -> str:
    """What load says about a mistake; always one line."""
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def value_of(name: str, *overrides: str):
    return config.values(load(None, overrides))[name]


@pytest.fixture
def written(tmp_path):
    """A function that writes a config file and returns its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "my.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# Which value counts


def test_an_override_wins_over_the_file_and_the_file_over_the_default(written):
    path = written("[train]\nepochs = 7\nseed = 8\n")
    loaded = load(path, ["train.epochs=9", "model.dropout=0.1", "model.dropout=0.2"])
    assert (loaded.train.epochs, loaded.train.seed, loaded.train.batch_size) == (9, 8, 32)
    assert loaded.model.dropout == 0.2  # of two overrides of a key, the last
    assert load(None) == Config()


def test_a_config_is_frozen_and_shares_no_list_with_another():
    load(None).model.hidden.append(3)
    assert load(None).model.hidden == [64]
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(None).train.epochs = 3


# Values


PARSED = {
    "train.epochs = 5 # few": 5,
    "train.epochs=1_000\n": 1000,
    "optimizer.learning_rate=1e-3": 1e-3,
    "model.hidden=[64, 32]": [64, 32],
    "model.hidden=[]": [],
    "model.activation=tanh": "tanh",
    'model.activation=["tanh", "relu"]': ["tanh", "relu"],
    "data.target=a = b": "a = b",
    "data.target= two words ": "two words",
    "data.target=": "",
    "data.target=a\nb": "a\nb",
    "data.target=1\n[x]": "1\n[x]",
    'train.class_weight={a = 2, "b c" = 0.5}': {"a": 2, "b c": 0.5},
}


@pytest.mark.parametrize("text", PARSED)
def test_an_override_is_read_as_toml_and_bare_words_as_strings(text):
    assert parse_override(text) == (text.partition("=")[0].strip(), PARSED[text])


NO_OVERRIDES = {"train.epochs": "train.epochs", "epocs": "train.epochs", "": "", "a\nb": ""}
NO_OVERRIDES["x" * 10_000] = ""


@pytest.mark.parametrize("text", NO_OVERRIDES)
def test_an_override_without_an_equals_sign_says_what_is_expected(text):
    said, near = message(text), NO_OVERRIDES[text]
    assert "is not section.key=value" in said and len(said) < 200
    hint = f"; did you mean {near}?" if near else "; choose from data, model, optimizer, train"
    assert said.endswith(hint)


VALID = {
    "optimizer.learning_rate=1": 1.0,
    "optimizer.weight_decay=0": 0.0,
    "optimizer.epsilon=1e-300": 1e-300,
    "data.test_size=30": 30,
    "data.test_size=1": 1,
    "data.validation_size=0": 0,
    "data.split_seed=4294967295": 2**32 - 1,
    "train.class_weight=balanced": "balanced",
    'train.class_weight={"0" = 2}': {"0": 2.0},
    "data.target=species": "species",
    "data.target=-1": -1,
    'data.target="3"': "3",
    "data.header=true": True,
    'data.categorical=["a", "b c"]': ["a", "b c"],
    "data.missing=median": "median",
    "data.test_source=digits": "digits",
}
SOURCES = ["openml:mnist_784", "openml:mnist_784:1", "folder/a", "./digits", "/", "two words.gz"]
VALID |= {f"data.source={source}": source for source in SOURCES}


@pytest.mark.parametrize("override", VALID)
def test_a_value_within_its_limits_is_taken_in_the_type_of_its_key(override):
    taken = value_of(override.partition("=")[0], "data.source=mine.csv", override)
    assert (taken, type(taken)) == (VALID[override], type(VALID[override]))


def test_a_source_without_suffix_or_folder_is_a_path_only_if_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message("data.source=mine").startswith('data.source: "mine" is none of iris, ')
    assert message(f"data.source={'x' * 300}").startswith('data.source: "xxx')
    Path("mine").mkdir()
    assert value_of("data.source", "data.source=mine") == "mine"


def test_a_data_set_comes_before_a_file_of_its_name_and_so_does_any_choice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("iris", "tanh", "tan"):
        Path(name).mkdir()
    assert "no effect on 'iris'" in message("data.source=iris", "data.missing=mean")
    assert value_of("data.missing", "data.source=./iris", "data.missing=mean") == "mean"
    assert value_of("model.activation", "model.activation=tanh") == "tanh"
    assert "is none of relu, " in message("model.activation=tan")


def test_a_net_without_hidden_layers_takes_one_activation_or_an_empty_list():
    for value in ("tanh", []):
        taken = value_of("model.activation", "model.hidden=[]", f"model.activation={value}")
        assert taken == value


# Unknown names


NEAREST = {
    "train.epoch": "train.epochs",
    "epocs": "train.epochs",
    "trian.epochs": "train.epochs",
    "seed": "train.seed",
    "learning_rate": "optimizer.learning_rate",
    "train.learning_rate": "optimizer.learning_rate",
    "data.heading": "data.header",
    "checkpoint_second": "train.checkpoint_seconds",
}


@pytest.mark.parametrize("name", NEAREST)
def test_an_unknown_key_names_the_nearest_one(name, written):
    said = f"unknown key '{name}'; did you mean {NEAREST[name]}?"
    assert message(f"{name}=3") == said
    section, _, key = name.rpartition(".")
    if section in config.SECTIONS:
        path = written(f"[{section}]\n{key} = 3\n")
        assert message(path=path) == f"{path}: {said}"


def test_an_unknown_key_near_to_none_lists_those_of_its_section():
    said = message("train.zzz=1")
    assert said.startswith("unknown key 'train.zzz'; choose from train.epochs, ")
    assert all(name in said for name in KEYS if name.startswith("train."))
    assert "model.hidden" not in said


@pytest.mark.parametrize("override", ["=5", ".=5", "zzz.qqq=5", "a.b.c=5", "train.=5"])
def test_an_override_of_no_key_at_all_lists_sections_or_keys(override):
    assert re.match("unknown key '.*'; choose from .*train", message(override))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[optimiser]\nname = 'sgd'\n", "unknown section 'optimiser'; choose from data, model, "),
        ("epochs = 3\n", "unknown section 'epochs'; did you mean train.epochs?"),
        ("data = 3\n", "data is a section: write [data] above its keys"),
        ("[[data]]\nsource = 'iris'\n", "data is a section: write [data] above its keys"),
        ("[data.source]\nx = 1\n", "data.source: expected a string, got {"),
        ("[train]\nepochs.x = 1\n", "train.epochs: expected a whole number, got {"),
    ],
)
def test_a_misplaced_section_key_or_table_is_told_how_it_is_written(content, said, written):
    path = written(content)
    assert message(path=path).startswith(f"{path}: {said}")


@pytest.mark.parametrize("name", ['"a\\nb"', '"a\\u2028b"', '"a\\u0085b"', f'"{"x" * 5000}"'])
def test_a_name_of_many_lines_or_letters_is_shown_on_one_short_line(name, written):
    for content in (f"[{name}]\nx = 1\n", f"[train]\n{name} = 1\n"):
        assert len(message(path=written(content))) < 1000


# Invalid values


@pytest.mark.parametrize("name", FLOATS + INTS + PARTS)
def test_a_number_key_takes_finite_numbers_within_its_limits_only(name):
    no_numbers = ["three", "true", "[1]", "{}", "2020-01-01", "nan", "inf", "-inf", "1e400"]
    for value in no_numbers + (["2.5", "2.0"] if name in INTS else []):
        said = message(f"{name}={value}")
        assert said.startswith(f"{name}: expected a ") and " number, got " in said
    for value in ("-1", "-1_000_000_000_000"):  # no key is negative
        assert message(f"{name}={value}").startswith(f"{name}: must be a")
    # hexadecimal, because Python refuses to read or write so many decimal digits
    assert message(f"{name}=0x{'f' * 5000}").endswith("got a value too long to show")


POSITIVE = ["data.test_size", "data.samples", "data.features", "data.classes", "train.epochs"]
POSITIVE += ["train.batch_size", "optimizer.learning_rate", "optimizer.epsilon"]
POSITIVE += ["optimizer.step_epochs", "optimizer.step_factor"]
SHARES = ["model.dropout", "optimizer.momentum", "optimizer.beta1", "optimizer.beta2"]
BOUNDS = [(name, "0", "(above 0|at least [12])") for name in POSITIVE]
BOUNDS += [(name, "1", "below 1") for name in [*SHARES, "train.label_smoothing"]]
BOUNDS += [(name, f"{2**32}", f"below {2**32}") for name in INTS if name.endswith("seed")]


@pytest.mark.parametrize(("name", "value", "limit"), BOUNDS)
def test_a_bound_that_does_not_belong_to_the_range_is_refused(name, value, limit):
    assert re.fullmatch(f"{name}: must be {limit}, got {value}", message(f"{name}={value}"))


INVALID = """
model.hidden=[0]                      must be at least 1, got [0]
model.hidden=[64, -1]                 must be at least 1, got [64, -1]
model.hidden=[1_000_000_000_000]      must be at most 1e6, got [1000000000000]
model.hidden=[2.5]                    expected a list of whole numbers, got [2.5]
model.hidden=[true]                   expected a list of whole numbers, got [true]
model.hidden=64                       expected a list of whole numbers, got 64
data.header=yes                       "yes" is none of auto
data.header=1                         expected a string or true or false, got 1
data.target=1.5                       expected a string or a whole number, got 1.5
data.target=-10000000                 must be at least -1e6, got -10000000
data.categorical=colour               expected a list of strings, got "colour"
data.categorical=[1]                  expected a list of strings, got [1]
data.test_source=3                    expected a string, got 3
optimizer.learning_rate="0.1"         expected a finite number, got "0.1"; write 0.1
train.epochs="3"                      expected a whole number, got "3"; write 3
data.source=digit                     did you mean digits?
model.activation=Relu                 did you mean relu?
model.activation=["rleu"]             did you mean relu?
train.class_weight=balance            did you mean balanced?
data.missing=medain                   did you mean median?
train.class_weight={"0" = -1}         must be at least 0, got {"0" = -1}
train.class_weight={"0" = true}       expected a string or a table of numbers, got {"0" = true}
train.class_weight={"0" = nan}        expected a string or a table of numbers, got {"0" = NaN}
train.class_weight=3                  expected a string or a table of numbers, got 3
"""


@pytest.mark.parametrize("case", INVALID.strip().splitlines())
def test_an_invalid_value_is_shown_with_what_is_expected(case):
    override, said = re.split(r"  +", case)
    found = message("data.source=mine.csv", override)
    assert found.startswith(f"{override.partition('=')[0]}: ") and found.endswith(said)


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_lists_the_choices(name):
    said = message(f"{name}=nothing_like_it")
    assert said.startswith(f'{name}: "nothing_like_it" is none of ')
    assert all(choice in said for choice in KEYS[name].metadata["choices"])


MISSPELT = ["", ":", "::1", ":a:", ":a:one", ":a:0", ":a:1:2", ":a:/b.csv"]


@pytest.mark.parametrize("value", [*(f"openml{rest}" for rest in MISSPELT), "OPENML:mnist_784"])
def test_a_misspelt_openml_source_lists_what_a_source_may_be(value):
    said = message(f"data.source={value}")
    assert said.startswith(f'data.source: "{value}" is none of iris, ')
    assert "openml:NAME, path/to/file" in said


def test_an_error_in_a_file_names_file_section_and_key(written):
    path = written("[train]\nepochs = 0\n")
    assert message(path=path) == f"{path}: train.epochs: must be at least 1, got 0"


@pytest.mark.parametrize(
    "value",
    ["a\nb", "a\rb", "a\u2028b", "a\x85b", "a\x1db", '"a\\nb"', "\ud800", "\x1b[31m", "x" * 10_000],
)
def test_a_value_of_several_lines_or_many_letters_is_shown_on_one_short_line(value):
    said = message(f"train.watch={value}")
    assert said.startswith("train.watch: ") and len(said) < 150


# Values that do not fit each other


def test_values_that_do_not_fit_each_other_are_refused():
    for name in PARTS:
        for value in ("1.0", "30.0"):
            assert "write a number of rows without a point" in message(f"{name}={value}")
    layers = {('["relu", "tanh"]', "[64]"): "2 names for 1 layers", ("[]", "[64]"): "0 names for 1"}
    for (names, hidden), said in layers.items():
        assert said in message(f"model.hidden={hidden}", f"model.activation={names}")
    assert "above 0" in message("data.source=blobs", "data.noise=0")
    assert "at most 1" in message("data.source=classification", "data.noise=1.5")
    assert value_of("data.noise", "data.source=blobs", "data.noise=1.5") == 1.5


OF_GENERATORS = {
    "samples=50": config.GENERATORS,
    "generator_seed=1": config.GENERATORS,
    "noise=0.5": ("moons", "circles", "blobs", "classification"),
    "features=3": ("blobs", "classification", "gaussian_quantiles"),
    "classes=4": ("blobs", "classification", "gaussian_quantiles"),
}
OF_FILES = ["header=true", 'categorical=["a"]', "missing=mean", "validation_source=v.csv"]
OF_FILES += ["test_source=t.csv"]
ONLY = OF_GENERATORS | dict.fromkeys(OF_FILES, ("mine.csv",))
ONLY |= {"target=a": ("mine.csv", "openml:mnist_784"), "target=2": ("mine.csv",)}


@pytest.mark.parametrize("override", ONLY)
def test_a_key_without_effect_on_the_source_is_named(override):
    name = f"data.{override.partition('=')[0]}"
    for source in (*config.GENERATORS, "iris", "covtype", "openml:mnist_784", "mine.csv"):
        overrides = [f"data.source={source}", f"data.{override}"]
        if source in ONLY[override]:
            load(None, overrides)
        elif (source, override) == ("openml:mnist_784", "target=2"):
            assert message(*overrides).startswith("data.target: name the column: ")
        else:
            assert message(*overrides).startswith(f"{name}: has no effect on '{source}', only on ")


def test_the_default_of_a_key_may_stand_in_any_config(written):
    overrides = ["data.missing=error", "data.header=auto", "data.target=", "data.samples=1000"]
    assert load(written(dumps(Config()))) == load(None, overrides) == Config()


# Files


@pytest.mark.parametrize("content", [b"", b"# only a comment\n", b"\xef\xbb\xbf[train]\r\n"])
def test_an_empty_file_gives_all_defaults(content, written):
    assert load(written(content)) == Config()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# é\n".encode("latin-1"), "is not UTF-8 text (byte 3); save it as UTF-8"),
        ("[train]\n".encode("utf-16"), "is not UTF-8 text (byte 1); save it as UTF-8"),
        ("[train]\nepochs = 3\n".encode("utf-16-le"), "is not TOML"),
        (b"[train]\nepochs = 3\nepochs = 4\n", "is not TOML: Cannot overwrite a value (at line 3"),
        (b"[train]\n[train]\n", "is not TOML: Cannot declare"),
        (b"[train\n", "is not TOML"),
        (b"[train]\nepochs = three\n", "is not TOML"),
        (b"[train]\nepochs = 3\0\n", "is not TOML"),
        (b"PK\x03\x04\x00\x00", "is not TOML"),
        (b"[train]\nepochs = 0" + b"x" * 5000, "is not TOML"),
        (b"[model]\nhidden = " + b"[" * 20_000, "is not TOML"),
        (b"[model]\nhidden = " + b"{a=" * 20_000, "is not TOML"),
    ],
)
def test_a_file_that_is_not_toml_is_named_with_the_place(content, said, written):
    path = written(content)
    assert message(path=path).startswith(f"{path}: {said}")


@pytest.mark.parametrize("depth", [100, 900, 1500])
def test_deep_tables_in_the_place_of_a_value_are_refused(depth, written):
    dotted = "a." * depth + "a = 1"
    assert "model.hidden: expected" in message(path=written(f"[model]\nhidden.{dotted}\n"))
    assert "model.hidden: expected" in message(f"model.hidden={{{dotted}}}")
    assert "model.hidden: expected" in message(f"model.hidden={'[' * 20 * depth}")


def test_a_huge_file_is_refused_without_being_read_whole(written):
    path = written(b"")
    os.truncate(path, 2**40)  # a hole, which takes no space
    assert "larger than 1000000 bytes, so hardly a config" in message(path=path)


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, monkeypatch, written):
    file = written(b"")
    for path, reason in ((tmp_path, "Is a directory"), (file / "x.toml", "Not a directory")):
        assert message(path=path) == f"{path}: cannot read this config: {reason}"

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # as root, every file may be read
    assert message(path=file) == f"{file}: cannot read this config: Permission denied"


# Which file


def test_a_shipped_config_is_found_by_name_unless_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wine = config.shipped()["wine"]
    assert wine.is_file()
    assert locate(["wine", "train.epochs=1"]) == (wine, ["train.epochs=1"])
    Path("wine").mkdir()  # a folder does not hide it
    assert locate(["wine"]) == (wine, [])
    Path("iris").touch()
    assert locate(["iris"]) == (Path("iris"), [])
    assert locate([]) == locate(["digits"]) == (config.shipped()["digits"], [])
    assert locate(["a=b"]) == (config.shipped()["digits"], ["a=b"])


def test_a_config_that_does_not_exist_names_the_nearest_shipped_one_or_all():
    every = ", ".join(config.shipped())
    for name, hint in {"digit.toml": "did you mean digits?", "zzz": f"shipped: {every}"}.items():
        assert message(path=locate([name])[0]) == f"{name}: no such config file; {hint}"


def test_an_argument_that_is_neither_a_config_nor_an_override_is_named():
    for arguments in ("iris wine", "train.epochs=1 iris", "iris train.epochs", "train.epochs"):
        named = arguments.split()[-1]
        with pytest.raises(ConfigError, match=f"^'{named}' is not section.key=value"):
            locate(arguments.split())


@pytest.mark.parametrize("name", config.shipped())
def test_every_shipped_config_loads(name):
    assert load(config.shipped()[name]) != Config()


# Writing and describing


def test_describe_names_every_key_with_type_default_limits_choices_and_meaning():
    text = config.describe()
    entries = [entry.strip() for entry in re.split(r"\n(?=  \S)", text)]
    for (name, f), entry in zip(KEYS.items(), entries, strict=True):
        assert re.match(rf"{name} = .*   \(a .*{f.metadata['limits']}\)\n", entry)
        assert f.metadata["help"] in entry
        assert all(word in entry for word in (*f.metadata["choices"], *f.metadata["only"]))
    assert "  model.hidden = [64]   (a list of whole numbers, at least 1, at most 1e6)" in text
    assert f"choices: {', '.join(ACTIVATIONS)}" in text


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PATHS = TEXT.map("./{}".format) | TEXT.map("a{}.csv".format) | st.just('openml:"')
OTHERS = {
    "data.source": PATHS,
    "data.categorical": st.lists(TEXT, max_size=3),
    "data.header": st.booleans(),
    "data.target": TEXT | st.integers(-(10**6), 10**6),
    "data.test_size": st.integers(1, 10**9) | st.floats(0.01, 0.99),
    "model.hidden": st.lists(st.integers(1, 10**6), max_size=4),
    "model.activation": st.just(["tanh"]),
    "train.class_weight": st.dictionaries(TEXT, st.floats(0, 10**9), max_size=4),
}


def fitting(name: str) -> st.SearchStrategy:
    """Values that fit a key by themselves: the ends of its range, choices, any text."""
    f = KEYS[name]
    found = [OTHERS[name]] if name in OTHERS else []
    found += [st.sampled_from(f.metadata["choices"])] if f.metadata["choices"] else []
    if f.type in (int, float):
        limits = dict(limit.rsplit(" ", 1) for limit in f.metadata["limits"].split(", "))
        low, high = float(limits.get("at least", 1e-300)), float(limits.get("at most", 0.999))
        ends = [low, high] if f.type is float else [int(low), int(high) or 2**32 - 1]
        found.append(st.sampled_from(ends))
    return st.one_of(found or [TEXT])


ITEMS = st.sampled_from([*KEYS]).flatmap(lambda name: st.tuples(st.just(name), fitting(name)))


@settings(max_examples=200)
@given(st.lists(ITEMS, max_size=5), st.sampled_from(["a.csv", "blobs", "openml:a"]))
@example(
    [("train.class_weight", {'"\\': 1e-300, "\0\x7f\x1b\n": 1e9, "🦆 é": 5e-324, "": 0.0})], "iris"
)
@example([("data.target", "'''\t\"\"\"\\u0041\u2028\x85"), ("data.source", 'openml:"')], "")
def test_what_dumps_writes_is_every_key_and_read_back_to_an_equal_config(items, source):
    tables = {section: {} for section in config.SECTIONS} | {"data": {"source": source}}
    for name, value in items:
        section, _, bare = name.partition(".")
        tables[section][bare] = value
    original = Config(**{s: cls(**tables[s]) for s, cls in config.SECTIONS.items()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_bytes(dumps(original).encode())
        try:
            again = load(path)
        except ConfigError as error:  # keys that do not fit each other
            assert "is not TOML" not in str(error) and "unknown" not in str(error)
            reject()
    assert again == original
    assert dumps(again) == dumps(original)
    section, overrides = "", []
    for line in dumps(original).split("\n"):  # and each line is an override that gives the same
        section = line[1:-1] if line.startswith("[") else section
        overrides += [f"{section}.{line}"] if line and not line.startswith("[") else []
    assert len(overrides) == len(KEYS)
    assert load(None, overrides) == original


# Anything at all

ANYTHING = st.text(max_size=30)
SCALARS = ["", "[]", "{}", "{a.b=1}", "[[1]]", "0x" + "f" * 5000, '"', "'''", "1979-05-27", "true"]
VALUES = st.one_of(
    ANYTHING,
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from([*SCALARS, "1e400", "nan", "-1", "0.5", '"3"', '["relu"]', '{a = "b"}']),
    st.sampled_from([choice for name in CHOICES for choice in KEYS[name].metadata["choices"]]),
)
NAMES = st.sampled_from([*KEYS, *config.SECTIONS]) | ANYTHING
OVERRIDES = st.lists(ANYTHING | st.builds("{}={}".format, NAMES, VALUES), max_size=4)
LINES = st.one_of(
    ANYTHING,
    st.sampled_from([*(f"[{section}]" for section in config.SECTIONS), "[[data]]", "a.b = 1"]),
    st.builds("{} = {}".format, NAMES.map(lambda name: name.rpartition(".")[2]), VALUES),
)
TEXTS = st.lists(LINES, max_size=8).map("\n".join)
CONTENTS = TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60)


@settings(max_examples=300)
@given(CONTENTS, OVERRIDES)
def test_any_file_and_overrides_give_a_config_or_one_line(content, overrides):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_bytes(content)
        for where in (None, path):
            try:
                loaded = load(where, overrides)
            except ConfigError as error:
                assert len(str(error).splitlines()) == 1
            else:
                optimizer = vars(loaded.optimizer).values()
                assert all(math.isfinite(x) for x in optimizer if isinstance(x, float))
                assert dumps(loaded)
