"""Batches: every row once an epoch, in a new order, with its target and its share of the mean."""

from math import ceil

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from minnet import batches as module
from minnet.batches import Batches, Part
from minnet.core.network import MLP


def numbered(N, K=3, sparse=False):
    """A part whose first column numbers its rows from 1, so that a sparse one stores it too."""
    X1 = np.column_stack([np.arange(1, N + 1), np.arange(N) % 2, np.ones(N)]).astype(np.float32)
    return Part(sp.csr_array(X1[:, :-1]) if sparse else X1, np.arange(N) % K)


def copies(batches, seed=0):
    """X1, dlogp, r and w of each batch of an epoch."""

    def dense(X1):
        return X1.toarray() if sp.issparse(X1) else X1.copy()

    rng = np.random.default_rng(seed)
    return [
        (dense(batch.X1), batch.dlogp.copy(), batch.r.copy(), batch.w)
        for batch in batches.epoch(rng.permutation(batches.N))
    ]


def rows_of(X1):
    """Their numbers, from 0."""
    return X1[:, 0].astype(int) - 1


def order(epoch):
    return np.concatenate([rows_of(X1) for X1, *_ in epoch])


def in_chunks(chunk, part, net, batch_size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", chunk[0])
        patch.setattr(module, "CHUNK_BATCHES", chunk[1])
        return Batches(part, net, batch_size)


def assert_same(epoch, other):
    assert len(epoch) == len(other)
    for batch, twin in zip(epoch, other, strict=True):
        for array, of_twin in zip(batch, twin, strict=True):
            np.testing.assert_array_equal(array, of_twin)


batch_tasks = given(
    N=st.integers(1, 40), batch_size=st.integers(1, 45), chunk=st.tuples(st.integers(1, 3000), st.integers(1, 9))
)


@settings(max_examples=40)
@batch_tasks
def test_an_epoch_holds_every_row_once_with_its_label(N, batch_size, chunk):
    part, net = numbered(N), MLP([2, 3])
    batches = in_chunks(chunk, part, net, batch_size)
    for seed in range(3):
        epoch = copies(batches, seed)
        rows = order(epoch)
        np.testing.assert_array_equal(np.sort(rows), np.arange(N))
        np.testing.assert_array_equal(np.concatenate([X1 for X1, *_ in epoch]), part.X1[rows])
        for X1, dlogp, r, _ in epoch:
            np.testing.assert_array_equal(dlogp, -r * np.eye(3)[part.y[rows_of(X1)]])


@settings(max_examples=40)
@batch_tasks
def test_batches_are_of_batch_size_and_the_last_is_what_is_left(N, batch_size, chunk):
    batches = in_chunks(chunk, numbered(N), MLP([2, 3]), batch_size)
    epoch = copies(batches)
    sizes = [len(X1) for X1, *_ in epoch]
    assert sizes == [len(dlogp) for _, dlogp, *_ in epoch] == [len(r) for *_, r, _ in epoch]
    n = min(batch_size, N)
    assert sizes == [n] * (N // n) + ([N % n] if N % n else [])
    assert batches.steps == len(sizes) == ceil(N / n)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_batch_size_beyond_the_rows_means_all_rows_and_no_larger_buffers(sparse):
    batches = Batches(numbered(7, sparse=sparse), MLP([2, 3]), 10**12)
    assert batches.steps == 1 and batches.S * batches.n == 7
    assert sorted(order(copies(batches))) == list(range(7))


@settings(max_examples=40)
@batch_tasks
def test_several_chunks_give_the_batches_of_one(N, batch_size, chunk):
    part, net = numbered(N), MLP([2, 3], class_weight=[1, 2, 0.5], label_smoothing=0.1)
    assert_same(copies(in_chunks(chunk, part, net, batch_size)), copies(Batches(part, net, batch_size)))


@settings(max_examples=40)
@batch_tasks
def test_a_chunk_is_of_whole_batches_and_keeps_to_its_limits_unless_it_is_one_batch(N, batch_size, chunk):
    for sparse in (False, True):
        batches = in_chunks(chunk, numbered(N, sparse=sparse), MLP([2, 3]), batch_size)
        part = numbered(N, sparse=sparse)
        X_bytes = (part.X1.data.nbytes + part.X1.indices.nbytes) / N if sparse else 3 * 4
        n, row_bytes = min(batch_size, N), 4 * 2 * 3 + X_bytes
        assert n <= batches.S * n <= max(n, min(int(chunk[0] / row_bytes), chunk[1] * n))


def test_without_limits_that_matter_a_chunk_is_the_whole_part():
    made = [Batches(numbered(N), MLP([2, 3]), 4) for N in (40, 41, 3)]
    chunks = [batches.S * batches.n for batches in made]
    assert chunks == [40, 44, 3]


def test_batches_are_views_of_the_same_buffers_in_every_chunk_and_epoch():
    batches = in_chunks((300, 9), numbered(40), MLP([2, 3]), 4)
    assert 4 <= batches.S * batches.n < 20
    buffers = (batches.X1, batches.full.dlogp, batches.full.r, batches.full.z)
    for _ in range(2):
        for batch in batches.epoch(np.random.default_rng(0).permutation(batches.N)):
            views = (batch.X1, batch.dlogp, batch.r, batch.z)
            assert all(np.shares_memory(*pair) for pair in zip(views, buffers, strict=True))
            assert batch.dlogp.flags.f_contiguous and batch.z.flags.f_contiguous  # by columns, as in the workspace
            assert {array.dtype for array in views} == {np.dtype("float32")}


@settings(max_examples=40)
@batch_tasks
def test_sparse_batches_are_those_of_the_same_dense_rows(N, batch_size, chunk):
    net = MLP([2, 3], class_weight=[1, 2, 0.5])
    dense = copies(Batches(numbered(N), net, batch_size))
    sparse = copies(in_chunks(chunk, numbered(N, sparse=True), net, batch_size))
    assert_same(sparse, [(X1[:, :-1], *rest) for X1, *rest in dense])


@pytest.mark.parametrize("sparse", [False, True])
def test_each_epoch_has_a_new_order_and_the_seed_decides_it(sparse):
    net, part, rng = MLP([2, 3]), numbered(50, sparse=sparse), np.random.default_rng(1)
    first, second = (copies(batches, rng) for batches in [Batches(part, net, 8)] * 2)
    assert len({tuple(order(epoch)) for epoch in (first, second)} | {tuple(range(50))}) == 3
    assert_same(copies(Batches(part, net, 8), seed=1), first)


@settings(max_examples=40)
@batch_tasks
def test_the_shares_of_a_batch_sum_to_1(N, batch_size, chunk):
    for weights in (None, [1, 2, 0.5]):
        batches = in_chunks(chunk, numbered(N), MLP([2, 3], class_weight=weights), batch_size)
        for X1, dlogp, r, w in copies(batches):
            of_rows = np.array(weights or [1, 1, 1])[rows_of(X1) % 3]  # row k is of class k % 3
            assert r.shape == (len(X1), 1) and r.sum() == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(dlogp.sum(axis=1), -r[:, 0], rtol=1e-6)
            np.testing.assert_allclose(r[:, 0], of_rows / of_rows.sum(), rtol=1e-6)
            assert w == pytest.approx(of_rows.sum())


def test_a_batch_without_weight_has_shares_of_0():
    batches = Batches(numbered(9), MLP([2, 3], class_weight=[0, 0, 2]), 1)
    for X1, dlogp, r, w in copies(batches):
        assert (r.item(), w) == ((1, 2) if rows_of(X1) % 3 == 2 else (0, 0))
        assert dlogp.tolist() == ([[0, 0, -1]] if w else [[0, 0, 0]])


def test_targets_are_smoothed():
    for X1, dlogp, r, _ in copies(Batches(numbered(9), MLP([2, 3], label_smoothing=0.3), 4)):
        np.testing.assert_allclose(dlogp, -r * (0.7 * np.eye(3)[rows_of(X1) % 3] + 0.1), rtol=1e-6)


@settings(max_examples=40)
@batch_tasks
def test_correct_counts_the_rows_that_were_predicted_right(N, batch_size, chunk):
    for sparse in (False, True):
        batches = in_chunks(chunk, numbered(N, sparse=sparse), MLP([2, 3]), batch_size)
        for right in (N // 2, N):
            for batch in batches.epoch(np.random.default_rng(0).permutation(batches.N)):
                row = rows_of(batch.X1.toarray() if sparse else batch.X1)
                batch.z[:] = np.eye(3)[(row + (row >= right)) % 3]  # row k is of class k % 3
            assert batches.correct(batches.steps) == right


@settings(max_examples=40)
@batch_tasks
def test_an_epoch_can_go_on_where_it_stopped(N, batch_size, chunk):
    for sparse in (False, True):
        batches = in_chunks(chunk, numbered(N, sparse=sparse), MLP([2, 3]), batch_size)
        order = np.random.default_rng(0).permutation(N)
        whole = list(predicted(batches.epoch(order), sparse, N // 2))
        for done in {0, 1, batches.steps // 2, batches.steps - 1}:
            before = batches.epoch(order)
            for _, _ in zip(range(done), predicted(before, sparse, N // 2), strict=False):
                pass
            correct = batches.correct(done) if done else 0
            again = in_chunks(chunk, numbered(N, sparse=sparse), MLP([2, 3]), batch_size)
            assert list(predicted(again.epoch(order, done, correct), sparse, N // 2)) == whole[done:]
            assert again.correct(again.steps) == N // 2


def predicted(epoch, sparse, right):
    """The rows of each batch of an epoch; in each, logits are left that are right for the rows below `right`."""
    for batch in epoch:
        row = rows_of(batch.X1.toarray() if sparse else batch.X1)
        batch.z[:] = np.eye(3)[(row + (row >= right)) % 3]
        yield row.tolist()


def test_a_batch_is_what_the_net_takes():
    net, part = MLP([2, 4, 3]), numbered(10)
    for batch in Batches(part, net, 4).epoch(np.random.default_rng(0).permutation(10)):
        net.forward(batch.X1, batch.ws)
        loss = net.loss(batch.dlogp, batch.r, batch.ws)
        dtheta = net.backward(batch.dlogp, batch.ws)
        expected = net.loss_and_gradient(batch.X1[:, :-1], part.y[rows_of(batch.X1)])
        assert loss == pytest.approx(expected[0])
        np.testing.assert_allclose(dtheta, expected[1], rtol=1e-5, atol=1e-6)
