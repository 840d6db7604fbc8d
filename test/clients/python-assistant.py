"""The published Python packages `ollama`, `openai` and `anthropic` ask an assistant: python-assistant.py URL MODEL QUESTION

Prints a JSON object with the text that each call gave, whole and streamed.
"""

import json
import sys

import anthropic
import ollama
import openai

url, model, question = sys.argv[1:]
messages = [{"role": "user", "content": question}]
native = ollama.Client(host=url)
open_ai = openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0)
messaging = anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0).messages


def ollama_chat():
    yield native.chat(model, messages).message.content
    yield "".join(part.message.content for part in native.chat(model, messages, stream=True))


def ollama_generate():
    yield native.generate(model, question).response
    yield "".join(part.response for part in native.generate(model, question, stream=True))


def openai_chat():
    create = open_ai.chat.completions.create
    yield create(model=model, messages=messages).choices[0].message.content
    yield "".join(part.choices[0].delta.content or "" for part in create(model=model, messages=messages, stream=True))


def openai_completions():
    create = open_ai.completions.create
    yield create(model=model, prompt=question).choices[0].text
    yield "".join(part.choices[0].text for part in create(model=model, prompt=question, stream=True))


def openai_responses():
    yield open_ai.responses.create(model=model, input=question).output_text
    with open_ai.responses.stream(model=model, input=question) as stream:
        yield stream.get_final_response().output_text


def anthropic_messages():
    yield messaging.create(model=model, messages=messages, max_tokens=100).content[0].text
    with messaging.stream(model=model, messages=messages, max_tokens=100) as stream:
        yield stream.get_final_text()


calls = [ollama_chat, ollama_generate, openai_chat, openai_completions, openai_responses, anthropic_messages]
print(json.dumps({call.__name__: dict(zip(["whole", "streamed"], call())) for call in calls}))
