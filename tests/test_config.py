"""Configs: what one may hold, and the line that answers each mistake in one."""

import dataclasses
import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory import traced_memory

from minnet import config
from minnet.config import GENERATORS, KEYS, Config, dumps, load, locate, parse_override
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


# Values


def test_an_override_wins_over_the_file_and_the_file_over_the_default(written):
    path = written("[train]\nepochs = 7\nseed = 8\n")
    loaded = load(path, ["train.epochs=9", "model.dropout=0.1", "model.dropout=0.2"])
    assert (loaded.train.epochs, loaded.train.seed, loaded.train.batch_size) == (9, 8, 0)
    assert loaded.model.dropout == 0.2  # of two overrides of a key, the last
    assert load(written(b"\xef\xbb\xbf[train]\r\nepochs = 0")) == load(None) == Config()


def test_a_config_is_frozen_and_shares_no_list_with_another():
    load(None).model.hidden.append(3)
    assert load(None).model.hidden == [128]
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(None).train.epochs = 3


VALID = {
    "train.epochs = 5 # few": 5,
    "train.epochs=1_000\n": 1000,
    "optimizer.learning_rate=1": 1.0,
    "optimizer.epsilon=1e-300": 1e-300,
    "model.hidden=[64, 32]": [64, 32],
    "model.hidden=[]": [],  # with one activation, which no layer has
    "model.activation=tanh": "tanh",
    'train.class_weight={a = 2, "b c" = 0.5}': {"a": 2.0, "b c": 0.5},
    "data.test_size=1": 1,
    "data.validation_size=0": 0,
    "data.split_seed=4294967295": 2**32 - 1,
    "data.target=a = b": "a = b",
    "data.target= two words ": "two words",
    "data.target=": "",
    "data.target=a\nb": "a\nb",
    "data.target=1\n[x]": "1\n[x]",
    "data.target=-1": -1,
    'data.target="3"': "3",
    "data.header=true": True,
    'data.categorical=["a", "b c"]': ["a", "b c"],
    "data.test_source=digits": "digits",
}
SOURCES = ["openml:mnist_784", "openml:mnist_784:1", "folder/a", "./digits", "/", "two words.gz"]
VALID |= {f"data.source={source}": source for source in SOURCES}


@pytest.mark.parametrize("override", VALID)
def test_an_override_is_toml_or_bare_words_and_taken_in_the_type_of_its_key(override):
    taken = value_of(override.partition("=")[0].strip(), "data.source=mine.csv", override)
    assert (taken, type(taken)) == (VALID[override], type(VALID[override]))


def test_a_source_is_a_set_else_a_path_if_it_has_a_suffix_or_folder_or_exists(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("zebra", "x" * 300):
        assert "; choose from iris, wine, breast" in message(f"data.source={name}")
    for name in ("mine", "iris", "tanh", "tan"):
        Path(name).mkdir()
    assert value_of("data.source", "data.source=mine") == "mine"
    assert "no effect on 'iris'" in message("data.source=iris", "data.missing=mean")
    assert value_of("data.missing", "data.source=./iris", "data.missing=mean") == "mean"
    assert value_of("model.activation", "model.activation=tanh") == "tanh"
    assert message("model.activation=tan").endswith("did you mean tanh?")


# Mistakes


MISTAKES = """
epocs                        'epocs' is not section.key=value; did you mean train.epochs?
trian.epochs=3               unknown key 'trian.epochs'; did you mean train.epochs?
train.learning_rate=3        'train.learning_rate'; did you mean optimizer.learning_rate?
model.zzz=1                  choose from model.hidden, model.activation, model.dropout, model.outp
zzz.qqq=5                    unknown key 'zzz.qqq'; choose from data, model, optimizer, train
=5                           unknown key ''; choose from data, model, optimizer, train
model.hidden=[0]             model.hidden: must be at least 1, got 0
model.hidden=[10_000_000]    model.hidden: must be at most 1e6, got 10000000
model.hidden=64              model.hidden: expected a list of whole numbers, got 64
data.header=yes              data.header: unknown value "yes"; choose from auto
data.target=1.5              data.target: expected a string or a whole number, got 1.5
data.target=-10000000        data.target: must be at least -1e6, got -10000000
data.categorical=colour      data.categorical: expected a list of names or places, got the string
train.epochs="3"             train.epochs: expected a whole number, got the string "3"
model.activation=["rleu"]    unknown value "rleu"; did you mean relu?
train.class_weight=balance   unknown value "balance"; did you mean balanced?
train.class_weight={"0"=-1}  train.class_weight: must be at least 0, got -1
train.class_weight={a=nan}   expected a string or a table of numbers, got {"a" = NaN}
model.activation=["relu","tanh"]   model.activation: 2 names for 1 layers in model.hidden
data.source=blobs data.noise=0     data.noise: must be above 0 for blobs, at most 1 for classific
data.source=classification data.noise=1.5   data.noise: must be above 0 for blobs, at most 1 for
data.source=openml:a data.target=2          data.target: name the column; OpenML's have no index
"""


@pytest.mark.parametrize("case", MISTAKES.strip().splitlines())
def test_an_override_with_a_mistake_is_told_what_is_expected(case):
    overrides, said = re.split(r"  +", case)
    assert said in message(*overrides.split(" "))


@pytest.mark.parametrize("name", FLOATS + INTS + PARTS)
def test_a_number_key_takes_finite_numbers_within_its_limits_only(name):
    no_numbers = ["three", "true", "[1]", "{}", "2020-01-01", "nan", "inf", "-inf", "1e400"]
    for value in no_numbers + (["2.5", "2.0"] if name in INTS else []):
        said = message(f"{name}={value}")
        folds = name == "data.validation_size" and "; choose from folds" in said
        assert folds or (said.startswith(f"{name}: expected a ") and " got " in said)
    for value in ("-1", "-1_000_000_000_000"):  # no key is negative
        assert message(f"{name}={value}").startswith(f"{name}: must be a")
    # hexadecimal, because Python refuses to read or write so many decimal digits
    assert message(f"{name}=0x{'f' * 5000}").endswith("got a value too long to show")


POSITIVE = "data.samples data.features data.classes model.members"
RATES = " optimizer.learning_rate optimizer.epsilon optimizer.step_epochs optimizer.step_factor"
SHARES = "model.dropout optimizer.momentum optimizer.beta1 optimizer.beta2 train.label_smoothing"


def test_a_bound_that_does_not_belong_to_the_range_is_refused():
    bounds = [(name, "0", "(above 0|at least [12])") for name in (POSITIVE + RATES).split()]
    bounds += [(name, "1", "below 1") for name in SHARES.split()]
    bounds += [(name, f"{2**32}", f"below {2**32}") for name in INTS if name.endswith("seed")]
    for name, value, limit in bounds:
        assert re.fullmatch(f"{name}: must be {limit}, got {value}", message(f"{name}={value}"))


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_lists_the_choices(name):
    choices = ", ".join(KEYS[name].metadata["choices"])
    assert message(f"{name}=xyz") == f'{name}: unknown value "xyz"; choose from {choices}'


def test_a_misspelt_openml_source_is_refused():
    for rest in ("", ":", "::1", ":a:", ":a:one", ":a:0", ":a:1:2", ":a:/b.csv"):
        assert f'unknown value "openml{rest}"' in message(f"data.source=openml{rest}")


@pytest.mark.parametrize("odd", ["a\nb", "a\u2028b", "\x1b[31m", "x" * 10_000, ""])
def test_text_of_several_lines_or_many_letters_is_shown_on_one_short_line(odd, written):
    said = [message(odd), message(f"{odd}=3"), message(f"train.watch={odd}"), message("\ud800")]
    name = "".join(f"\\U{ord(c):08x}" for c in odd[:5000])
    for content in (f'["{name}"]\nx = 1\n', f'[train]\n"{name}" = 1\n'):
        said.append(message(path=written(content)))
    assert max(map(len, said)) < 500


OF_FILES = ["header=true", 'categorical=["a"]', "missing=mean", "validation_source=v.csv"]
OF_FILES += ["test_source=t.csv"]
ONLY = dict.fromkeys(OF_FILES, ("mine.csv",))
ONLY |= {"target=a": ("mine.csv", "openml:mnist_784"), "samples=50": GENERATORS}
ONLY |= {"generator_seed=1": GENERATORS, "noise=0.5": GENERATORS[:-1]}
ONLY |= {"features=3": GENERATORS[2:], "classes=4": GENERATORS[2:]}


@pytest.mark.parametrize("override", ONLY)
def test_a_key_without_effect_on_the_source_is_named(override):
    name = f"data.{override.partition('=')[0]}"
    for source in (*GENERATORS, "iris", "covtype", "openml:mnist_784", "mine.csv"):
        overrides = [f"data.source={source}", f"data.{override}"]
        if source in ONLY[override]:
            load(None, overrides)
        else:
            assert message(*overrides).startswith(f"{name}: has no effect on '{source}', only on ")


def test_the_default_of_a_key_may_stand_in_any_config(written):
    overrides = ["data.missing=median", "data.header=auto", "data.target=", "data.samples=1000"]
    assert load(written(dumps(Config()))) == load(None, overrides) == Config()


# Files


BAD_FILES = {
    b"[train]\nepochs = -1\n": "train.epochs: must be at least 0, got -1",
    b"": "holds no keys",
    b"# a comment alone\n\n": "holds no keys",
    b"\xef\xbb\xbf[train]\r\n[model]\r\n": "holds no keys",
    b"[train]\nepoch = 3\n": "unknown key 'train.epoch'; did you mean train.epochs?",
    b"[optimiser]\nname = 'sgd'\n": "unknown section 'optimiser'; choose from data, model, ",
    b"epochs = 3\n": "unknown section 'epochs'; did you mean train.epochs?",
    b"data = 3\n": "data is a section: write [data] above its keys",
    b"[data.source]\nx = 1\n": "data.source: expected a string, got {",
    b"[data]\ntest_size = 1.0\n": "data.test_size: must be a fraction below 1 or a whole number",
    b"[data]\nmissing = 'drop'\n": "data.missing: has no effect on 'digits', only on path/to/file",
    "# é\n".encode("latin-1"): "is not UTF-8: save it as UTF-8",
    "[train]\nepochs = 3\n".encode("utf-16-le"): "is not TOML",
    b"[train]\nepochs = 3\nepochs = 4\n": "is not TOML: Cannot overwrite a value (at line 3",
    b"[train]\nepochs = three\n": "is not TOML",
    b"[train]\nepochs = 0" + b"x" * 5000: "is not TOML",
    b"[model]\nhidden = " + b"[" * 20_000: "is not TOML",
    b"[model]\nhidden = " + b"{a=" * 20_000: "is not TOML",
}


@pytest.mark.parametrize("content", BAD_FILES, ids=BAD_FILES.values())
def test_a_mistake_in_a_file_names_the_file_and_the_place(content, written):
    path = written(content)
    assert message(path=path).startswith(f"{path}: {BAD_FILES[content]}")


def test_deep_tables_in_the_place_of_a_value_are_refused(written):
    dotted = "a." * 98 + "a = 1"
    assert "model.hidden: expected" in message(path=written(f"[model]\nhidden.{dotted}\n"))
    assert "model.hidden: expected" in message(f"model.hidden={{{dotted}}}")
    for depth in (100, 900, 1500):
        assert "model.hidden: expected" in message(f"model.hidden={'[' * 20 * depth}")


LONG = ".".join(["a"] * 20_000)  # tomllib takes the square of its length
ENDLESS = [f"{LONG} = 1", f"[{LONG}]", f"[[{LONG}]]", f"[model]\nhidden = {{{LONG} = 1}}"]
ENDLESS += [f"[model]\nhidden = {{b = 1, {LONG} = 1}}", LONG.replace("a", '"é "') + " = 1"]
ENDLESS += [LONG.replace(".", " . ") + " = 1", "# comment\n" * 110_000]


@pytest.mark.parametrize("text", ENDLESS, ids=range(len(ENDLESS)))
def test_a_config_of_absurd_length_or_keys_is_refused_in_little_memory(text, written):
    path = written(text)
    with traced_memory() as risen:
        assert message(path=path).startswith(f"{path}: is not TOML: too large for a config, or")
        for override in (f"model.hidden={{{text}}}", f"model.hidden=1\n{text}", f"{text}=1"):
            assert "model.hidden: expected" in (said := message(override)) or "unknown key" in said
        assert risen() < 20 * 2**20 + 10 * len(text)


def test_no_number_and_no_path_is_taken_for_a_key_of_many_parts():
    values = [0.5] * 1000
    assert parse_override(f"data.missing_values={values}") == ("data.missing_values", values)
    path = "../" * 40 + "a.csv"
    assert load(None, [f'data.source="{path}"']).data.source == path


def test_a_name_that_no_config_can_hold_is_refused():
    for name in (os.fsdecode(b"\xff.csv"), os.fsdecode(b"runs/\xe4/a"), "\ud83d.csv"):
        for arguments in ([name], [f"data.source={name}"], ["iris", f"data.test_source={name}"]):
            said = message(*locate(arguments)[1])
            assert "is not UTF-8: no config can hold it; rename it" in said


def test_a_name_of_any_characters_is_a_table(tmp_path):
    for name in ("😀.csv", "ä.csv", "a\x7f\x9b\u202e\u061c.csv", 'a"\\.csv'):
        path, overrides = locate([name])
        loaded = load(path, overrides)
        assert loaded.data.source == name
        assert config.dumps(loaded).replace("\n", "").isprintable()
        (tmp_path / "own.toml").write_text(config.dumps(loaded))
        assert load(tmp_path / "own.toml") == loaded


def test_an_argument_without_a_name_is_refused():
    for name in ("", " ", "\t"):
        with pytest.raises(ConfigError, match="names no table, config or data set"):
            locate([name])
        assert message(f"data.source={name}").startswith("data.source: unknown value")


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, monkeypatch, written):
    file = written(b"")
    for path, reason in ((tmp_path, "Is a directory"), (file / "x.toml", "Not a directory")):
        assert message(path=path).startswith(f"{path}: cannot be read: {reason}")
    os.truncate(file, 2**40)  # a hole, which takes no space: nobody reads it whole
    assert message(path=file).startswith(f"{file}: is not TOML: too large for a config")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # as root, every file may be read
    assert message(path=file).startswith(f"{file}: cannot be read: Permission denied")


def test_a_shipped_config_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = config.shipped()
    assert locate(["wine", "train.epochs=1"]) == (shipped["wine"], ["train.epochs=1"])
    assert shipped["wine"].is_file()
    Path("wine").mkdir()  # a folder does not hide it
    assert locate(["wine"]) == (shipped["wine"], [])
    assert locate([]) == locate(["digits"]) == (shipped["digits"], [])
    assert locate(["a=b"]) == (shipped["digits"], ["a=b"])
    assert locate(["data.source=iris", "a=b"]) == (None, ["data.source=iris", "a=b"])
    for name, hint in {"digit.toml": "did you mean digits?", "zzz": ", ".join(shipped)}.items():
        said = message(path=locate([name])[0])
        assert said.startswith(f"{name}: cannot be read: No such file") and said.endswith(hint)


@pytest.mark.parametrize(
    "name", ["people.csv", "./people", "-", "./iris", "a b.txt", "folder/", '"']
)
def test_a_table_is_an_override_of_the_source_and_the_defaults_are_its_config(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("iris").touch()
    Path('"').touch()
    path, overrides = locate([name, "train.epochs=1"])
    assert path is None and load(path, overrides).data.source == name
    assert overrides[1:] == ["train.epochs=1"]


def test_an_argument_that_is_neither_a_config_nor_an_override_is_named():
    for arguments in ("iris wine", "train.epochs=1 iris", "iris train.epochs", "train.epochs"):
        named = arguments.split()[-1]
        with pytest.raises(ConfigError, match=f"^'{named}' is not section.key=value"):
            locate(arguments.split())


# Writing and describing


def test_describe_names_every_key_with_type_default_limits_choices_and_meaning():
    text = config.describe()
    entries = [entry.strip() for entry in re.split(r"\n(?=  \S)", text)]
    for (name, f), entry in zip(KEYS.items(), entries, strict=True):
        assert re.match(rf"{name} = .*   \(a .*{f.metadata['limits']}\)\n", entry)
        assert f.metadata["help"] in entry
        assert all(word in entry for word in (*f.metadata["choices"], *f.metadata["only"]))
    assert "  model.hidden = [128]   (a list of whole numbers, at least 1, at most 1e6)" in text


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBER = st.sampled_from([1e-300, 0.1, 1 / 3, 1e9]) | st.floats(5e-324, 1e9)
WEIGHTS = st.dictionaries(TEXT, NUMBER, max_size=4) | st.sampled_from(["none", "balanced"])
ODD_WEIGHTS = {'"\\': 1e-300, "\0\x7f\x1b\n": 1e9, "🦆 é": 5e-324, "": 0.0}
SIZES = st.lists(st.integers(1, 10**6), max_size=4)


@settings(max_examples=100)
@given(TEXT, TEXT | st.integers(-(10**6), 10**6), st.lists(TEXT), NUMBER, SIZES, WEIGHTS)
@example('"', "'''\t\"\"\"\\u0041\u2028\x85", [], 1.0, [], ODD_WEIGHTS)
def test_what_dumps_writes_is_every_key_and_read_back_to_an_equal_config(
    text, target, texts, number, hidden, weights
):
    original = Config(
        config.DataConfig(
            f"./{text}",
            target,
            texts,
            [1, text],
            header=True,
            missing_values=[number, text],
            test_size=7,
            split_seed=2**32 - 1,
        ),
        config.ModelConfig(hidden, ["tanh" for _ in hidden]),
        config.OptimizerConfig(learning_rate=number),
        config.TrainConfig(class_weight=weights, checkpoint_seconds=number),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_bytes(dumps(original).encode())
        again = load(path)
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


@settings(max_examples=200)
@given(CONTENTS, OVERRIDES)
def test_any_file_and_overrides_give_a_config_or_one_line(content, overrides):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_bytes(content)
        for where in (None, path):
            try:
                assert dumps(load(where, overrides))
            except ConfigError as error:
                assert len(str(error).splitlines()) == 1
