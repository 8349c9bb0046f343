"""One beginning, read once, and several endings: forks share the memory of their past."""

import sys
from concurrent.futures import ThreadPoolExecutor

import llmpy

with llmpy.load(sys.argv[1]) as model:
    beginning = model.session(sampler=llmpy.greedy())
    beginning.feed("Lily found a key. She opened the")

    def ending(word):
        """How the story goes on after this word."""
        with beginning.fork() as session:
            session.infer(word, max_tokens=20)
            return session.text

    with ThreadPoolExecutor() as threads:
        for text in threads.map(ending, [" door and", " box and", " book and"]):
            print(f"- {text}")
