"""What `llmpy chat` is made of: a conversation, how it is shown, and how a person commands it."""
