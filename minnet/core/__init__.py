"""The net and its backprop, in NumPy alone. Read the five files in this order:

    softmax.py      the heart: softmax, its Jacobian, the product with it, cross-entropy, p - y
    activations.py  each activation beside its derivative
    network.py      the MLP: one flat parameter vector, forward and backward side by side
    optimizers.py   SGD, momentum, Nesterov, Adam, AdamW; clipping; learning-rate schedules
    gradcheck.py    complex-step and central differences

Notation. For these things the code uses these names and no others:

    name           shape              meaning
    N, D, K                           rows in the batch, input features, classes
    X              (N, D)             inputs, one row a sample
    W, b           (n_in, n_out), (n_out,)   one layer's weights and bias
    a              (N, n_out)         pre-activation h @ W + b
    h              (N, n_out)         activation; the first layer's h is X
    X1, h1         (N, n + 1)         X or h with a last column of ones
    Wb             (n_in + 1, n_out)  W above b, so that h1 @ Wb = h @ W + b
    z              (N, K)             logits: the last layer's a
    p              (N, K)             softmax(z)
    y, Y           (N,), (N, K)       labels 0..K-1; their one-hot or soft form, rows summing to 1
    r              (N, 1)             each row's share of the mean: 1/N, or w / sum(w) with row weights w
    L              scalar             mean cross-entropy over the batch, sum(r * loss of the row)
    dlogp          (N, K)             dL/dlog p = -r Y, where the backward pass starts
    dp, dz, dh...  as p, z, h...      dL/dp, dL/dz, dL/dh... always of the mean loss
    theta, dtheta  (P,)               all parameters and their gradient, flat; W, b, dW, db are views
"""
