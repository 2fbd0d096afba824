"""A net on single numbers, each of which remembers what it was made of: how micrograd works, written anew here."""

import math


class Value:
    """A number, and how its gradient reaches the numbers that it was made of."""

    __slots__ = ("grad", "parents", "slopes", "x")

    def __init__(self, x, parents=(), slopes=()):
        self.x, self.grad, self.parents, self.slopes = x, 0.0, parents, slopes

    def __add__(self, other):
        return Value(self.x + other.x, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return Value(self.x * other.x, (self, other), (other.x, self.x))

    def relu(self):
        """max(x, 0)"""
        return Value(max(self.x, 0.0), (self,), (float(self.x > 0),))

    def exp(self):
        """e to the x"""
        e = math.exp(self.x)
        return Value(e, (self,), (e,))

    def log(self):
        """The natural logarithm."""
        return Value(math.log(self.x), (self,), (1 / self.x,))

    def backward(self):
        """The gradient of this number in each of its ancestors."""
        order, seen, stack = [], set(), [(self, False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack.extend((parent, False) for parent in node.parents)
        self.grad = 1.0
        for node in reversed(order):
            for parent, slope in zip(node.parents, node.slopes, strict=True):
                parent.grad += slope * node.grad


def layer(h, W, b):
    """h @ W + b, number by number."""
    outputs = []
    for k in range(len(b)):
        total = b[k]
        for i, x in enumerate(h):
            total = total + x * W[i][k]
        outputs.append(total)
    return outputs


def cross_entropy(z, y):
    """log sum exp(z) - z_y, after the largest is taken off."""
    shift = Value(-max(value.x for value in z))
    shifted = [value + shift for value in z]
    exps = [value.exp() for value in shifted]
    total = exps[0]
    for e in exps[1:]:
        total = total + e
    return total.log() + shifted[y] * Value(-1.0)


def train(X, y, weights, batches, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Adam, on batches of rows; returns the weights as lists of floats."""
    net = [([[Value(w) for w in row] for row in W.tolist()], [Value(v) for v in b.tolist()]) for W, b in weights]
    parameters = [v for W, b in net for v in [*(w for row in W for w in row), *b]]
    m, v = [0.0] * len(parameters), [0.0] * len(parameters)
    for t, rows in enumerate(batches, start=1):
        total = Value(0.0)
        for n in rows:
            h = [Value(x) for x in X[n].tolist()]
            for l, (W, b) in enumerate(net):
                h = layer(h, W, b)
                if l < len(net) - 1:
                    h = [a.relu() for a in h]
            total = total + cross_entropy(h, int(y[n]))
        for parameter in parameters:
            parameter.grad = 0.0
        (total * Value(1 / len(rows))).backward()
        for i, parameter in enumerate(parameters):
            m[i] = beta1 * m[i] + (1 - beta1) * parameter.grad
            v[i] = beta2 * v[i] + (1 - beta2) * parameter.grad**2
            step = m[i] / (1 - beta1**t) / (math.sqrt(v[i] / (1 - beta2**t)) + epsilon)
            parameter.x -= rate * step
    return [([[w.x for w in row] for row in W], [value.x for value in b]) for W, b in net]
