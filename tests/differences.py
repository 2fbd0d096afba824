"""The gradient of a net, measured by differences of the line that a training step runs."""

import numpy as np

from minnet.core.gradcheck import complex_step


def measured_gradient(net, X, y, w=None, rng_seed=None, measure=complex_step, entries=None):
    """dtheta, or its `entries`; of members, that of their sum. `rng_seed` is that of the masks."""
    probe = net.astype(np.complex128 if measure is complex_step else np.float64)
    rng = None if rng_seed is None else np.random.default_rng(rng_seed)
    X, T, tape = probe.prepare(X, y, w, rng)

    def L(theta):
        probe.theta.reshape(-1)[:] = theta
        return np.sum(probe.loss(X, T, tape))

    return measure(L, net.theta.ravel().astype(np.float64), entries=entries)
