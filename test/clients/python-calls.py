"""Calls of the published Python packages `ollama`, `openai` and `anthropic`: python-calls.py CALL,… URL…

Prints a JSON list with, for each gateway URL, what each call gave, by name. What a call raised stands as
{"raised": class, "status": code, "text": message}. The two big packages are loaded only for their own calls.
"""

import json
import sys
import time
import traceback

import ollama

CHAT = "llama3.2:3b"
EMBED = "all-minilm"
USER = [{"role": "user", "content": "How do herds find water?"}]


def weather(city: str) -> str:
    """The weather of a city.

    Args:
      city: Its name.
    """
    return "rain in " + city


def chat_stream():
    parts = list(client.chat(CHAT, USER, stream=True, options={"num_predict": 8, "seed": 1}))
    whole = client.chat(CHAT, USER, options={"num_predict": 8, "seed": 1}, keep_alive=300.0)
    text = "".join(part.message.content for part in parts)
    return {"parts": len(parts), "done": parts[-1].done, "same": text == whole.message.content}


def chat_tools():
    call = client.chat(CHAT, USER, tools=[weather]).message.tool_calls[0]
    messages = USER + [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "rain", "tool_name": "weather"}]
    return {"name": call.function.name, "next": len(client.chat(CHAT, messages, tools=[weather]).message.content) > 0}


def chat_format():
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    return list(json.loads(client.chat(CHAT, USER, format=schema).message.content))


def generate():
    parts = list(client.generate(CHAT, "Say grass", stream=True, options={"num_predict": 4}))
    return {"parts": len(parts), "whole": client.generate(CHAT, "Say grass", options={"num_predict": 4}).eval_count}


def embed():
    batch = client.embed(EMBED, [f"text {index}" for index in range(20)]).embeddings
    return {"rows": len(batch), "same": list(batch[7]) == list(client.embed(EMBED, "text 7").embeddings[0])}


def models():
    names = sorted(model.model for model in client.list().models)
    lines = [line.status for line in client.pull("qwen3:8b", stream=True)]
    client.copy(CHAT, "mine")
    created = client.create("shepherd", from_=CHAT, system="You guard sheep.").status
    shown = client.show("shepherd")
    client.delete("mine")
    client.delete("shepherd")
    loaded = [model.model for model in client.ps().models]
    return {"before": names, "pulled": lines[-1], "created": created, "family": shown.details.family, "after": len(client.list().models), "loaded": CHAT in loaded}


def leave():
    stream = client.generate(CHAT, "Tell all", stream=True, options={"num_predict": 4000})
    next(stream)
    stream.close()
    return {"left": time.time()}


def unknown_chat():
    return client.chat("no-such-model:1b", USER)


def unknown_show():
    return client.show("no-such-model:1b")


def stream_to_end():
    return len(list(client.chat(CHAT, USER, stream=True, options={"num_predict": 12})))


def openai_client():
    import openai

    return openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0)


def openai_chat():
    return len(list(openai_client().chat.completions.create(model=CHAT, messages=USER, stream=True, max_tokens=12)))


def openai_completions():
    return len(list(openai_client().completions.create(model=CHAT, prompt="Say grass", stream=True, max_tokens=12)))


def openai_responses():
    return len(list(openai_client().responses.create(model=CHAT, input="Say grass", stream=True, max_output_tokens=12)))


def anthropic_messages():
    import anthropic

    client = anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0)
    return len(list(client.messages.create(model=CHAT, messages=USER, stream=True, max_tokens=12)))


STREAMS = [stream_to_end, openai_chat, openai_completions, openai_responses, anthropic_messages]
CALLS = STREAMS + [chat_stream, chat_tools, chat_format, generate, embed, models, leave, unknown_chat, unknown_show]
wanted = set(sys.argv[1].split(","))


def outcome(call):
    try:
        return call()
    except Exception as error:  # every class is of interest: the test says which one it expects
        status = getattr(error, "status_code", None)
        return {"raised": type(error).__name__, "status": status, "text": str(error) or traceback.format_exc()}


results = []
for url in sys.argv[2:]:
    client = ollama.Client(host=url)
    results.append({call.__name__: outcome(call) for call in CALLS if call.__name__ in wanted})
print(json.dumps(results))
