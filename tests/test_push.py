"""`python -m src.push` against an HTTP server of the test that answers as the Hub does."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize

import src.train
from src.cli import CONF
from src.config import Config
from src.config.commands import PushConfig
from src.prediction.encoder import model_folder
from src.publishing.push import model_files, publish_card, push_model
from src.report import card
from src.utils.errors import UserError

TOKEN = "hf_s3cr3tOfTheTest"
REPO = "owner/sts"
CARD = """---
license: mit
---
SentenceTransformer("sentence_transformers_model_id")
AutoModel.from_pretrained("FOLDER_OF_THIS_MODEL")
python -m src.train model=hub model.path=FOLDER_OF_THIS_MODEL
"""


class Hub:
    """The endpoints of the Hub that an upload needs; keeps what it receives."""

    def __init__(self) -> None:
        self.private: bool | None = None
        """Visibility of the repository; None if there is none."""
        self.refused: dict[str, tuple[int, str]] = {}
        """Status and message for paths that contain the key."""
        self.requests: list[tuple[str, str]] = []
        self.created: dict[str, Any] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        """Files by branch."""
        self.messages: list[str] = []
        self.uploaded: dict[str, bytes] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hub.requests.append((f"{self.command} {self.path}", self.headers.get("Authorization", "")))
                status, answer, headers = hub.answer(self.command, self.path, body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_HEAD = answer

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        for part, (status, message) in self.refused.items():
            if part in path:
                return status, {"error": message}, {"X-Error-Message": message}
        if path == f"/api/models/{REPO}" and self.private is None:
            return 404, {}, {"X-Error-Code": "RepoNotFound"}
        if path == f"/api/models/{REPO}":
            return 200, {"id": REPO, "private": self.private, "sha": "0" * 40}, {}
        if path == "/api/repos/create":
            self.created = json.loads(body)
            self.private = self.created["visibility"] == "private"
            return 200, {"url": f"{self.url}/{REPO}"}, {}
        if "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in names}
            return 200, {"files": [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in modes.items()]}, {}
        if path.endswith("/objects/batch"):
            found = json.loads(body)["objects"]
            actions = [{**one, "actions": {"upload": {"href": f"{self.url}/up/{one['oid']}"}}} for one in found]
            return 200, {"transfer": "basic", "objects": actions}, {}
        if path.startswith("/up/"):
            self.uploaded[path.removeprefix("/up/")] = body
        if "/commit/" in path:
            self.commit(path.rpartition("/")[2], [json.loads(line) for line in body.splitlines()])
            return 200, {"commitUrl": f"{self.url}/{REPO}/commit/abc123", "commitOid": "abc123"}, {}
        return 200, {"errors": [], "warnings": []}, {}

    def commit(self, branch: str, lines: list[dict[str, Any]]) -> None:
        files = self.commits.setdefault(branch, {})
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.messages.append(value["summary"])
            else:
                is_lfs = line["key"] == "lfsFile"
                files[value["path"]] = self.uploaded[value["oid"]] if is_lfs else base64.b64decode(value["content"])


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    Thread(target=hub.http.serve_forever, daemon=True).start()
    yield hub
    hub.http.shutdown()
    hub.http.server_close()


@pytest.fixture
def folder(tiny_encoder_folder: Path, tmp_path: Path) -> Path:
    """An experiment folder: a model with its card, and files beside and in it that are nobody's business."""
    folder = tmp_path / "experiment"
    model = Path(shutil.copytree(tiny_encoder_folder, folder / "model"))
    (model / "README.md").write_text(CARD)
    for name in (".git/config", "checkpoints/4/model.safetensors", "token.json", "token.txt", "optimizer.pt", "x.py"):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text(TOKEN)
    (folder / "metrics.json").write_text("{}")
    return folder


def push(hub: Hub | str, folder: Path, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    values = {**os.environ, "PYTHONPATH": str(CONF.parent), "HF_ENDPOINT": hub if isinstance(hub, str) else hub.url}
    values |= {"HF_TOKEN": TOKEN, "HF_HOME": str(folder / "hf"), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    # the protocol of Xet cannot be imitated here
    values |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", **environment}
    line = [sys.executable, "-m", "src.push", f"model={folder}", f"repo={REPO}", *overrides]
    return subprocess.run(line, cwd=folder, env=values, capture_output=True, text=True, timeout=120)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence with which a command has failed."""
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return done.stderr


def test_the_model_and_its_card_are_uploaded_into_a_private_repository(hub: Hub, folder: Path, tmp_path: Path) -> None:
    done = push(hub, folder, "message=1.10", "revision=2.0")
    assert done.returncode == 0, done.stderr
    assert f"{hub.url}/{REPO}, commit abc123" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert TOKEN not in "".join(path.read_text("utf-8", "ignore") for path in folder.glob("hf/**/*") if path.is_file())
    assert hub.created["visibility"] == "private"
    assert (hub.created["organization"], hub.created["name"]) == tuple(REPO.split("/"))
    assert hub.messages == ["1.10"]
    files = hub.commits["2.0"]
    assert {"model.safetensors", "1_Pooling/config.json", "modules.json", "tokenizer.json"} <= files.keys()
    assert not any(TOKEN.encode() in content for content in files.values())
    text = files["README.md"].decode()
    assert f'SentenceTransformer("{REPO}")' in text
    assert f"model=hub model.name={REPO}\n" in text
    assert "FOLDER" not in text
    assert (folder / "model" / "README.md").read_text() == CARD
    for name, content in files.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    loaded, model = (SentenceTransformer(str(path)) for path in (tmp_path / "copy", folder / "model"))
    assert torch.equal(torch.tensor(loaded.encode("방")), torch.tensor(model.encode("방")))


def test_a_public_repository_is_only_used_when_asked_for(hub: Hub, folder: Path) -> None:
    hub.private = False
    assert "found a public one: give private=false" in refusal(push(hub, folder))
    assert not hub.commits
    done = push(hub, folder, "private=false")
    assert done.returncode == 0, done.stderr
    assert not hub.created
    assert "README.md" in hub.commits["main"]


@pytest.mark.parametrize(
    ("path", "status", "message", "found"),
    [
        ("/api/models", 401, "Invalid credentials in Authorization header", "a token that is not valid: log in with"),
        ("/api/repos/create", 403, f"no rights for {TOKEN}", "a token without write permission there"),
        ("/commit/", 400, f"bad {TOKEN}", "bad ***"),
    ],
)
def test_a_refusal_of_the_hub_is_one_sentence(
    path: str, status: int, message: str, found: str, hub: Hub, folder: Path
) -> None:
    hub.refused[path] = (status, message)
    assert found in refusal(push(hub, folder))
    assert not hub.commits


def test_an_unreachable_hub_and_the_offline_flag_are_reported(hub: Hub, folder: Path) -> None:
    assert "found it unreachable" in refusal(push("http://127.0.0.1:9", folder))
    assert "found HF_HUB_OFFLINE" in refusal(push(hub, folder, HF_HUB_OFFLINE="1"))
    assert "expected a login on the Hub, found none" in refusal(push(hub, folder, HF_TOKEN=""))
    assert not hub.requests


@pytest.mark.parametrize("repo", ["name", "owner/na me", "a/b/c", "owner/name.git", "owner/--x", "owner/이름"])
def test_an_invalid_name_is_reported(repo: str) -> None:
    with pytest.raises(UserError, match=r"^repo\b.* OWNER/NAME"):
        push_model(PushConfig(model="here", repo=repo))


def test_a_registered_model_has_its_card(tiny_config: Callable[..., Config]) -> None:
    config = tiny_config("trainer.max_steps=1")
    src.train.run(config)
    with model_folder("models:/tiny/1", config.tracking.uri) as folder:
        trained, registered = (model_files(each) for each in (Path(config.folder) / "model", folder))
        assert registered.keys() == trained.keys()
        card = publish_card(registered["README.md"].read_text("utf-8"), REPO)
    assert f'SentenceTransformer("{REPO}")' in card
    assert f'AutoModel.from_pretrained("{REPO}")' in card


def test_an_incomplete_or_unsafe_model_is_not_uploaded(hub: Hub, folder: Path) -> None:
    (folder / "model" / "model.safetensors").unlink()
    (folder / "model" / "pytorch_model.bin").touch()
    assert "found only a pickle" in refusal(push(hub, folder))
    assert "found nothing" in refusal(push(hub, folder, "model=missing"))
    assert not any(request.startswith(("POST", "PUT")) for request, _ in hub.requests)


def test_a_model_without_a_card_and_links_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    model = folder / "model"
    assert all(path.is_file() for path in model_files(model).values())
    (tmp_path / "secret").touch()
    (model / "vocab.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match=r"vocab\.txt: expected a file of the model itself, found a link"):
        model_files(model)
    (model / "README.md").unlink()
    with pytest.raises(UserError, match=r"expected the model card README\.md, found none"):
        model_files(model)


def test_a_module_without_settings_needs_no_folder(folder: Path) -> None:
    listed = folder / "model" / "modules.json"
    modules = json.loads(listed.read_text("utf-8"))
    kind = f"{Normalize.__module__}.Normalize"
    modules.append({"idx": len(modules), "name": "2", "path": "2_Normalize", "type": kind})
    listed.write_text(json.dumps(modules), "utf-8")
    assert "modules.json" in model_files(folder / "model")


def test_a_wrong_address_is_reported_without_a_login(hub: Hub, folder: Path) -> None:
    assert "found nothing" in refusal(push(hub, folder, "model=missing", HF_TOKEN=""))


def test_a_model_folder_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder / "model")
    assert "model.safetensors" in model_files(tmp_path / "link")


def test_no_placeholder_of_our_card_is_left() -> None:
    text = publish_card(card.TEMPLATE.read_text("utf-8"), REPO)
    assert not re.search("FOLDER_OF_THIS_MODEL|sentence_transformers_model_id", text)
    assert f"model.name={REPO}" in text
