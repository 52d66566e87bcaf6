"""How far numbers go so that their products, sums and squares stay finite in fp32.

No sensible run comes near; within the bounds nothing is changed, to the last bit.
"""

from __future__ import annotations

#: Of rewards, returns and advantages.
LARGEST = 2.0**60
#: Nats that the policy can be ahead of the old one: the ratio's logarithm.
LARGEST_LOG_RATIO = 30.0
#: Probability that a sampled action was proposed with; importance weights are at most 1 over it.
LEAST_PROPOSAL = 2.0**-40
