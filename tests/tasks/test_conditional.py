"""Runs with condition=label: what their folders hold, and every task on them."""

import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from tqdm import tqdm

from src import build
from src.config.choices import choices
from src.config.options import check_run
from src.evaluation import samplers
from src.evaluation.labels import SAMPLES, infer_labels, log_likelihoods, log_prior
from src.inference.labels import log_marginal
from src.run.trace import Trace
from src.support.errors import UserError
from src.support.noise import Noise
from src.support.statistics import flatten
from src.tasks.anomaly.scores import SCORES, evaluate_scores, make_scores, negative_elbo
from src.tasks.conditional import mark_conditional
from src.tasks.inpaint import inpaint
from src.tasks.interpolate import interpolate
from src.tasks.own_images import examples
from src.tasks.synthesize.generator import make_images
from src.tasks.traverse import traverse
from tests.helpers.runs import identical, train_run, weights

OPTIONS = ["condition=label", "data.batch_size=16", "trainer.max_epochs=3", "callbacks=default"]
OPTIONS += [
    "~callbacks.pictures",
    "~callbacks.progress",
    "callbacks.recorder.images=20",
    "callbacks.recorder.samples=5",
]
OF_TEST = (None, "auto", "auto", False)  # no images of a user's own
CLASSES = ["0", "1", "2", "3"]


@pytest.fixture(scope="module")
def conditional(small, tmp_path_factory):
    options = [each for each in small if each.partition("=")[0] not in ("callbacks", "trainer.max_epochs")]
    options = [each for each in options if not each.startswith("data.batch_size")]
    return train_run([*options, *OPTIONS], tmp_path_factory.mktemp("conditional") / "run")


@pytest.fixture(scope="module")
def opened(conditional):
    return build.open_run(conditional)


def test_a_run_keeps_its_labels_and_says_what_it_measures(conditional):
    assert OmegaConf.load(conditional / "config.yaml").condition.labels == CLASSES
    assert json.loads((conditional / "metrics.json").read_text())["condition"] == "label"
    vae = build.load(conditional)
    assert vae.condition.labels == tuple(CLASSES)
    assert vae.given(torch.tensor([3, 0])).sample(2).shape == (2, 1, 28, 28)
    assert "condition=label" in OmegaConf.load(conditional / "config.yaml").title


def test_samples_of_a_training_are_equally_many_of_each_class(conditional):
    trace = Trace.load(conditional / "figures" / "trace.npz")
    assert trace.fixed["samples_labels"].tolist() == sorted(6 * [0, 1, 2, 3])
    assert trace.frames["samples_mean"].shape[1] == 24


@pytest.mark.slow
def test_a_run_that_is_resumed_has_the_weights_of_one_that_was_not(run, resume, tmp_path):
    options = ("condition=label", "condition.prior=gaussian")
    straight = run(*options, "trainer.max_epochs=3", "lr_schedule=constant", folder="straight")
    cut = run(*options, "trainer.max_epochs=2", "lr_schedule=constant", folder="cut")
    assert identical(weights(resume(cut, "trainer.max_epochs=3")), weights(straight))


def test_images_without_labels_are_refused(run, tmp_path):
    np.savez(tmp_path / "plain.npz", images=np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8))
    with pytest.raises(UserError, match="condition=label needs images of two classes or more, and npz has no labels"):
        run("condition=label", f"data.path={tmp_path}/plain.npz", "data.shape=[1,8,8]")
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("network", sorted(choices("model")))
def test_every_network_takes_labels(composed, network):
    """A step on noise trains both networks and the condition, and the encoder's first layer sees one channel more."""
    cfg = composed(f"model={network}", "condition=label", "condition.labels=[a,b,c]")
    vae = build.module(cfg, []).vae
    y = torch.tensor([0, 2])
    terms = vae.given(y).draw(torch.rand(2, 1, 28, 28).round(), torch.randn(1, 2, vae.latent_dim))
    (terms.recon() + terms.kl("closed")).sum().backward()
    assert vae.condition.images.grad[y].flatten(1).any(1).all()
    other = vae.given(y.flip(0)).decode(terms.z).mean
    assert not torch.equal(other, terms.px.mean)


@pytest.mark.parametrize("own", ["gaussian", "flow"])
def test_a_prior_that_would_be_ignored_is_refused(composed, own):
    with pytest.raises(UserError, match=f"condition.prior={own} replaces prior=vamp, which would be ignored"):
        check_run(composed("condition=label", f"condition.prior={own}", "prior=vamp"))
    cfg = composed("condition=label", "prior=vamp")
    check_run(cfg)
    assert " prior=vamp condition=label on " in cfg.title
    assert f" condition=label condition.prior={own} on " in composed("condition=label", f"condition.prior={own}").title


def test_all_classes_but_one_excluded_are_refused(run):
    with pytest.raises(UserError, match="condition=label needs training images of two classes or more"):
        run("condition=label", "data.exclude_labels=[0,1,2]")


def test_labels_of_other_images_are_refused(run):
    with pytest.raises(UserError, match=r"condition.labels are 3 names, but \w+ has 4 classes: leave it out"):
        run("condition=label", "condition.labels=[a,b,c]")


def test_an_evaluation_names_what_is_given_the_label(applied, conditional, opened):
    few = ("task.samples=20", "task.tight_images=5", "task.images=30", "task.sample_quality=false")
    numbers = flatten(applied(conditional, "task=evaluate", *few)[0])
    assert not {"elbo", "recon", "kl", "nll_20", "nll_tight"} & set(numbers)
    assert {"elbo_given_label", "nll_20_given_label", "nll_tight_given_label", "bayes_accuracy"} <= set(numbers)
    labels, log_py = opened.data.test.labels[:30], log_prior(opened).numpy()
    expected = numbers["elbo_given_label"] + log_py[labels].mean()
    assert numbers["elbo_joint"] == pytest.approx(expected, abs=1e-9)
    log_px = log_likelihoods(opened, opened.data.test.take(slice(30)))
    marginal = log_marginal(log_px, log_prior(opened))
    assert numbers[f"nll_{SAMPLES}_any_label"] == pytest.approx(float(-marginal.mean()), abs=1e-9)
    guessed = (log_px.numpy() + log_py[:, None]).argmax(0)
    assert numbers["bayes_accuracy"] == pytest.approx((guessed == labels).mean())
    assert numbers["bayes_accuracy"] > 0.5
    assert np.array_equal(infer_labels(opened, opened.data.test.images[:30]), guessed)


def test_numbers_of_p_of_x_given_y_are_named_so(opened, finished):
    names = ["elbo", "recon", "kl", "nll_1000", "nll_tight", "nll_1000_same", "nll_tight_below", "bits_per_dim_elbo"]
    names += ["nll", "nats_saved", "fade_minus_linear"]
    others = ["images", "effective_samples", "nll_tight_effective_samples", "ssim", "aggregate_kl_at_most"]
    others += ["nll_mean_fill"]
    numbers = dict.fromkeys([*names, *others], 0.0)
    marked = mark_conditional(opened, {"row": numbers})["row"]
    assert list(marked) == [*(f"{name}_given_label" for name in names), *others]
    assert mark_conditional(build.open_run(finished), {"row": numbers}) == {"row": numbers}


def test_anomaly_scores_use_no_label_of_an_image(opened):
    """Each is that of log p(x) = log sum_y p(y) p(x|y), so that images need no labels."""
    images, log_py = opened.data.test.images[:6], log_prior(opened)
    scores = make_scores(SCORES, 10, 3)
    with tqdm(disable=True) as bar:
        found = evaluate_scores(opened, images, scores, bar)
    batch = next(iter(opened.batches(opened.data.test.take(slice(6)))))
    costs = {
        name: torch.stack(
            [
                scores[name](opened.vae, batch._replace(y=torch.full_like(batch.y, y)), Noise(0)).double()
                for y in range(4)
            ]
        ).detach()
        for name in ("-elbo", "nll", "recon", "kl", "regret")
    }
    bound = log_marginal(-costs["-elbo"], log_py)
    shares = (-costs["-elbo"] + log_py[:, None] - bound).exp()
    np.testing.assert_allclose(found["-elbo"], -bound, rtol=1e-9)
    np.testing.assert_allclose(found["nll"], -log_marginal(-costs["nll"], log_py), rtol=1e-9)
    refined = log_marginal(costs["regret"] - costs["-elbo"], log_py)
    np.testing.assert_allclose(found["regret"], refined - bound, rtol=1e-6, atol=1e-6)
    for name in ("recon", "kl"):
        np.testing.assert_allclose(found[name], (shares * costs[name]).sum(0), rtol=1e-9)
    own = negative_elbo(opened.vae, batch, Noise(0)).double().detach() - log_py[batch.y]
    assert (torch.from_numpy(found["-elbo"]) <= own + 1e-9).all()  # p(x) is at least p(x, y)


def test_own_images_are_given_the_likeliest_label(opened, tmp_path):
    for i in range(3):
        Image.fromarray(opened.data.source.test.images[i, 0]).save(tmp_path / f"{i}.png")
    own = examples(opened, str(tmp_path), False, 255)
    assert np.array_equal(own.split.labels, infer_labels(opened, own.split.images))


def test_samples_are_a_row_for_each_class(applied, conditional):
    _, results = applied(conditional, "task=sample", "task.count=10", "task.compare=false", "task.samplers=[prior,gmm]")
    with np.load(results / "samples.npz") as made:
        assert made["labels"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
        assert made["means"].shape == (10, 1, 28, 28)
    assert {"samples.png", "styles.png", "transfer.png"} <= {path.name for path in results.iterdir()}


def test_fitted_samplers_know_the_labels(opened):
    """Codes of a label are where the posteriors of its images are, whatever the sampler."""
    y = torch.arange(400) % 4
    made = samplers.make_samplers(opened, ["gmm", "aggregate"])
    codes, given = samplers.codes(opened), torch.from_numpy(opened.train.labels)
    each = len(codes) // len(given)
    given = torch.cat([batch.y.repeat(each) for batch in opened.batches(opened.train)])
    torch.manual_seed(0)
    for sampler in made.values():
        z = sampler(y)
        for label in range(4):
            torch.testing.assert_close(z[y == label].mean(0), codes[given == label].mean(0), atol=0.45, rtol=0)


def test_synthetic_images_come_from_the_prior_given_each_label(opened):
    made = make_images(opened.vae, opened.data.source.train, opened.data.pixels, 3, seed=0)
    assert made.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    more = make_images(opened.vae, opened.data.source.train, opened.data.pixels, 5, seed=0)
    assert np.array_equal(more.images[[0, 1, 2]], made.images[:3])


def test_an_exported_model_takes_labels(applied, conditional, opened):
    onnxruntime = pytest.importorskip("onnxruntime")
    _, results = applied(conditional, "task=export")
    session = onnxruntime.InferenceSession(str(results / "decoder.onnx"), providers=["CPUExecutionProvider"])
    z, y = torch.randn(5, 3), torch.tensor([0, 3, 1, 1, 2])
    (mean,) = session.run(None, {"codes": z.numpy(), "labels": y.numpy()})
    np.testing.assert_allclose(mean, opened.vae.given(y).decode(z).mean.detach(), atol=1e-5)
    assert "0, 1, 2, 3" in session.get_modelmeta().custom_metadata_map["labels"]


def test_a_comparison_with_a_model_of_p_of_x_is_refused(applied, conditional, finished):
    with pytest.raises(UserError, match=r"can't be compared: condition is label of run, none of other"):
        applied(conditional, "task=compare", f"task.other={finished}")
    numbers, _ = applied(conditional, "task=compare", f"task.other={conditional}", "task.count=2")
    assert flatten(numbers)["elbo_given_label/difference"] == 0


TASKS = {
    "interpolate": lambda run, folder: interpolate(run, folder, 1, [[0, 1]], 3, "linear", *OF_TEST),
    "traverse": lambda run, folder: traverse(run, folder, 0, 2, 1, *OF_TEST),
    "inpaint": lambda run, folder: inpaint(run, folder, "half", 2, 10, 3, *OF_TEST),
}


@pytest.mark.parametrize("task", TASKS)
def test_pictures_of_single_images_are_of_their_labels(task, opened, tmp_path):
    assert TASKS[task](opened, tmp_path)
    assert list(tmp_path.glob("*.png"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        ("task=diagnose", "task.count=10", "task.samples=10", "task.steps=3", "task.simulations=100"),
        ("task=anomaly", "task.images=20", "task.against=flip_vertical", "task.samples=10", "task.steps=3"),
        ("task=synthesize", "task.per_class=5", "task.judge=false"),
        ("task=evaluate", "task.samples=10", "task.images=20"),
        ("task=sample", "task.count=10"),
        ("task=traverse",),
        ("task=interpolate", "task.pairs=1"),
        ("task=inpaint", "task.images=3", "task.samples=10"),
        ("task=export",),
    ],
    ids=lambda task: task[0],
)
def test_every_task_takes_a_prior_of_each_label(task, run, applied):
    folder = run(
        "condition=label", "condition.prior=gaussian", "latent_dim=2", "data.batch_size=16", "trainer.max_epochs=4"
    )
    assert applied(folder, *task)[0]
