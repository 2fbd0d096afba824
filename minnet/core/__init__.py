"""The net and its backprop, in NumPy alone. Read the five files in this order:

    softmax.py      softmax, its Jacobian, the product with it, cross-entropy, p - y
    activations.py  each activation beside its derivative
    network.py      the MLP: one flat parameter vector, forward and backward side by side
    optimizers.py   SGD to AdamW, clipping, learning-rate schedules
    gradcheck.py    complex-step and central differences

Notation. The code uses these names for these things and no others:

    name           shape                     meaning
    N, D, K, M                               rows in the batch, input features, classes, members
    X              (N, D)                    inputs, one row a sample
    W, b           (n_in, n_out), (n_out,)   one layer's weights and bias
    a              (N, n_out)                pre-activation h @ W + b
    h              (N, n_out)                activation; the first layer's h is X
    Wb, h1         (n_in + 1, n_out), ...    [W; b], and h with a last column of ones
    z              (N, K)                    logits: the last layer's a
    p              (N, K)                    softmax(z)
    y, Y           (N,), (N, K)              labels 0..K-1; their one-hot or soft form
    r              (N, 1)                    each row's share of the mean: 1/N, or w / sum(w)
    T              (N, K)                    r Y
    L              scalar                    mean cross-entropy over the batch, -<T, log p>
    J              (K, K)                    the Jacobian of softmax, J_ik = dp_i/dz_k
    dp, dz, dh...  as p, z, h...             dL/dp, dL/dz, dL/dh... always of the mean loss
    theta, dtheta  (P,)                      all parameters and their gradient; W, b, ... are views

A comment `# (7)` numbers a step. Training executes every one of them, and `minnet study` prints it.
"""
