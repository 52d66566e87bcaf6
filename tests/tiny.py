"""What the smallest real runs have in common."""

TINY = [
    "data=folio",
    "data.characters=20000",
    "model=gpt2_tiny",
    "reference=bigram",
    "trainer.batch_size=16",
    "trainer.device=cpu",
]
