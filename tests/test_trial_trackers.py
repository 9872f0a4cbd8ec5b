"""The workspaces of many trials in one TensorBoard, read back with its own reader."""

import json

import pytest

pytest.importorskip("tensorboard")

TRIALS = {"cnn-0000": ("cnn", 0.001), "cnn-0001": ("cnn", 0.1), "mlp-0000": ("mlp", 0.001)}


def train_all(folder):
    """A small training for each trial, in the places that a search gives them; its results by name."""
    from modelcmp.training.config_file import make_config
    from modelcmp.training.run import train

    results = {}
    for name, (model, lr) in TRIALS.items():
        config = make_config({
            "models": [{"name": model, "kwargs": {"hidden": 4}}], "data": {"name": "digits", "kwargs": {"size": 8}},
            "epochs": 2, "batch_size": 256, "lr": lr, "threads": 1, "trackers": ["tensorboard"],
            "workspace": str(folder / "runs" / name),
        })  # fmt: skip
        (results[name],) = train(config).results
    return results


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep-x")
    return folder, train_all(folder)


def opened(folder):
    """What `tensorboard --logdir FOLDER` reads."""
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

    boards = EventMultiplexer()
    boards.AddRunsFromDirectory(str(folder))
    boards.Reload()
    return boards


def scalar_runs(boards):
    return {name for name in boards.Runs() if scalar_tags(boards, name)}


def scalar_tags(boards, run):
    return set(boards.PluginRunToTagToContent("scalars").get(run, {}))


def values(boards, run, tag):
    return [(e.step, float(e.tensor_proto.float_val[0])) for e in boards.Tensors(run, tag)]


def test_each_trial_and_track_is_a_run_with_a_name_of_its_own(sweep):
    folder, _ = sweep
    names = {
        f"runs/{trial}/comparison-{model}/tensorboard/{track}"
        for trial, (model, _) in TRIALS.items()
        for track in ("train", "val", "metrics")
    }
    boards = opened(folder)
    assert scalar_runs(boards) == names
    for name in names:
        track = name.rpartition("/")[2]
        assert {f"{track}/epoch"} < scalar_tags(boards, name)
        assert all(tag.startswith(f"{track}/") for tag in scalar_tags(boards, name))


def test_the_curves_are_those_of_the_results(sweep):
    folder, _ = sweep
    boards = opened(folder)
    for trial, (model, _) in TRIALS.items():
        session = folder / "runs" / trial / f"comparison-{model}"
        history = json.loads((session / "result.json").read_text("utf-8"))["history"]
        for key in ("train_loss", "val_loss", "val_accuracy"):
            seen = values(boards, f"runs/{trial}/comparison-{model}/tensorboard/metrics", f"metrics/{key}")
            assert [value for _, value in seen] == pytest.approx([row[key] for row in history], rel=1e-6)


def test_the_hyperparameters_are_in_the_hparams_tab(sweep):
    """As TensorBoard's own plugin groups them: a session for each trial, with what was varied and how it went."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    folder, _ = sweep
    context = backend_context.Context(TBContext(data_provider=MultiplexerDataProvider(opened(folder), str(folder))))
    asked = api_pb2.ListSessionGroupsRequest(
        slice_size=10, allowed_statuses=[api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_RUNNING, api_pb2.STATUS_SUCCESS]
    )
    experiment = context.experiment_from_metadata(
        RequestContext(), "", True, context.hparams_metadata(RequestContext(), ""), []
    )
    found = list_session_groups.Handler(RequestContext(), context, "", asked).run()
    groups = {group.sessions[0].name: group for group in found.session_groups}
    rates = {name: group.hparams["config.optimizer.lr"].number_value for name, group in groups.items()}
    assert rates == {f"runs/{trial}/comparison-{model}/tensorboard": lr for trial, (model, lr) in TRIALS.items()}
    metrics = {(m.name.group, m.name.tag) for m in experiment.metric_infos}
    assert ("metrics", "metrics/val_loss") in metrics
    varied = {info.name for info in experiment.hparam_infos if info.differs}
    assert {"architecture", "config.optimizer.lr"} <= varied


def test_one_logdir_for_all_trials_keeps_them_apart(sweep, tmp_path):
    from modelcmp.tracking.exporters import exporter
    from modelcmp.tracking.replay import replay

    folder, _ = sweep
    for trial, (model, _) in TRIALS.items():
        replay(folder / "runs" / trial / f"comparison-{model}", [exporter("tensorboard", logdir=tmp_path)])
    names = {f"{trial}/comparison-{model}/val" for trial, (model, _) in TRIALS.items()}
    assert {name for name in scalar_runs(opened(tmp_path)) if name.endswith("/val")} == names
