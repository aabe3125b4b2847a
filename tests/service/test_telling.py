from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deepcolor.errors import UserError, WorkspaceError
from deepcolor.notify import Notify
from deepcolor.service.options import options_of
from deepcolor.service.queue import Queue
from deepcolor.service.telling import Teller
from deepcolor.service.tokens import own_token_file, read_tokens, token_in
from deepcolor.workspace import Workspace
from tests.reliability.processes import wait_until
from tests.service.test_queue import submission


def settled(root: Path, text: str) -> Workspace:
    (root / "deepcolor.yaml").write_text(text)
    return Workspace.at(root)


def test_a_command_is_told_and_a_webhook_that_is_gone_is_given_up(tmp_path: Path) -> None:
    """The command gets the end as JSON on its standard input, and no secret of the environment; of a webhook that never
    answers, one line says so, without its URL. Either way the end counts as told.
    """
    queue, warned = Queue(Workspace.at(tmp_path)), list[str]()
    made = queue.add(submission("faces"))
    ended = queue.change(made.id, lambda now: replace(now, state="done", message="4 trials complete", told=False))
    code = f"import sys; open({str(tmp_path / 'told')!r}, 'w').write(sys.stdin.read())"
    notify = Notify("http://127.0.0.1:1/hooks/s3cr3t-part", (sys.executable, "-c", code))
    teller = Teller(notify, queue, warn=warned.append, waits_s=(0.0, 0.0))
    teller.tell(ended)
    teller.tell(ended)
    wait_until(lambda: queue.get(made.id).told, "it is told")
    teller.close()
    told = json.loads((tmp_path / "told").read_text())
    assert (told["event"], told["name"], told["user"], told["message"]) == ("done", "faces", "ann", "4 trials complete")
    assert warned == ["webhook: could not be told that faces is done; got Connection refused"]
    assert "s3cr3t" not in repr(notify)


def test_settings_are_read_and_options_come_first(tmp_path: Path) -> None:
    """The section `service` of `deepcolor.yaml` gives what no option does; a webhook may lie in a file."""
    (tmp_path / "hook").write_text("https://chat.example.org/hooks/s3cr3t\n")
    place = settled(
        tmp_path,
        "service: {port: 9000, at_a_time: 3, admins: [ann], allow_code: true, token_file: tokens,\n"
        "  notify: {webhook: hook, command: mail -s done}}\n",
    )
    found = options_of(place, port=9001, host=None)
    assert (found.port, found.host, found.at_a_time, found.admins) == (9001, "127.0.0.1", 3, ("ann",))
    assert found.token_file == tmp_path / "tokens"
    assert found.notify == Notify("https://chat.example.org/hooks/s3cr3t", ("mail", "-s", "done"))
    assert (options_of(Workspace.at(tmp_path / "none")).most_at_a_time(16), found.most_at_a_time(16)) == (4, 3)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{prot: 1}", "service: must have keys of host, port, .*got 'prot' .*Did you mean port?"),
        ("{port: many}", "service.port: must be a number from 0 to 65535; got 'many'"),
        ("{allow_code: 1}", "service.allow_code: must be true or false; got 1"),
        ("{notify: {mail: a}}", "service.notify: must have the keys webhook, command or both; got mail"),
        (
            "{notify: {webhook: 'ftp://u:s3cr3t@h/s3cr3t'}}",
            "service.notify.webhook: must be an http:// or https:// URL",
        ),
        ("{notify: {webhook: nowhere}}", "must be a URL, or a file that holds one; got .*nowhere"),
        ("5", "service: must be KEY: VALUE lines, indented; got 5"),
    ],
)
def test_wrong_settings_are_said_in_a_line(tmp_path: Path, section: str, said: str) -> None:
    """Each names the key, the rule, what is there and the file; nothing of a webhook's URL is in it."""
    with pytest.raises(WorkspaceError, match=said) as caught:
        options_of(settled(tmp_path, f"service: {section}\n"))
    assert "s3cr3t" not in str(caught.value)


def test_tokens_are_for_their_owner_alone(tmp_path: Path) -> None:
    """A file that others can read, one with a short token, and one with none are refused; a service without a file
    makes one that only its user can read.
    """
    file = tmp_path / "tokens"
    file.write_text("ann 0123456789abcdef\n\n# bob is away\n")
    file.chmod(0o640)
    with pytest.raises(UserError, match=r"nobody else may be able to read it; got mode 640 .*chmod 600"):
        read_tokens(file)
    file.chmod(0o600)
    tokens = read_tokens(file)
    assert (tokens.user_of("0123456789abcdef"), tokens.user_of("0123456789abcdeg"), tokens.user_of("")) == (
        "ann",
        None,
        None,
    )
    for content in ("ann short\n", "ann\n", "\n", "a b 0123456789abcdef\n"):
        file.write_text(content)
        with pytest.raises(UserError, match="--token-file: "):
            read_tokens(file)
    own = own_token_file(Workspace.at(tmp_path))
    assert own.stat().st_mode & 0o777 == 0o600
    assert own_token_file(Workspace.at(tmp_path)) == own
    assert read_tokens(own).user_of(token_in(own)) is not None
