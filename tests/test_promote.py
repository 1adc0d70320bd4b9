"""The command `python -m src.promote`: exit codes and mistakes, and processes that promote at the same moment."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from src.cli import parser_command
from src.comparison.champion import promote
from src.promote import parser, run
from src.tracking.champion import RegisteredModel

Register = Callable[..., str]

main = parser_command(run, parser())


@pytest.fixture
def store(register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_the_exit_code_says_whether_the_model_is_champion(
    store: str, register: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, noise in (("noisy", 0.6), ("sharp", 0.2)):
        register(name, noise)
    shown = []
    for arguments, code in (("sharp", 0), ("sharp", 0), ("noisy", 1), ("noisy --force", 2)):
        with pytest.raises(SystemExit) as left:
            main([*arguments.split(), "--uri", store])
        assert left.value.code == code, arguments
        shown.append(" ".join("".join(capsys.readouterr()).split()))
    assert shown[0] == "version 2 is champion: the first champion of tiny"
    assert shown[1] == "version 2 is champion already"
    assert shown[2].startswith("version 1 stays a candidate: Spearman -")
    assert "--force: expected one argument" in shown[3]
    with pytest.raises(SystemExit) as left:
        main(["noisy", "--uri", store, "--force", "for the demonstration"])
    assert left.value.code == 0
    assert "version 1 is champion: forced over version 2, for the demonstration" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing: expected an experiment folder, or a run, an experiment or a models:/ address in"),
        (["models:/tiny@champion"], "found: Registered Model with name=tiny not found"),
        (["one", "--force", ""], "--force: expected the reason, found an empty one"),
        (["one", "--uri", "nowhere"], "--uri must be sqlite:///PATH or http(s)://HOST:PORT"),
        ([], "the following arguments are required: RUN"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], said: str, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--uri", store, *arguments])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1


def promote_together(folder: str, uri: str, barrier: Any, outcomes: Any) -> None:
    """Promote a run, but move the alias only when the other process is about to do so as well."""
    move = RegisteredModel.promote

    def together(self: RegisteredModel, *arguments: str) -> bool:
        RegisteredModel.promote = move  # type: ignore[method-assign]
        barrier.wait()
        return move(self, *arguments)

    RegisteredModel.promote = together  # type: ignore[method-assign,assignment]
    outcomes.put((folder, promote(folder, uri)))


def promoted_together(uri: str, folders: list[Path]) -> dict[str, Any]:
    """Return the outcome of each run, promoted by a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["src.tracking", "src.comparison.champion"])
    barrier, outcomes = context.Barrier(len(folders), timeout=300), context.SimpleQueue()
    line = [(str(folder), uri, barrier, outcomes) for folder in folders]
    processes = [context.Process(target=promote_together, args=arguments) for arguments in line]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(folders)
    return {Path(folder).name: promotion for folder, promotion in (outcomes.get() for _ in folders)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "server"])
def test_of_two_models_promoted_at_the_same_moment_the_second_is_compared_with_the_first(
    kind: str, register: Register, store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    uri = store if kind == "sqlite" else request.getfixturevalue("server").uri
    client = MlflowClient(uri, registry_uri=uri)
    for name, noise in (("noisy", 0.6), ("sharp", 0.2), ("same", 0.2001)):
        register(name, noise, uri=uri)
    promote(str(tmp_path / "noisy"), uri)
    found = promoted_together(uri, [tmp_path / "sharp", tmp_path / "same"])
    (winner,) = (name for name, promotion in found.items() if promotion.champion)
    versions = {"sharp": "2", "same": "3"}
    loser = ({*versions} - {winner}).pop()
    assert "over version 1 on" in found[winner].sentence
    assert "no significant difference" in found[loser].sentence
    assert f"against version {versions[winner]} on" in found[loser].sentence
    champion = client.get_model_version_by_alias("tiny", "champion")
    assert str(champion.version) == versions[winner]
    assert not client.get_model_version("tiny", versions[loser]).description
    assert [model.name for model in client.search_registered_models()] == ["tiny"]


@pytest.mark.slow
def test_a_better_model_promoted_at_the_same_moment_wins_in_either_order(
    register: Register, store: str, tmp_path: Path
) -> None:
    for name, noise in (("noisy", 0.6), ("middle", 0.3), ("sharp", 0.1)):
        register(name, noise)
    promote("noisy", store)
    found = promoted_together(store, [tmp_path / "middle", tmp_path / "sharp"])
    assert found["sharp"].champion
    first = "1" if "over version 1" in found["sharp"].sentence else "2"
    assert found["middle"].champion == (first == "2")
    client = MlflowClient(store, registry_uri=store)
    assert str(client.get_model_version_by_alias("tiny", "champion").version) == "3"
