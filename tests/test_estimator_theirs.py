"""scikit-learn's own tests of its MLPClassifier, run on minnet's."""

import importlib
from unittest import mock

import pytest

from minnet import MLPClassifier

EXCLUDED = {
    "is of the regressor alone": """test_lbfgs_regression test_lbfgs_regression_maxfun
        test_multioutput_regression test_partial_fit_regression test_nonfinite_params test_shuffle
        test_mlp_regressor_dtypes_casting test_mlp_loading_from_joblib_partial_fit
        test_mlp_diverging_loss test_mlp_sample_weight_with_early_stopping
        test_mlp_vs_poisson_glm_equivalent test_minimum_input_sample_size""",
    "touches private names": """test_fit test_gradient test_learning_rate_warmstart
        test_adaptive_learning_rate""",
    "has more than one label a row": """test_multilabel_classification
        test_predict_proba_multilabel""",
}
NAMES = {name for names in EXCLUDED.values() for name in names.split()}

with mock.patch("sklearn.neural_network.MLPClassifier", MLPClassifier):
    theirs = importlib.import_module("sklearn.neural_network.tests.test_mlp")
tests = {name: test for name, test in vars(theirs).items() if name.startswith("test_")}
globals().update({name: test for name, test in tests.items() if name not in NAMES})

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_these_are_their_tests_on_our_class():
    assert theirs.MLPClassifier is MLPClassifier
    assert tests.keys() >= NAMES
    assert len(tests.keys() - NAMES) >= 24  # of scikit-learn 1.7; 1.9 has more
