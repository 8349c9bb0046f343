"""The parts of `llmpy chat`: a conversation, its display, and the commands of the user."""
