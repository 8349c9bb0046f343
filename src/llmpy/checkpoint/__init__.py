"""Opens whatever a model comes in, and converts checkpoints of Hugging Face to GGUF."""
