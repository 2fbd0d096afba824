"""Configs: what may stand in one, what may not, and what is said about that."""

import dataclasses
import math
import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minnet import config
from minnet.config import KEYS, Config, ConfigError, describe, dumps, load, parse_override
from minnet.core.activations import ACTIVATIONS

NUMBERS = ["data.test_size", "data.validation_size"]
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


@pytest.fixture
def written(tmp_path):
    """A function that writes a config file and returns its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "my.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# What wins


def test_an_override_wins_over_the_file_and_the_file_over_the_default(written):
    path = written("[train]\nepochs = 7\nseed = 8\n")
    loaded = load(path, ["train.epochs=9"]).train
    assert (loaded.epochs, loaded.seed, loaded.batch_size) == (9, 8, 32)


def test_no_file_and_no_override_give_the_defaults():
    assert load(None) == Config()


def test_of_two_overrides_of_a_key_the_last_wins():
    assert load(None, ["train.epochs=1", "train.epochs=2"]).train.epochs == 2


def test_a_list_in_the_defaults_is_not_shared_between_configs():
    load(None).model.hidden.append(3)
    assert load(None).model.hidden == [64]


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(None).train.epochs = 3


# Values on the command line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.epochs=5", 5),
        ("train.epochs = 5", 5),
        ("train.epochs=1_000", 1000),
        ("train.epochs=5 # few", 5),
        ("train.epochs=5\n", 5),
        ("optimizer.learning_rate=1e-3", 1e-3),
        ("model.hidden=[64, 32]", [64, 32]),
        ("model.hidden=[]", []),
        ("model.activation=tanh", "tanh"),
        ('model.activation="tanh"', "tanh"),
        ("model.activation='tanh'", "tanh"),
        ('model.activation=["tanh", "relu"]', ["tanh", "relu"]),
        ("data.target=a = b", "a = b"),
        ("data.target= two words ", "two words"),
        ("data.target=", ""),
        ("data.target=a\nb", "a\nb"),
        ("data.target=1\n[x]", "1\n[x]"),
        ("data.target=1\nother = 2", "1\nother = 2"),
        ('train.class_weight={a = 2, "b c" = 0.5}', {"a": 2, "b c": 0.5}),
    ],
)
def test_an_override_is_read_as_toml_and_bare_words_as_strings(text, value):
    name = text.partition("=")[0].strip()
    assert parse_override(text) == (name, value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("train.epochs", "did you mean train.epochs?"),
        ("epochs", "did you mean train.epochs?"),
        ("epocs", "did you mean train.epochs?"),
        ("", "section.key=value"),
        ("a\nb", "section.key=value"),
        ("x" * 10_000, "section.key=value"),
    ],
)
def test_an_override_without_an_equals_sign_says_what_is_wanted(text, hint):
    said = message(text)
    assert "is no section.key=value" in said
    assert hint in said
    assert len(said) < 200


# Values that are fine


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("optimizer.learning_rate=1", 1.0),
        ("optimizer.weight_decay=0", 0.0),
        ("optimizer.step_factor=1", 1.0),
        ("optimizer.epsilon=1e-300", 1e-300),
        ("data.test_size=30", 30),
        ("data.test_size=0.25", 0.25),
        ("data.validation_size=0", 0),
        ("data.split_seed=4294967295", 2**32 - 1),
        ("data.source=openml:mnist_784", "openml:mnist_784"),
        ("model.hidden=[]", []),
        ("train.patience=0", 0),
        ("train.class_weight=balanced", "balanced"),
        ('train.class_weight={"0" = 2}', {"0": 2.0}),
        ("train.batch_size=1000000", 1_000_000),
        ("train.checkpoint_seconds=0", 0.0),
        ("data.source=a.csv", "a.csv"),
        ("data.source=folder/a", "folder/a"),
        ("data.source=./digits", "./digits"),
        ("data.source=/", "/"),
        ("data.source=two words.tsv.gz", "two words.tsv.gz"),
    ],
)
def test_a_value_at_or_within_its_limits_is_taken_in_the_type_of_its_key(override, value):
    section, _, rest = override.partition(".")
    taken = getattr(getattr(load(None, [override]), section), rest.partition("=")[0])
    assert taken == value
    assert type(taken) is type(value)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.target=species", "species"),
        ("data.target=3", 3),
        ("data.target=-1", -1),
        ('data.target="3"', "3"),
        ("data.header=auto", "auto"),
        ("data.header=true", True),
        ("data.header=false", False),
        ('data.categorical=["a", "b c"]', ["a", "b c"]),
        ("data.categorical=[]", []),
        ("data.missing=median", "median"),
        ("data.missing=drop", "drop"),
        ("data.validation_source=v.csv", "v.csv"),
        ("data.test_source=folder", "folder"),
        ("data.test_source=digits", "digits"),
    ],
)
def test_a_file_of_ones_own_takes_keys_of_its_own(override, value):
    name = override.partition("=")[0].removeprefix("data.")
    taken = getattr(load(None, ["data.source=mine.csv", override]).data, name)
    assert taken == value
    assert type(taken) is type(value)


def test_a_source_without_suffix_or_folder_is_a_path_only_if_it_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message("data.source=mine").startswith('data.source: "mine" is none of iris, ')
    Path("mine").mkdir()
    assert load(None, ["data.source=mine"]).data.source == "mine"


def test_a_data_set_comes_before_a_file_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("iris").mkdir()
    with pytest.raises(ConfigError, match="only on a file of your own"):
        load(None, ["data.source=iris", "data.missing=mean"])
    assert load(None, ["data.source=./iris", "data.missing=mean"]).data.missing == "mean"


def test_no_hidden_layer_goes_with_one_activation_or_an_empty_list():
    assert load(None, ["model.hidden=[]", "model.activation=tanh"]).model.hidden == []
    assert load(None, ["model.hidden=[]", "model.activation=[]"]).model.activation == []


# Names that are wrong


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("train.epoch", "train.epochs"),
        ("train.epocs", "train.epochs"),
        ("epochs", "train.epochs"),
        ("trian.epochs", "train.epochs"),
        ("modle.hiden", "model.hidden"),
        ("learning_rate", "optimizer.learning_rate"),
        ("optimizer.lerning_rate", "optimizer.learning_rate"),
        ("data.tset_size", "data.test_size"),
        ("data.heading", "data.header"),
        ("data.catgorical", "data.categorical"),
        ("data.mising", "data.missing"),
        ("data.test_sorce", "data.test_source"),
        ("data.validation_file", "data.validation_size"),
        ("checkpoint_second", "train.checkpoint_seconds"),
    ],
)
def test_an_unknown_key_names_the_nearest_one(name, nearest, written):
    assert message(f"{name}=3") == f"unknown key {name}; did you mean {nearest}?"
    section, _, key = name.rpartition(".")
    if section in config.SECTIONS:
        path = written(f"[{section}]\n{key} = 3\n")
        assert message(path=path) == f"{path}: unknown key {name}; did you mean {nearest}?"


def test_an_unknown_key_near_to_none_lists_those_of_its_section():
    said = message("train.zzz=1")
    assert "train.zzz" in said
    assert all(name in said for name in KEYS if name.startswith("train."))
    assert "model.hidden" not in said


@pytest.mark.parametrize("override", ["=5", ".=5", "zzz.qqq=5", "a.b.c=5", "train.=5", ".epochs=5"])
def test_an_override_of_no_key_at_all_names_some_that_are(override):
    said = message(override)
    assert said.startswith("unknown key ")
    assert "train.epochs" in said or "data.source" in said


def test_an_unknown_section_lists_the_sections(written):
    path = written("[optimiser]\nname = 'sgd'\n")
    assert message(path=path) == f"{path}: unknown section optimiser; choose from data, model, optimizer, train"


def test_a_key_without_its_section_is_told_it(written):
    path = written("epochs = 3\n")
    assert message(path=path).endswith("unknown section epochs; did you mean train.epochs?")


@pytest.mark.parametrize("content", ["data = 3\n", "[[data]]\nsource = 'iris'\n"])
def test_a_section_that_is_no_table_is_told_how_it_is_written(content, written):
    assert "write [data] and its keys below" in message(path=written(content))


@pytest.mark.parametrize("content", ["[data.source]\nx = 1\n", "[train]\nepochs.x = 1\n"])
def test_a_table_in_the_place_of_a_value_is_refused(content, written):
    assert "expected a" in message(path=written(content))


@pytest.mark.parametrize("name", ['"a\\nb"', '"a\\u2028b"', '"a\\u0085b"', f'"{"x" * 5000}"'])
def test_a_name_of_many_lines_or_letters_is_shown_on_one_short_line(name, written):
    for content in (f"[{name}]\nx = 1\n", f"[train]\n{name} = 1\n"):
        assert len(message(path=written(content))) < 1000


# Values that are wrong


@pytest.mark.parametrize("name", FLOATS + INTS + NUMBERS)
@pytest.mark.parametrize("value", ['"3"', "three", "true", "false", "[1]", "{}", "2020-01-01", "nan", "inf", "-inf"])
def test_what_is_no_finite_number_is_refused_where_one_is_needed(name, value):
    said = message(f"{name}={value}")
    assert said.startswith(f"{name}: expected a ")
    assert "number" in said


@pytest.mark.parametrize("name", FLOATS + INTS + NUMBERS)
@pytest.mark.parametrize("value", ["1e400", "-1e400"])
def test_a_number_too_large_for_a_float_is_refused(name, value):
    assert message(f"{name}={value}").startswith(f"{name}: expected a ")


@pytest.mark.parametrize("name", INTS)
@pytest.mark.parametrize("value", ["2.5", "2.0"])
def test_a_fraction_is_refused_where_a_whole_number_is_needed(name, value):
    assert message(f"{name}={value}") == f"{name}: expected a whole number, got {value}"


@pytest.mark.parametrize("name", FLOATS + INTS + NUMBERS)
@pytest.mark.parametrize("value", ["-1", "-1_000_000_000_000"])
def test_a_negative_number_is_refused_everywhere(name, value):
    assert message(f"{name}={value}").startswith(f"{name}: must be a")


@pytest.mark.parametrize(
    "name",
    [
        "data.test_size",
        "optimizer.learning_rate",
        "optimizer.epsilon",
        "optimizer.step_epochs",
        "optimizer.step_factor",
        "train.epochs",
        "train.batch_size",
        "data.samples",
        "data.features",
        "data.classes",
    ],
)
def test_zero_is_refused_where_positive_is_needed(name):
    said = message(f"{name}=0")
    assert said.startswith(f"{name}: must be ")
    assert said.endswith("got 0")


@pytest.mark.parametrize("name", ["model.dropout", "optimizer.momentum", "optimizer.beta2", "train.label_smoothing"])
def test_a_share_below_one_cannot_be_one(name):
    assert message(f"{name}=1") == f"{name}: must be below 1, got 1"


@pytest.mark.parametrize("name", [n for n in INTS if n.endswith("seed")])
def test_a_seed_outside_32_bits_is_refused(name):
    assert message(f"{name}=-1") == f"{name}: must be at least 0, got -1"
    assert message(f"{name}={2**32}") == f"{name}: must be below {2**32}, got {2**32}"


@pytest.mark.parametrize("name", FLOATS + INTS + NUMBERS)
def test_a_number_of_thousands_of_digits_is_refused(name):
    # hexadecimal, because Python refuses to read or write so many decimal digits
    assert name in message(f"{name}=0x{'f' * 5000}")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[0]", "must be at least 1, got 0"),
        ("[64, -1]", "must be at least 1, got -1"),
        ("[1_000_000_000_000]", "must be at most 1000000, got 1000000000000"),
        ("[2.5]", "expected a list of whole numbers, got [2.5]"),
        ("[true]", "expected a list of whole numbers, got [true]"),
        ("[[64]]", "expected a list of whole numbers, got [[64]]"),
        ("64", "expected a list of whole numbers, got 64"),
        ("big", 'expected a list of whole numbers, got "big"'),
    ],
)
def test_hidden_layers_are_a_list_of_sensible_whole_numbers(value, said):
    assert message(f"model.hidden={value}") == f"model.hidden: {said}"


def test_a_number_in_quotes_is_told_how_it_is_written():
    assert message('optimizer.learning_rate="0.1"').endswith('got "0.1"; write 0.1')


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_lists_the_choices(name):
    said = message(f"{name}=nothing_like_it")
    assert said.startswith(f"{name}: ")
    assert all(choice in said for choice in KEYS[name].metadata["choices"])


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("data.source=digit", "digits"),
        ("model.activation=Relu", "relu"),
        ("model.activation=[rleu]", "relu"),
        ("optimizer.name=adamm", "adam"),
        ("optimizer.schedule=cosin", "cosine"),
        ("train.class_weight=balance", "balanced"),
        ("data.missing=medain", "median"),
        ("data.header=autom", "auto"),
    ],
)
def test_a_misspelt_choice_names_the_nearest(override, nearest):
    assert message(override).endswith(f"did you mean {nearest}?")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.header=yes", '"yes" is none of auto'),
        ("data.header=1", "expected a string or true or false, got 1"),
        ("data.target=true", "expected a string or a whole number, got true"),
        ("data.target=1.5", "expected a string or a whole number, got 1.5"),
        ('data.target=["a"]', 'expected a string or a whole number, got ["a"]'),
        ("data.target=10000000", "must be at most 1000000, got 10000000"),
        ("data.target=-10000000", "must be at least -1000000, got -10000000"),
        (f"data.target=0x{'f' * 5000}", "must be at most 1000000, got what is too long to show"),
        ("data.categorical=colour", 'expected a list of strings, got "colour"'),
        ("data.categorical=[1]", "expected a list of strings, got [1]"),
        ("data.missing=true", "expected a string, got true"),
        ("data.missing=0", "expected a string, got 0"),
        ("data.test_source=3", "expected a string, got 3"),
        ('data.validation_source=["v.csv"]', 'expected a string, got ["v.csv"]'),
        ("train.checkpoint_seconds=-1", "must be at least 0, got -1"),
    ],
)
def test_a_value_that_a_key_of_files_cannot_have_is_refused(override, said):
    assert message("data.source=mine.csv", override) == f"{override.partition('=')[0]}: {said}"


@pytest.mark.parametrize("value", ["openml", "OPENML:mnist_784"])
def test_a_misspelt_openml_is_an_unknown_choice(value):
    assert message(f"data.source={value}").startswith(f'data.source: "{value}" is none of iris, ')


@pytest.mark.parametrize("value", ["openml:", "openml::1", "openml:a:", "openml:a:one", "openml:a:0", "openml:a:1:2"])
def test_an_openml_source_is_a_name_or_a_name_and_a_version(value):
    expected = f'data.source: "{value}" is neither openml:NAME nor openml:NAME:VERSION'
    assert message(f"data.source={value}") == expected


@pytest.mark.parametrize(
    "value",
    ['{"0" = -1}', '{"0" = 1e308}', '{"0" = true}', '{"0" = "1"}', '{"0" = nan}', '{"0" = {a = 1}}', "3", "[1, 2]"],
)
def test_class_weights_are_not_negative_finite_numbers(value):
    assert message(f"train.class_weight={value}").startswith("train.class_weight: ")


def test_an_error_in_a_file_names_file_section_and_key(written):
    path = written("[train]\nepochs = 0\n")
    assert message(path=path) == f"{path}: train.epochs: must be at least 1, got 0"


def test_a_long_value_is_shown_short():
    assert len(message(f"train.epochs={'x' * 10_000}")) < 150


@pytest.mark.parametrize(
    "value", ["a\nb", "a\rb", "a\u2028b", "a\u0085b", "a\x0bb", "a\x1db", '"a\\nb"', "\ud800", "\x1b[31m"]
)
def test_a_value_of_several_lines_is_shown_on_one(value):
    assert "data.source: " in message(f"data.source={value}")


# Values that do not go together


@pytest.mark.parametrize("name", NUMBERS)
def test_a_part_that_is_a_fraction_of_one_or_more_is_told_of_row_numbers(name):
    assert "write a number of rows without a point" in message(f"{name}=1.0")
    assert "write a number of rows without a point" in message(f"{name}=30.0")


@pytest.mark.parametrize(
    ("hidden", "activation", "said"),
    [
        ("[64]", '["relu", "tanh"]', "2 names for 1 layers"),
        ("[64, 32]", '["relu"]', "1 names for 2 layers"),
        ("[]", '["relu"]', "1 names for 0 layers"),
        ("[64]", "[]", "0 names for 1 layers"),
    ],
)
def test_a_list_of_activations_has_one_for_each_layer(hidden, activation, said):
    assert said in message(f"model.hidden={hidden}", f"model.activation={activation}")


@pytest.mark.parametrize(
    ("source", "override"),
    [
        ("iris", "data.samples=50"),
        ("digits", "data.noise=0.5"),
        ("digits", "data.generator_seed=1"),
        ("moons", "data.features=3"),
        ("circles", "data.classes=4"),
        ("gaussian_quantiles", "data.noise=0.5"),
        ("digits", "data.target=species"),
        ("blobs", "data.target=species"),
    ],
)
def test_a_key_without_effect_on_the_source_is_named(source, override):
    said = message(f"data.source={source}", override)
    assert said.startswith(f"{override.partition('=')[0]}: has no effect on '{source}', only on ")


OF_FILES = ["header=true", 'categorical=["a"]', "missing=mean", "validation_source=v.csv", "test_source=t.csv"]


@pytest.mark.parametrize("override", [*OF_FILES, "target=2"])
@pytest.mark.parametrize("source", ["iris", "moons", "covtype", "openml:mnist_784"])
def test_a_key_of_files_has_no_effect_on_a_data_set(source, override):
    said = message(f"data.source={source}", f"data.{override}")
    if (source, override) == ("openml:mnist_784", "target=2"):
        assert said == "data.target: OpenML's columns go by name"
    else:
        name = override.partition("=")[0]
        assert said == f"data.{name}: has no effect on {source!r}, only on a file of your own"


@pytest.mark.parametrize("override", ["samples=50", "features=3", "classes=4", "noise=0.5", "generator_seed=1"])
def test_a_key_of_generators_has_no_effect_on_a_file(override):
    said = message("data.source=mine.csv", f"data.{override}")
    assert said.startswith(f"data.{override.partition('=')[0]}: has no effect on 'mine.csv', only on ")


def test_the_default_of_a_key_may_stand_in_any_config(written):
    assert load(written(dumps(Config()))) == load(None, ["data.missing=error", "data.header=auto", "data.target="])


def test_openml_takes_a_target_by_name():
    assert load(None, ["data.source=openml:mnist_784", "data.target=kind"]).data.target == "kind"


def test_noise_fits_its_generator():
    assert "positive" in message("data.source=blobs", "data.noise=0")
    assert "at most 1" in message("data.source=classification", "data.noise=1.5")
    assert load(None, ["data.source=blobs", "data.noise=1.5"]).data.noise == 1.5


# Files


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# a comment only\n", b"\xef\xbb\xbf"])
def test_an_empty_file_gives_all_defaults(content, written):
    assert load(written(content)) == Config()


def test_a_byte_order_mark_is_no_mistake(written):
    assert load(written(b"\xef\xbb\xbf[train]\nepochs = 3\n")).train.epochs == 3


def test_lines_may_end_as_on_windows(written):
    assert load(written(b"[train]\r\nepochs = 3\r\n")).train.epochs == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# é\n".encode("latin-1"), "is not UTF-8 text (byte 3); save it as UTF-8"),
        ("[train]\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        (b"\xfe\xff" + "[train]\n".encode("utf-16-be"), "is UTF-16 text; save it as UTF-8"),
        ("[train]\nepochs = 3\n".encode("utf-16-le"), "is not TOML"),
        (b"[train]\nepochs = 3\nepochs = 4\n", "is not TOML: Cannot overwrite a value (at line 3"),
        (b"[train]\n[train]\n", "is not TOML: Cannot declare"),
        (b"[train\n", "is not TOML"),
        (b"[train]\nepochs = \n", "is not TOML"),
        (b"[train]\nepochs = three\n", "is not TOML"),
        (b"[train]\nepochs = 3\0\n", "is not TOML"),
        (b"PK\x03\x04\x00\x00", "is not TOML"),
        (b"[train]\nepochs = 0" + b"x" * 5000, "is not TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_named_with_the_place(content, said, written):
    path = written(content)
    assert message(path=path).startswith(f"{path}: {said}")


@pytest.mark.parametrize("opening", ["[", "{a=", "[[[["])
def test_deep_nesting_is_refused(opening, written):
    path = written("[model]\nhidden = " + opening * 20_000)
    assert "nested too deeply" in message(path=path)


@pytest.mark.parametrize("depth", [100, 900, 1500])
def test_deep_tables_in_the_place_of_a_value_are_refused(depth, written):
    dotted = "a." * depth + "a = 1"
    assert "model.hidden: expected" in message(path=written(f"[model]\nhidden.{dotted}\n"))
    assert "model.hidden: expected" in message(f"model.hidden={{{dotted}}}")


def test_a_huge_file_is_refused_without_being_read_whole(written):
    path = written(b"")
    os.truncate(path, 2**40)  # a hole, which takes no space
    assert "hardly a config" in message(path=path)


def test_a_missing_file_a_folder_and_a_file_as_folder_are_named(tmp_path, written):
    assert message(path=tmp_path / "none.toml").endswith("cannot read this config: No such file or directory")
    assert message(path=tmp_path).endswith("cannot read this config: Is a directory")
    assert message(path=written(b"") / "x.toml").endswith("cannot read this config: Not a directory")


def test_a_file_that_may_not_be_read_is_named(monkeypatch, written):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    path = written(b"")
    monkeypatch.setattr(Path, "open", refuse)  # as root, every file may be read
    assert message(path=path) == f"{path}: cannot read this config: Permission denied"


# Writing and describing


def test_dumps_holds_every_key_and_loads_back_to_the_same(written):
    text = dumps(Config())
    assert text.count(" = ") == len(KEYS)
    assert load(written(text)) == Config()


def test_describe_names_every_key_with_type_default_choices_and_meaning():
    text = describe()
    entries = [entry.strip() for entry in re.split(r"\n(?=  \S)", text)]
    for (name, f), entry in zip(KEYS.items(), entries, strict=True):
        assert entry.startswith(f"{name} = ")
        assert "   (a " in entry
        assert f.metadata["help"] in entry
        assert all(choice in entry for choice in f.metadata["choices"])
    assert "  model.hidden = [64]   (a list of whole numbers, at least 1, at most 1000000)" in text
    assert f"choices: {', '.join(ACTIVATIONS)}" in text


def floats(low: float, high: float, **options: bool) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False, **options)


def within_limits(f) -> st.SearchStrategy:
    """Values that the limits of a number key let through."""
    limits = f.metadata["limits"]
    low, high = limits.get("at_least", limits.get("above")), limits.get("at_most", limits.get("below"))
    if f.type is int:
        return st.integers(low, high - ("below" in limits) if high is not None else 10**30)
    exclude = {"exclude_min": "above" in limits, "exclude_max": "below" in limits}
    return floats(low, 1.7e308 if high is None else high, **exclude)


def own_files(text: st.SearchStrategy[str]) -> st.SearchStrategy[dict]:
    """Keys of [data] for a file of one's own."""
    return st.fixed_dictionaries(
        {
            "source": text.map("./{}".format) | text.map("a{}.csv".format),
            "target": text | st.integers(-(10**6), 10**6),
            "header": st.sampled_from(["auto", True, False]),
            "categorical": st.lists(text, max_size=3),
            "missing": st.sampled_from(KEYS["data.missing"].metadata["choices"]),
            "validation_source": text,
            "test_source": text,
        }
    )


@st.composite
def configs(draw) -> Config:
    """Any config that load takes."""
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    tables: dict[str, dict] = {section: {} for section in config.SECTIONS}
    for section, cls in config.SECTIONS.items():
        for f in dataclasses.fields(cls):
            if f.type in (int, float):
                tables[section][f.name] = draw(within_limits(f))
            elif f.type is str and f.metadata["choices"]:
                tables[section][f.name] = draw(st.sampled_from(f.metadata["choices"]))
    data, model = tables["data"], tables["model"]
    data["test_size"] = draw(st.integers(1, 10**9) | floats(0, 1, exclude_min=True, exclude_max=True))
    data["validation_size"] = draw(st.integers(0, 10**9) | floats(0, 1, exclude_max=True))
    data["missing"] = "error"
    if draw(st.booleans()):
        data |= {"source": "openml:" + draw(text.filter(lambda name: name and ":" not in name)), "target": draw(text)}
    elif draw(st.booleans()):
        data |= draw(own_files(text))
    if data["source"] not in config.GENERATORS[2:]:
        data |= {"features": 2, "classes": 3}
    if data["source"] not in config.GENERATORS:
        data |= {"samples": 1000, "generator_seed": 0}
    data["noise"] = draw(floats(0, 1, exclude_min=True)) if data["source"] in config.GENERATORS[:-1] else 0.2
    model["hidden"] = draw(st.lists(st.integers(1, 10**6), max_size=4))
    names = st.sampled_from(list(ACTIVATIONS))
    layers = len(model["hidden"])
    model["activation"] = draw(names | st.lists(names, min_size=layers, max_size=layers))
    weights = st.dictionaries(text, floats(0, 10**9), max_size=4)
    tables["train"]["class_weight"] = draw(st.sampled_from(["none", "balanced"]) | weights)
    return Config(**{section: cls(**tables[section]) for section, cls in config.SECTIONS.items()})


@settings(max_examples=200)
@given(configs())
@example(Config(train=config.TrainConfig(class_weight={'"\\': 1e-300, "\0\x7f\x1b\n": 1e9, "🦆 é": 5e-324, "": 0.0})))
@example(Config(data=config.DataConfig(source="a/b.csv", target=-1, header=False, categorical=['"', "é\n"])))
@example(Config(data=config.DataConfig(source='openml:"', target="'''\t\"\"\"\\u0041\u2028\u0085")))
def test_what_dumps_writes_load_reads_back_to_an_equal_config(original):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_bytes(dumps(original).encode())
        again = load(path)
    assert again == original
    assert dumps(again) == dumps(original)


@settings(max_examples=200)
@given(configs())
def test_every_line_that_dumps_writes_is_an_override_that_gives_the_same(original):
    section, overrides = "", []
    for line in dumps(original).split("\n"):
        if line.startswith("["):
            section = line[1:-1]
        elif line:
            overrides.append(f"{section}.{line}")
    assert load(None, overrides) == original


# Anything at all

ANYTHING = st.text(max_size=30)
VALUES = st.one_of(
    ANYTHING,
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["", "[]", "{}", "{a.b=1}", "[[1]]", "0x" + "f" * 5000, '"', "'''", "1979-05-27", "true", "1e400"]),
    st.sampled_from([choice for name in CHOICES for choice in KEYS[name].metadata["choices"]]),
)
NAMES = st.sampled_from([*KEYS, *config.SECTIONS]) | ANYTHING
OVERRIDES = st.lists(ANYTHING | st.builds("{}={}".format, NAMES, VALUES), max_size=4)
LINES = st.one_of(
    ANYTHING,
    st.sampled_from([f"[{section}]" for section in config.SECTIONS]),
    st.builds("{} = {}".format, NAMES.map(lambda name: name.rpartition(".")[2]), VALUES),
)


def check_answer(path: Path | None, overrides: list[str]) -> None:
    """Either a config that holds what it says, or one line of complaint."""
    try:
        loaded = load(path, overrides)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(math.isfinite(value) for value in vars(loaded.optimizer).values() if isinstance(value, float))
        dumps(loaded)


@settings(max_examples=200)
@given(OVERRIDES)
def test_any_overrides_give_a_config_or_one_line(overrides):
    check_answer(None, overrides)


@settings(max_examples=200)
@given(st.lists(LINES, max_size=8).map("\n".join).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_text_in_a_file_gives_a_config_or_one_line(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_bytes(content)
        check_answer(path, [])


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_in_a_file_give_a_config_or_one_line(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_bytes(content)
        check_answer(path, [])
