"""What the smallest real runs have in common."""

TEXT_AND_MODEL = [
    "data=folio",
    "data.characters=20000",
    "model=gpt2_tiny",
    "trainer.device=cpu",
]
TINY = [*TEXT_AND_MODEL, "reference=bigram", "trainer.batch_size=16"]
