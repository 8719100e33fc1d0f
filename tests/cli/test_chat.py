"""`plugtron chat`, in a real terminal, through pipes, and over HTTP."""

import json
import stat

import pytest
import yaml
from support.commands import plugtron
from support.serving import served
from support.terminal import terminal

from plugtron.testing.models import write_model

TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: <think>{% endif %}{# </think> #}"
)
ENDLESS = ["/set temperature 0", "/set ignore_eos true", "/set max_tokens 400"]


def chat(*arguments, said="", code=0):
    """Have a conversation through pipes; return what was answered and what was said of it."""
    done = plugtron("chat", *arguments, said=said, check=code)
    return done.stdout, done.stderr


def lines(*each):
    return "".join(f"{line}\n" for line in each)


@pytest.fixture(scope="module")
def thinking(tmp_path_factory):
    """A spec of a small model that reasons before it answers."""
    folder = tmp_path_factory.mktemp("thinking")
    write_model(folder / "model")
    (folder / "template.jinja").write_text(TEMPLATE)
    model = {"checkpoint": "model", "dtype": "float32"}
    sampling = {"choice": ["Because.</think>Yes."]}
    spec = {"version": 1, "model": model, "chat_template": "template.jinja", "sampling": sampling}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return folder / "spec.yaml"


def test_a_conversation_in_a_terminal(default_model, tmp_path):
    saved = tmp_path / "saved.json"
    with terminal("chat", "--temperature", "0") as screen:
        at = screen.await_text("/help lists the commands")
        for line in ENDLESS:
            screen.type(f"{line}\r")
        at = screen.await_text("max_tokens: 400", after=at)
        screen.type("Tell me a story of a fox.\r")
        at = screen.await_text("a fox.\\W", after=at)
        sizes = set()
        while len(sizes) < 5:
            screen.read()
            sizes.add(len(screen.screen))
        screen.type("\x03")
        at = screen.await_text("interrupted", after=at)
        screen.type("/set max_tokens 8\r")
        at = screen.await_text("max_tokens: 8", after=at)
        # Pasted, and written with Alt+Enter: one message.
        screen.type("\x1b[200~One\ntwo\x1b[201~\x1b\rthree\r")
        at = screen.await_text("8 tokens, .* tokens/s, first after .*prompt tokens in memory.*by its length", after=at)
        screen.type("/set top_p 7\r")
        at = screen.await_text("top_p: must be at most 1 \\(got 7\\)", after=at)
        screen.type("Not said")
        screen.await_text("Not said", after=at)
        screen.type("\x03")
        screen.type(f"/save {saved}\r")
        at = screen.await_text("written", after=at)
        screen.type(f"/load {saved}\r")
        at = screen.await_text("4 messages", after=at)
        screen.type("\x04")
        assert screen.end() == 0
    found = json.loads(saved.read_text())
    assert found["parameters"] == {"temperature": 0, "ignore_eos": True, "max_tokens": 8}
    told, story, counted, _ = found["messages"]
    assert [told["content"], counted["content"]] == ["Tell me a story of a fox.", "One\ntwo\nthree"]
    assert story["content"].split()[-1] in screen.screen


def test_reasoning_is_dim(thinking, own, tmp_path):
    with terminal("chat", thinking) as screen:
        screen.await_text("/help lists")
        screen.type("Why?\r")
        screen.await_text("tokens/s")
        screen.type("\x04")
        assert screen.end() == 0
    assert "\x1b[2mB" in screen.screen
    assert ".\x1b[0m\r\nYes." in screen.screen.replace("Because", "")
    history = own / "chat_history"
    assert "+Why?" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    # Of a script the answer alone, with the reasoning in the conversation.
    saved = tmp_path / "saved.json"
    assert chat(thinking, said=lines("Why?", f"/save {saved}")) == ("Yes.\n", "")
    assert json.loads(saved.read_text())["messages"][1] == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning": "Because.",
    }


def test_through_pipes(default_model, tmp_path):
    saved, plain = tmp_path / "saved.json", ["--temperature", "0", "--max-tokens", "6"]
    said = ["Say hello.", "/system Be brief.", "", "//etc/passwd is what?", f"/save {saved}", "/undo", "/tokens"]
    answers, stats = chat(
        *plain, "--stats", said=lines(*said, "/retry", "/clear", "/tokens", "/unset seed", "/sav x"), code=1
    )
    hello, _, counts, again, cleared = answers.splitlines()
    assert hello == again
    assert counts.endswith("of 2048 tokens in 3 messages")
    assert cleared.endswith("tokens in 1 messages")
    assert stats.count("6 tokens, ") == 3
    assert "seed: is not set (set: temperature, max_tokens)" in stats
    assert "no command /sav (/help lists them; // begins a message with a slash). Did you mean 'save'?" in stats
    found = json.loads(saved.read_text())
    assert [message["role"] for message in found["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert found["messages"][3]["content"] == "/etc/passwd is what?"
    # The same conversation, gone on with, has the same answer.
    loaded, _ = chat("--load", saved, said=lines("/retry", "/undo", "/undo", "Say hello.", "/params"))
    again, _, *shown = loaded.splitlines()
    assert again == found["messages"][4]["content"]
    assert shown[:2] == ["temperature: 0.0", "max_tokens: 6"]
    assert "top_k" in shown[-1]


@pytest.mark.wide
def test_over_two_ranks(thinking):
    assert chat(thinking, "--set", "parallel.tensor=2", said=lines("Why?", "Why?"))[0] == "Yes.\nYes.\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "messages must be a list"),
        ('{"messages": [{"role": "usr", "content": ""}]}', "messages.0: role 'usr' is unknown"),
        ('{"messages": [], "parameters": {"top_k": "x"}}', "top_k: must be"),
        ('{"messages": [], "temperature": 0}', "temperature is no part of a conversation"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_no_conversation(thinking, tmp_path, content, message):
    file = tmp_path / "saved.json"
    if content is not None:
        file.write_text(content)
    _, said = chat(thinking, said=f"/load {file}\n", code=1)
    assert message in said


def test_over_http(default_model, thinking, tmp_path):
    saved = tmp_path / "saved.json"
    said = lines("/set temperature 0", "Say hello.", "And again.", "/tokens", f"/save {saved}")
    here, _ = chat(said=said)
    with served("smollm2-135m-instruct", variables={"PLUGTRON_API_KEY": "secret"}) as server:
        url = ["--url", f"{server.url}/v1"]
        there, stats = chat(*url, "--api-key", "secret", "--stats", said=said)
        assert there == here
        assert "prompt tokens in memory" in stats
        assert "first after" in stats
        assert [each["role"] for each in json.loads(saved.read_text())["messages"]] == ["user", "assistant"] * 2
        _, wrong = chat(
            "--url", server.url, "--api-key", "secret", said="/set top_p 7\nHello.\n/set tmperature 0\n", code=1
        )
        assert "top_p: must be at most 1 (got 7)" in wrong
        assert "tmperature: is no parameter of this server. Did you mean 'temperature'?" in wrong
        assert "key" in chat(*url, "--api-key", "other", code=1)[1]
    # The engine is the dynamic one, also where only options of it are set.
    with (
        served(thinking, "--set", "engine.options.prefix_caching=false") as server,
        terminal("chat", "--url", server.url) as screen,
    ):
        screen.await_text("/help lists")
        screen.type("Why?\r")
        screen.await_text("tokens/s")
        assert "\x1b[2m" in screen.screen
        screen.type("/set choice null\r\x04")
        assert screen.end() == 0
    assert "Connection refused" in chat(*url, code=1)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "http://x", "--set", "seed=1"], "--set: is for models that run here, not --url"),
        (["--api-key", "x"], "--api-key: is for --url"),
    ],
)
def test_options_that_do_not_fit(arguments, message):
    assert message in chat(*arguments, code=2)[1]
