"""Short headings of metrics, and what they mean where a key is typed."""

#: Short headings, where they differ from the metric's name.
HEADINGS = {
    "val/nats": "nats",
    "adaptive/nats": "adaptive",
    "ensemble/nats": "ensemble",
    "val/accuracy": "accuracy",
    "val/ece": "ece",
    "val/entropy": "entropy",
    "val/brier": "brier",
    "val/bits": "bits",
    "val/perplexity": "perplexity",
    "characters_seen": "characters",
    "seconds": "seconds",
    "reward/expected": "reward",
    "reward/hit_probability": "hits",
}
#: The metric that a heading means.
METRIC_OF = {heading: metric for metric, heading in HEADINGS.items()}
